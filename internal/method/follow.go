package method

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/audit"
	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// Stepping says which commits step a state.
type Stepping string

// The ways of stepping.
const (
	// StepKept steps a state at the kept commits of the benchmark alone, each with
	// all that has changed since the one before, as in arXiv 2606.06492 and in
	// training; and for the tasks of a commit once more up to its parent, which
	// later states don't see.
	StepKept Stepping = "kept"
	// StepAll steps a state at every commit, as somebody does who follows a
	// repository and knows nothing of tasks. What a step does is the follower's
	// own rule.
	StepAll Stepping = "all"
)

// Following carries a state along the first-parent history of a repository, from
// the first kept commit to the parent of each task's. A repository is walked once,
// as tasks come in the order of commits; only the last state is kept.
//
// A file that is hidden from any task of the suite, at the commit that it reads,
// and the copies of such files at the anchor, are left out of all states of that
// repository: a state can't forget.
type Following struct {
	*Hypernetwork // its name, whose adapter it gives, and that of other repositories
	Follower      evolve.Represented
	Steps         Stepping
}

// NewFollowing returns a method that follows.
func NewFollowing(as string, f evolve.Represented, which Which, steps Stepping) *Following {
	return &Following{&Hypernetwork{As: as, Tests: f.ReadsTests(), Which: which, source: f}, f, steps}
}

// Prepare implements [Method]: without a past there is nothing to follow.
func (f *Following) Prepare(context.Context, *disclosure.View) (Asker, error) { return nil, errNoPast }

// prepareAt implements [historian].
func (f *Following) prepareAt(ctx context.Context, v *disclosure.View, p *past) (Asker, error) {
	return f.ask(v, func() (*embedding.Representation, error) { return p.represent(ctx, f) })
}

// walk is a state on its way along a line.
type walk struct {
	follower evolve.Represented
	anchor   string
	commit   string // where the state is
	tree     string
	state    evolve.State
	aside    *walk // at the parent of the last tasks, off the way
}

// represent returns what is known of the repository at the parent of the task's
// commit; nil if that is nothing.
func (p *past) represent(ctx context.Context, f *Following) (*embedding.Representation, error) {
	anchor, err := p.anchor()
	if err != nil || anchor == "" {
		return nil, err
	}
	w := p.line.walk
	if w == nil || w.anchor != anchor || p.mayRead(w.commit) != nil {
		if w, err = p.begin(ctx, f, anchor); err != nil {
			return nil, err
		}
		p.line.walk = w
	}
	at := w
	if f.Steps == StepAll {
		err = p.walkAll(ctx, w)
	} else {
		at, err = p.walkKept(ctx, w)
	}
	if err != nil {
		return nil, err
	}
	if at.commit != p.task.Parent {
		return nil, fmt.Errorf("the state is at commit %.12s, want %.12s", at.commit, p.task.Parent)
	}
	rep, err := at.follower.Representation(at.state)
	if errors.Is(err, encoder.ErrNothing) {
		return nil, nil
	}
	return rep, err
}

// begin makes the state at the anchor.
func (p *past) begin(ctx context.Context, f *Following, anchor string) (*walk, error) {
	w := &walk{anchor: anchor, commit: anchor}
	if old := p.line.walk; old != nil {
		w.follower = old.follower
	} else {
		filter, err := p.filter(ctx, f.Tests)
		if err != nil {
			return nil, err
		}
		if w.follower, err = f.Follower.Filtered(filter); err != nil {
			return nil, err
		}
	}
	var err error
	if w.tree, err = p.repo.Tree(ctx, anchor); err != nil {
		return nil, err
	}
	w.state, err = w.follower.Begin(ctx, p.repo.Repo, anchor, nil)
	return w, err
}

// step carries a walk over a commit.
func (p *past) step(ctx context.Context, w *walk, s gitrepo.Step) error {
	if err := p.mayRead(s.ID); err != nil {
		return err
	}
	state, err := w.follower.Advance(ctx, p.repo.Repo, w.state, s, w.tree)
	if err != nil {
		return err
	}
	w.state, w.commit, w.tree, w.aside = state, s.ID, s.Tree, nil
	return nil
}

// walkAll walks over every commit up to the task's parent.
func (p *past) walkAll(ctx context.Context, w *walk) error {
	return p.repo.History(ctx, p.task.Parent, w.commit, func(s gitrepo.Step) error { return p.step(ctx, w, s) })
}

// walkKept walks over the kept commits before the task's, and from there aside to
// the task's parent.
func (p *past) walkKept(ctx context.Context, w *walk) (*walk, error) {
	for _, id := range p.line.kept[:p.index] {
		if p.line.position[id] <= p.line.position[w.commit] {
			continue
		}
		if err := p.jump(ctx, w, id); err != nil {
			return nil, err
		}
	}
	if w.commit == p.task.Parent {
		return w, nil
	}
	if w.aside == nil || w.aside.commit != p.task.Parent {
		aside := *w
		if err := p.jump(ctx, &aside, p.task.Parent); err != nil {
			return nil, err
		}
		w.aside = &aside
	}
	return w.aside, nil
}

