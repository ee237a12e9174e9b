package method

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/engine"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/metric"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// Runner runs methods on tasks.
//
// Targets are teacher-forced, many at a time: greedy decoding takes the same
// path through a target's tokens as long as each is the most likely one. With
// Texts, the target is a draft that the engine verifies and then goes on from.
// Without, it is scored through the backend, and an answer is decoded only where
// that does not prove whether it is right. Either way an answer is what plain
// greedy decoding gives, or begins as that does.
type Runner struct {
	Engine *engine.Engine
	Base   compute.Backend // of the engine's model
	Layout Layout
	Level  disclosure.Level
	// Open returns a repository of the benchmark. The runner closes it.
	Open func(ctx context.Context, name string) (*gitrepo.Repo, error)
	// Kept returns the ids of a repository's kept commits, oldest first. Only
	// methods that follow its history need it.
	Kept func(repository string, track repopeft.Track) ([]string, error)
	// Suite has all tasks that are asked, of which Run may be given those that are
	// left; nil: Run is given all. What states of a history must not read is
	// decided by it.
	Suite     []*repopeft.Task
	Languages []string // that methods may read
	NewTokens int      // most tokens of an answer; the paper: 64 and 128
	// Texts asks for the whole text of wrong answers too, which measures of
	// similarity need. Without, their text ends where it was known to be wrong,
	// the prediction is marked as partial, and tasks that share a beginning are
	// computed together.
	Texts  bool
	Report func(done int)

	cache *disclosure.Cache
}

// tasksAtOnce bounds what waits to be scored together.
const tasksAtOnce = 96

// rowsAtOnce bounds the tokens of one pass over the weights.
const rowsAtOnce = 1024

// decodedAtOnce bounds the answers that are decoded together.
const decodedAtOnce = 16

// Run asks a method about tasks, and passes on the predictions of a few tasks
// at a time, in the order of repositories and files. An error of emit ends it.
func (r *Runner) Run(ctx context.Context, m Method, tasks []*repopeft.Task, emit func([]*repopeft.Prediction) error) error {
	if err := r.Layout.Validate(r.Engine.Model.MaxContext(), r.NewTokens); err != nil {
		return err
	}
	if err := checkLevel(m, r.Level); err != nil {
		return err
	}
	tasks = slices.Clone(tasks)
	slices.SortStableFunc(tasks, func(a, b *repopeft.Task) int { return strings.Compare(place(a), place(b)) })
	done := 0
	return chunk(tasks, func(t *repopeft.Task) string { return t.Repository }, func(tasks []*repopeft.Task) error {
		_, past := m.(*PastCut)
		repo, err := r.checkout(ctx, tasks, past)
		if err != nil {
			return err
		}
		defer repo.close()
		return r.repository(ctx, m, repo, tasks, func(p []*repopeft.Prediction) error {
			if err := emit(p); err != nil {
				return err
			}
			if done += len(p); r.Report != nil {
				r.Report(done)
			}
			return nil
		})
	})
}

// place orders tasks by what they have in common.
func place(t *repopeft.Task) string {
	return strings.Join([]string{t.Repository, fmt.Sprintf("%09d", t.CommitIndex), t.Parent, t.File, t.Commit, fmt.Sprintf("%09d", t.Start), t.ID}, "\x00")
}

// file identifies what a view is made for: a file at the commit of its tasks.
func file(t *repopeft.Task) string { return t.File + "\x00" + t.Commit }

// chunk calls f for each run of tasks with the same key.
func chunk(tasks []*repopeft.Task, key func(*repopeft.Task) string, f func([]*repopeft.Task) error) error {
	for len(tasks) > 0 {
		n := 1
		for n < len(tasks) && key(tasks[n]) == key(tasks[0]) {
			n++
		}
		if err := f(tasks[:n]); err != nil {
			return err
		}
		tasks = tasks[n:]
	}
	return nil
}

// item is a task on its way.
type item struct {
	task    *repopeft.Task
	query   repopeft.Query
	adapter *adapter.Adapter
	laid    laid
	target  []int32
	out     repopeft.Prediction
	verdict verdict
}

