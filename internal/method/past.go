package method

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// historian is a method that may read commits before that of its view, too.
type historian interface {
	Method
	// prepareAt is Prepare with the past of the view's commit.
	prepareAt(ctx context.Context, v *disclosure.View, p *past) (Asker, error)
}

// wantsPast reports whether a method reads earlier commits.
func wantsPast(m Method) bool {
	switch one := m.(type) {
	case *Following:
		return true
	case *Hypernetwork:
		return one.At == AtAnchor
	case *combined:
		return wantsPast(one.adapters) || wantsPast(one.contexts)
	}
	return false
}

// prepare gives a method the past, if there is one and it may read it.
func prepare(ctx context.Context, m Method, v *disclosure.View, p *past) (Asker, error) {
	if h, ok := m.(historian); ok && p != nil {
		return h.prepareAt(ctx, v, p)
	}
	return m.Prepare(ctx, v)
}

// errNoPast is returned where a method that follows a history has none.
var errNoPast = errors.New("it reads earlier commits, which only a run on tasks of a history has")

// ErrFuture is returned where a method would learn of a commit from which a task
// is, or which came later.
var ErrFuture = errors.New("a commit that isn't before the task's must not be read for it")

// line is the first-parent history of a repository, as far as the tasks of a
// suite go.
type line struct {
	kept     []string       // ids of the kept commits, oldest first
	position map[string]int // of each commit on the history, from 0
	newest   *repopeft.Task // at the newest commit
	tasks    []*repopeft.Task

	anchorTree *disclosure.Repository // the last one that was read
	walk       *walk                  // of the method that runs
}

// past is what may be known of the commits before that of a task.
type past struct {
	runner *Runner
	repo   *checkout
	line   *line
	task   *repopeft.Task // one of the file that is asked about
	index  int            // of its commit among the kept ones
	text   []byte         // of the file at the task's commit; nil as of checkout.asked
}

// past returns the past of a task. text is its file, as checkout.asked gives it.
func (r *Runner) past(ctx context.Context, repo *checkout, t *repopeft.Task, text []byte) (*past, error) {
	if repo.line == nil {
		l, err := r.lineOf(ctx, repo, t)
		if err != nil {
			return nil, err
		}
		repo.line = l
	}
	p := &past{runner: r, repo: repo, line: repo.line, task: t, text: text, index: slices.Index(repo.line.kept, t.Commit)}
	if p.index < 0 {
		return nil, fmt.Errorf("task %s is of commit %.12s, which is not in the benchmark's list of commits", t.ID, t.Commit)
	}
	return p, nil
}

// lineOf lists the history up to the newest commit of the suite's tasks.
func (r *Runner) lineOf(ctx context.Context, repo *checkout, t *repopeft.Task) (*line, error) {
	if t.Track == repopeft.Static || r.Kept == nil {
		return nil, fmt.Errorf("track %s: %w", t.Track, errNoPast)
	}
	kept, err := r.Kept(t.Repository, t.Track)
	if err != nil {
		return nil, err
	}
	l := &line{kept: kept, position: map[string]int{}}
	of := func(o *repopeft.Task) bool { return o.Repository == t.Repository && o.Track == t.Track }
	for _, o := range slices.Concat(r.Suite, repo.tasks) {
		if !of(o) {
			continue
		}
		if l.newest == nil || o.CommitIndex > l.newest.CommitIndex {
			l.newest = o
		}
		l.tasks = append(l.tasks, o)
	}
	slices.SortFunc(l.tasks, func(a, b *repopeft.Task) int { return cmp.Compare(place(a), place(b)) })
	l.tasks = slices.CompactFunc(l.tasks, func(a, b *repopeft.Task) bool { return a.ID == b.ID })
	if repo.Repo == nil {
		return l, nil // none of the tasks lets anything be read
	}
	log, err := repo.Log(ctx, l.newest.Commit, 0)
	if err != nil {
		return nil, err
	}
	for i, c := range log {
		l.position[c.ID] = i
	}
	n := slices.Index(kept, l.newest.Commit)
	if n < 0 {
		return nil, fmt.Errorf("task %s is of commit %.12s, which is not in the benchmark's list of commits", l.newest.ID, l.newest.Commit)
	}
	for i, id := range kept[:n+1] {
		at, ok := l.position[id]
		if !ok || i > 0 && at <= l.position[kept[i-1]] {
			return nil, fmt.Errorf("kept commit %d, %.12s, is not behind the one before it on the first-parent history of %.12s: the benchmark was mined from another history, or the clone is shallow",
				i, id, l.newest.Commit)
		}
	}
	return l, nil
}

// mayRead is the one gate through which a commit's content gets to a method: an
// error of the kind ErrFuture tells that the task must not know of it.
func (p *past) mayRead(commit string) error {
	of, ok1 := p.line.position[p.task.Commit]
	parent, ok2 := p.line.position[p.task.Parent]
	at, ok3 := p.line.position[commit]
	if !ok1 || !ok2 || !ok3 || parent >= of || at > parent {
		return fmt.Errorf("task %s of commit %.12s, which may read %.12s: commit %.12s: %w", p.task.ID, p.task.Commit, p.task.Parent, commit, ErrFuture)
	}
	return nil
}

// anchor returns the commit at which states begin: the first kept one, and for
// the tasks of that one its parent; "" if there is none.
func (p *past) anchor() (string, error) {
	if p.task.Parent == "" {
		return "", nil
	}
	id := p.task.Parent
	if p.index > 0 {
		id = p.line.kept[0]
	}
	return id, p.mayRead(id)
}

// anchorView is the view of the anchor, in which what hides from the task is
// hidden too.
func (p *past) anchorView(ctx context.Context) (*disclosure.View, error) {
	anchor, err := p.anchor()
	if err != nil {
		return nil, err
	}
	if t := p.line.anchorTree; t == nil || t.Commit() != anchor {
		at := *p.task
		at.Parent = anchor
		if p.line.anchorTree, err = p.runner.tree(ctx, p.repo, &at); err != nil {
			return nil, err
		}
	}
	return p.line.anchorTree.Hide(p.task.File, p.text), nil
}