// jump steps a walk by all that has changed up to a commit, as if it were one
// commit.
func (p *past) jump(ctx context.Context, w *walk, commit string) error {
	tree, err := p.repo.Tree(ctx, commit)
	if err != nil {
		return err
	}
	changes, err := p.repo.Changes(ctx, w.tree, tree)
	if err != nil {
		return err
	}
	return p.step(ctx, w, gitrepo.Step{Commit: gitrepo.Commit{ID: commit, Parents: []string{w.commit}}, Tree: tree, Changes: changes})
}

// askedAtOnce bounds the files whose copies are looked for together.
const askedAtOnce = 64

// filter leaves out of a history what any of the suite's tasks must not see of
// it. Tests of which the path tells that they are some are left out one and all,
// unless the level shows them and the follower reads them.
func (p *past) filter(ctx context.Context, tests bool) (gitrepo.Filter, error) {
	f := gitrepo.Filter{Languages: p.runner.Languages, SkipTests: !tests || p.runner.Level == disclosure.Production}
	hidden := map[string]bool{}
	hide := func(paths ...string) {
		for _, path := range paths {
			if !f.SkipTests || !gitrepo.IsTestPath(path) {
				hidden[path] = true
			}
		}
	}
	at := *p.task
	at.Parent = p.line.kept[0]
	anchor, err := p.runner.tree(ctx, p.repo, &at)
	if err != nil {
		return f, err
	}
	hide(anchor.Withheld()...)
	var asked []disclosure.Asked // copies of which have not been looked for at the anchor yet
	flush := func() {
		hide(anchor.HideAll(asked).Hidden()...)
		asked = asked[:0]
	}
	err = chunk(p.line.tasks, func(t *repopeft.Task) string { return t.Parent }, func(tasks []*repopeft.Task) error {
		tree, err := p.runner.tree(ctx, p.repo, tasks[0])
		if err != nil {
			return err
		}
		hide(tree.Withheld()...)
		return chunk(tasks, file, func(tasks []*repopeft.Task) error {
			text, err := p.repo.asked(ctx, tasks[0])
			if err != nil {
				return err
			}
			hide(tasks[0].File)
			hide(tree.Hide(tasks[0].File, text).Hidden()...)
			if asked = append(asked, disclosure.Asked{Path: tasks[0].File, Text: text}); len(asked) == askedAtOnce {
				flush()
			}
			return nil
		})
	})
	if err != nil {
		return f, err
	}
	flush()
	for _, path := range slices.Sorted(maps.Keys(hidden)) {
		f.Exclude = append(f.Exclude, "/"+escapeGlob.Replace(path))
	}
	return f, nil
}

// escapeGlob makes the glob of a path.
var escapeGlob = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `{`, `\{`, `}`, `\}`)

// States follows the repositories of the suite up to the parents of their newest
// tasks, for methods that give a repository the adapter of another.
func (r *Runner) States(ctx context.Context, f *Following, tasks []*repopeft.Task) (map[string]*embedding.Representation, error) {
	out := map[string]*embedding.Representation{}
	for name, t := range newest(tasks) {
		repo, err := r.checkout(ctx, []*repopeft.Task{t}, false)
		if err != nil {
			return nil, err
		}
		rep, err := r.stateAt(ctx, f, repo, t)
		repo.close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if rep != nil {
			out[name] = rep
		}
	}
	return out, nil
}

func (r *Runner) stateAt(ctx context.Context, f *Following, repo *checkout, t *repopeft.Task) (*embedding.Representation, error) {
	text, err := repo.asked(ctx, t)
	if err != nil {
		return nil, err
	}
	p, err := r.past(ctx, repo, t, text)
	if err != nil {
		return nil, err
	}
	return p.represent(ctx, f)
}

// AuditHistory is [Runner.AuditRepository] for a follower: the state at the parent
// of the newest task, and those at some kept commits before. A state has no
// halves. Tasks of which the repository's history can't be read give nil.
func (r *Runner) AuditHistory(ctx context.Context, f *Following, tasks []*repopeft.Task, commits int) (*audit.Repository, error) {
	t := newest(tasks)[tasks[0].Repository]
	if t.Parent == "" {
		return nil, nil
	}
	repo, err := r.checkout(ctx, tasks, false)
	if err != nil {
		return nil, err
	}
	defer repo.close()
	p, err := r.past(ctx, repo, t, nil)
	if err != nil {
		return nil, err
	}
	out := &audit.Repository{Name: t.Repository}
	kept := p.line.kept[:p.index]
	for i := range commits {
		at := len(kept) * (i + 1) / (commits + 1)
		if at < 1 || at > len(kept)-1 || i > 0 && at == len(kept)*i/(commits+1) {
			continue
		}
		// What a task of this commit may know, if its parent is the kept one before.
		q, task := *p, *t
		task.Commit, task.Parent = kept[at], kept[at-1]
		q.task, q.index = &task, at
		rep, err := q.represent(ctx, f)
		if err != nil {
			return nil, err
		}
		if rep != nil {
			out.Earlier = append(out.Earlier, rep)
		}
	}
	if out.Whole, err = p.represent(ctx, f); err != nil || out.Whole == nil {
		return nil, err
	}
	return out, nil
}