// repository runs the tasks of one repository.
func (r *Runner) repository(ctx context.Context, m Method, repo *checkout, tasks []*repopeft.Task, emit func([]*repopeft.Prediction) error) error {
	return chunk(tasks, func(t *repopeft.Task) string { return t.Parent }, func(tasks []*repopeft.Task) error {
		tree, err := r.tree(ctx, repo, tasks[0])
		if err != nil {
			return fmt.Errorf("%s: %w", tasks[0].Repository, err)
		}
		var waiting []*item
		flush := func() error {
			if len(waiting) == 0 {
				return nil
			}
			predictions, err := r.answer(ctx, waiting)
			if err != nil {
				return fmt.Errorf("%s: %w", tasks[0].Repository, err)
			}
			waiting = nil
			return emit(predictions)
		}
		err = chunk(tasks, file, func(tasks []*repopeft.Task) error {
			items, err := r.ask(ctx, m, repo, tree, tasks)
			if err != nil {
				return fmt.Errorf("%s: %s: method %s: %w", tasks[0].Repository, tasks[0].File, m.Name(), err)
			}
			for _, it := range items {
				if waiting = append(waiting, it); len(waiting) == tasksAtOnce {
					if err := flush(); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return flush()
	})
}

// ask prepares the method for the tasks of one file at one commit, and lays them
// out.
func (r *Runner) ask(ctx context.Context, m Method, repo *checkout, tree *disclosure.Repository, tasks []*repopeft.Task) ([]*item, error) {
	text, err := repo.asked(ctx, tasks[0])
	if err != nil {
		return nil, err
	}
	view := tree.Hide(tasks[0].File, text)
	ask, err := r.asker(ctx, m, repo, view, tasks[0], text)
	if err != nil {
		return nil, err
	}
	return r.layAll(ctx, m.Name(), ask, tasks)
}

// layAll asks about tasks, and lays them out.
func (r *Runner) layAll(ctx context.Context, name string, ask func(context.Context, *repopeft.Task, Room) (Prompt, error), tasks []*repopeft.Task) ([]*item, error) {
	tok := r.Engine.Tokenizer
	room := Room{Tokens: r.Layout.ContextTokens, Count: func(text string) int { return len(tok.Encode(text)) }}
	var items []*item
	for _, t := range tasks {
		it := &item{task: t, query: t.Query()}
		p, err := ask(ctx, t, room)
		if err != nil {
			return nil, fmt.Errorf("task %s: %w", t.ID, err)
		}
		it.adapter = p.Adapter
		if it.laid, err = r.Layout.lay(tok, &it.query, p.Context); err != nil {
			return nil, fmt.Errorf("task %s: %w", t.ID, err)
		}
		if it.target = tok.Encode(it.laid.blanks + t.Target); len(it.target) == 0 {
			return nil, fmt.Errorf("task %s: target %q has no tokens: the base's vocabulary lacks its bytes", t.ID, t.Target)
		}
		it.out = repopeft.Prediction{Task: t.ID, Repository: t.Repository, Method: name, Level: string(r.Level),
			Tokens: len(it.target), PromptTokens: len(it.laid.ids), ContextTokens: it.laid.context}
		items = append(items, it)
	}
	return items, nil
}

// asker prepares a method for the file of a task, whose text is nil as that of
// [checkout.asked]. Only a method that is said to read past the cut gets more than
// the query, and only one that is said to follow the history gets earlier commits.
func (r *Runner) asker(ctx context.Context, m Method, repo *checkout, v *disclosure.View, first *repopeft.Task, text []byte) (func(context.Context, *repopeft.Task, Room) (Prompt, error), error) {
	if p, ok := m.(*PastCut); ok {
		file, err := repo.file(ctx, first)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, t *repopeft.Task, room Room) (Prompt, error) {
			text, err := p.Oracle.ContextPastCut(ctx, v, t, file, room.Tokens, room.Count)
			return Prompt{Context: text}, err
		}, nil
	}
	var p *past
	if wantsPast(m) {
		var err error
		if p, err = r.past(ctx, repo, first, text); err != nil {
			return nil, err
		}
	}
	a, err := prepare(ctx, m, v, p)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, t *repopeft.Task, room Room) (Prompt, error) {
		return a.Ask(ctx, t.Query(), room)
	}, nil
}

// checkout reads the files of tasks from a repository. It keeps the list of one
// commit's files, since tasks come in the order of commits.
type checkout struct {
	*gitrepo.Repo           // nil where none of the tasks lets anything be read
	at            [2]string // commit and language of the list
	snapshot      *gitrepo.Snapshot
	lists         int              // made so far
	tasks         []*repopeft.Task // of the repository
	line          *line            // made by the first past
}

// checkout opens the repository of tasks, unless no method may read anything of
// it: tasks that have been imported don't always tell a commit.
func (r *Runner) checkout(ctx context.Context, tasks []*repopeft.Task, always bool) (*checkout, error) {
	if !always && !slices.ContainsFunc(tasks, func(t *repopeft.Task) bool { return t.Parent != "" }) {
		return &checkout{tasks: tasks}, nil
	}
	repo, err := r.Open(ctx, tasks[0].Repository)
	if err != nil {
		return nil, err
	}
	return &checkout{Repo: repo, tasks: tasks}, nil
}

func (c *checkout) close() {
	if c.Repo != nil {
		c.Repo.Close()
	}
}

// tree is what may be read for a task.
func (r *Runner) tree(ctx context.Context, repo *checkout, t *repopeft.Task) (*disclosure.Repository, error) {
	if t.Parent == "" {
		return r.contents().Nothing(t.Repository, r.Level, r.Languages)
	}
	return r.contents().Repository(ctx, repo.Repo, t.Parent, r.Level, r.Languages)
}

// asked returns the file of a task as it is at the task's commit; nil if that is
// the commit which methods read, or if they read none.
func (c *checkout) asked(ctx context.Context, t *repopeft.Task) ([]byte, error) {
	if t.Commit == t.Parent || t.Parent == "" {
		return nil, nil
	}
	return c.file(ctx, t)
}

// file returns the file of a task as it is at the task's commit.
func (c *checkout) file(ctx context.Context, t *repopeft.Task) ([]byte, error) {
	if t.Commit == "" {
		return nil, fmt.Errorf("task %s doesn't say which commit it is of, so its file can't be read", t.ID)
	}
	if at := [2]string{t.Commit, t.Language}; c.at != at {
		s, err := c.Snapshot(ctx, t.Commit, gitrepo.Filter{Languages: []string{t.Language}, KeepVendored: true, KeepGenerated: true, MaxBytes: 16 << 20})
		if err != nil {
			return nil, err
		}
		c.at, c.snapshot, c.lists = at, s, c.lists+1
	}
	s := c.snapshot
	i := slices.IndexFunc(s.Files, func(f gitrepo.File) bool { return f.Path == t.File })
	if i < 0 {
		return nil, fmt.Errorf("commit %.12s has no such file: the benchmark was mined from another history", t.Commit)
	}
	return s.Read(ctx, s.Files[i])
}

// answer scores the targets of items, and finds out the answers.
func (r *Runner) answer(ctx context.Context, items []*item) ([]*repopeft.Prediction, error) {
	undecided := items
	if !r.Texts {
		if err := r.score(ctx, items); err != nil {
			return nil, err
		}
		undecided = nil
		for _, it := range items {
			if it.verdict == open {
				undecided = append(undecided, it)
			}
		}
	}
	if err := r.decode(ctx, undecided); err != nil {
		return nil, err
	}
	out := make([]*repopeft.Prediction, len(items))
	for i, it := range items {
		out[i] = &it.out
	}
	return out, nil
}

// score fills in the likelihoods of the targets, and judges the answers.
func (r *Runner) score(ctx context.Context, items []*item) error {
	sequences := make([][]int32, len(items))
	for i, it := range items {
		sequences[i] = slices.Concat(it.laid.ids, it.target)
	}
	for _, group := range compute.Group(sequences, rowsAtOnce) {
		var b model.Batch
		for _, i := range group {
			b.Sequences = append(b.Sequences, items[i].sequence(sequences[i], &b))
		}
		res, err := r.Base.Do(ctx, compute.NewRequest(r.Base, compute.Score, b, model.GradientOptions{}))
		if err != nil {
			return err
		}
		for k, i := range group {
			it := items[i]
			for _, nll := range res.NLL[k][:len(it.target)] {
				it.out.NLL += float64(nll)
			}
			it.verdict, it.out.Text = judge(r.Engine.Tokenizer, &it.query, it.task.Target, it.target, res.Argmax[k])
			it.out.Partial = it.verdict == wrong
		}
	}
	return nil
}

// sequence labels each target token, and one more for what follows. The
// item's adapter becomes one of the batch's.
func (it *item) sequence(ids []int32, b *model.Batch) model.Sequence {
	s := model.Sequence{Tokens: ids, Adapter: -1}
	if it.adapter != nil {
		if s.Adapter = slices.Index(b.Adapters, it.adapter); s.Adapter < 0 {
			s.Adapter = len(b.Adapters)
			b.Adapters = append(b.Adapters, it.adapter)
		}
	}
	for i, id := range it.target {
		s.Labels = append(s.Labels, model.Label{Pos: len(it.laid.ids) - 1 + i, Target: id, Weight: 1})
	}
	s.Labels = append(s.Labels, model.Label{Pos: len(ids) - 1, Target: it.target[0]}) // asks for the most likely token only
	return s
}

// decode generates the answers of items, and with Texts scores their targets.
func (r *Runner) decode(ctx context.Context, items []*item) error {
	var last *adapter.Adapter
	var handle *engine.Handle
	for len(items) > 0 {
		some := items[:min(len(items), decodedAtOnce)]
		items = items[len(some):]
		requests := make([]engine.Request, len(some))
		for i, it := range some {
			if it.adapter != last { // items come sorted by file
				var err error
				if handle, err = r.Engine.Handle(it.adapter); err != nil {
					return err
				}
				last = it.adapter
			}
			q := it.query
			requests[i] = engine.Request{Prompt: engine.Prompt{Tokens: it.laid.ids}, Adapter: handle, Options: engine.Options{
				MaxTokens: r.NewTokens, Stop: []string{"\n"},
				Until: func(text string) bool { _, done := metric.Complete(q.Language, string(q.Kind), text); return done },
			}}
			if r.Texts {
				requests[i].Reference = it.target
			}
		}
		for i, res := range r.Engine.CompleteBatch(ctx, requests) {
			it := some[i]
			if res.Err != nil {
				return fmt.Errorf("task %s: %w", it.task.ID, res.Err)
			}
			it.out.Text, it.out.Partial = metric.Strict(it.query.Language, string(it.query.Kind), res.Completion.Text), false
			for _, logProb := range res.Completion.Reference {
				it.out.NLL -= float64(logProb)
			}
		}
	}
	return nil
}

// Representations reads the repositories of tasks, each as one of its tasks at
// the newest commit may: at the runner's level, without the file that this task
// asks about. They are for methods that give a repository the adapter of another,
// which is then one that the other one could have had itself.
func (r *Runner) Representations(ctx context.Context, e encoder.Encoder, tests bool, tasks []*repopeft.Task) (map[string]*embedding.Representation, error) {
	out := map[string]*embedding.Representation{}
	for name, t := range newest(tasks) {
		rep, err := r.representation(ctx, e, tests, t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if rep != nil {
			out[name] = rep
		}
	}
	return out, nil
}

// newest returns a task of each repository at its newest commit.
func newest(tasks []*repopeft.Task) map[string]*repopeft.Task {
	all := map[string]*repopeft.Task{}
	for _, t := range tasks {
		old := all[t.Repository]
		if old == nil || t.CommitIndex > old.CommitIndex || t.CommitIndex == old.CommitIndex && t.ID < old.ID { // ids are digests: any of them
			all[t.Repository] = t
		}
	}
	return all
}

func (r *Runner) representation(ctx context.Context, e encoder.Encoder, tests bool, t *repopeft.Task) (*embedding.Representation, error) {
	repo, err := r.checkout(ctx, []*repopeft.Task{t}, false)
	if err != nil {
		return nil, err
	}
	defer repo.close()
	tree, err := r.tree(ctx, repo, t)
	if err != nil {
		return nil, err
	}
	text, err := repo.asked(ctx, t)
	if err != nil {
		return nil, err
	}
	return Encode(ctx, e, tree.Hide(t.File, text), tests)
}

func (r *Runner) contents() *disclosure.Cache {
	if r.cache == nil {
		r.cache = disclosure.NewCache(0)
	}
	return r.cache
}
