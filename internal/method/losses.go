package method

import (
	"cmp"
	"context"
	"hash/fnv"
	"slices"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/audit"
	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/metric"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// Losser scores the tasks of repositories under any adapter, for an audit.
type Losser struct {
	Runner *Runner
	Tasks  map[string][]*repopeft.Task // by repository
}

// Losses implements [audit.Losser].
func (l *Losser) Losses(ctx context.Context, repository string, a *adapter.Adapter) (*audit.Losses, error) {
	r := *l.Runner
	r.Texts = false
	m := &Fixed{Adapter: a}
	items, err := r.items(ctx, m, l.Tasks[repository])
	if err != nil {
		return nil, err
	}
	out := &audit.Losses{}
	for part := range slices.Chunk(items, tasksAtOnce) {
		if _, err := r.answer(ctx, part); err != nil {
			return nil, err
		}
		for _, it := range part {
			out.NLL = append(out.NLL, it.out.NLL)
			out.Tokens = append(out.Tokens, it.out.Tokens)
			exact := !it.out.Partial && metric.ExactStrict(it.query.Language, string(it.query.Kind), it.out.Text, it.task.Target)
			out.Exact = append(out.Exact, exact)
		}
	}
	return out, nil
}

// TaskLosses returns the cross-entropy of the target of each task, in nats per
// token, under an adapter, or under the bare base if it is nil. A task is seen as
// a method without context sees it. Equal adapters give the same bits.
func (r *Runner) TaskLosses(ctx context.Context, a *adapter.Adapter, tasks []*repopeft.Task) ([]float64, error) {
	items, err := r.items(ctx, &Fixed{Adapter: a}, tasks)
	if err != nil {
		return nil, err
	}
	losses := make([]float64, 0, len(items))
	for part := range slices.Chunk(items, tasksAtOnce) {
		if err := r.score(ctx, part); err != nil {
			return nil, err
		}
		for _, it := range part {
			losses = append(losses, it.out.NLL/float64(it.out.Tokens))
		}
	}
	return losses, nil
}

// items lays out tasks for a method that sees nothing of their repository.
func (r *Runner) items(ctx context.Context, m Method, tasks []*repopeft.Task) ([]*item, error) {
	a, err := m.Prepare(ctx, nil)
	if err != nil {
		return nil, err
	}
	ask := func(ctx context.Context, t *repopeft.Task, room Room) (Prompt, error) {
		return a.Ask(ctx, t.Query(), room)
	}
	return r.layAll(ctx, m.Name(), ask, tasks)
}

// AuditRepository reads the repository of tasks as an audit does: all of what
// the newest task may read, in two halves, and at some earlier commits, oldest
// first. As one adapter answers all tasks, none of the files that any of them
// asks about is read.
func (r *Runner) AuditRepository(ctx context.Context, e encoder.Encoder, tests bool, tasks []*repopeft.Task, commits int) (*audit.Repository, error) {
	tasks = slices.SortedFunc(slices.Values(tasks), func(a, b *repopeft.Task) int { return cmp.Compare(place(a), place(b)) })
	t := tasks[len(tasks)-1]
	if t.Parent == "" {
		return nil, nil // nothing may be read
	}
	repo, err := r.Open(ctx, t.Repository)
	if err != nil {
		return nil, err
	}
	defer repo.Close()
	out := &audit.Repository{Name: t.Repository}
	asked, err := askedFiles(ctx, &checkout{Repo: repo}, tasks)
	if err != nil {
		return nil, err
	}
	view := func(commit string) (*disclosure.View, error) {
		tree, err := r.contents().Repository(ctx, repo, commit, r.Level, r.Languages)
		if err != nil {
			return nil, err
		}
		return tree.HideAll(asked), nil
	}
	v, err := view(t.Parent)
	if err != nil {
		return nil, err
	}
	if out.Whole, err = Encode(ctx, e, v, tests); err != nil || out.Whole == nil {
		return nil, err
	}
	for i := range out.Halves {
		if out.Halves[i], err = encodeSource(ctx, e, half{readable(e, v, tests), uint32(i)}); err != nil {
			return nil, err
		}
	}
	log, err := repo.Log(ctx, t.Parent, 0)
	if err != nil {
		return nil, err
	}
	for i := range commits {
		at := len(log) * (i + 1) / (commits + 1)
		if at >= len(log)-1 {
			continue
		}
		v, err := view(log[at].ID)
		if err != nil {
			return nil, err
		}
		rep, err := Encode(ctx, e, v, tests)
		if err != nil {
			return nil, err
		}
		if rep != nil {
			out.Earlier = append(out.Earlier, rep)
		}
	}
	return out, nil
}

// askedFiles are the files of tasks in order, as they are at the commit of each.
func askedFiles(ctx context.Context, repo *checkout, tasks []*repopeft.Task) (all []disclosure.Asked, err error) {
	seen := map[[2]string]bool{}
	for _, t := range tasks {
		if at := [2]string{t.File, t.Commit}; !seen[at] {
			seen[at] = true
			text, err := repo.file(ctx, t)
			if err != nil {
				return nil, err
			}
			all = append(all, disclosure.Asked{Path: t.File, Text: text})
		}
	}
	return all, nil
}

// half is a source with every second of its files, by a digest of their paths. It
// has no name, which both halves would have.
type half struct {
	encoder.Source
	which uint32
}

// Blobs implements [encoder.Source].
func (h half) Blobs() []encoder.Blob {
	return slices.DeleteFunc(slices.Clone(h.Source.Blobs()), func(b encoder.Blob) bool {
		d := fnv.New32a()
		d.Write([]byte(b.Path))
		return d.Sum32()>>7&1 != h.which
	})
}
