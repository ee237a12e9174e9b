package follow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/state"
)

// run is one update.
type run struct {
	Job
	*history
	report func(Applied)
	churn  *churn // nil if the follower is exact

	state  evolve.State // nil before the first
	entry  state.Entry  // of state
	tree   string       // of its commit
	stored bool
	result Result

	replaced bool // see replacing
}

func newRun(ctx context.Context, j Job, report func(Applied)) (*run, error) {
	if err := j.Validate(); err != nil {
		return nil, err
	}
	h, err := readHistory(ctx, j)
	if err != nil {
		return nil, err
	}
	r := &run{Job: j, history: h, report: report}
	r.result = Result{Repository: h.key.Repository, Exact: isExact(j.Follower), Notes: h.notes}
	if !r.result.Exact {
		r.churn = &churn{repo: j.Repo}
	}
	return r, nil
}

// do goes from the nearest stored state to the last commit.
func (r *run) do(ctx context.Context) error {
	if r.churn != nil {
		defer r.churn.close()
	}
	if err := r.restore(ctx); err != nil {
		return err
	}
	if r.state != nil && r.From != "" && (r.result.Exact || r.Anchor.Churn == 0) {
		if i, err := r.begin(ctx, r.Job); err != nil || r.commits[i].ID != r.entry.Anchor {
			r.note("%q, where to begin, had no effect: there is a state of %.12s, which was begun at %.12s; --fresh begins anew there", r.From, r.entry.Commit, r.entry.Anchor)
		}
	}
	if r.state == nil {
		i, err := r.begin(ctx, r.Job)
		if err != nil {
			return err
		}
		if err := r.anchor(ctx, i, false); err != nil {
			return err
		}
	}
	target := r.last().ID
	if r.entry.Commit == target {
		if r.churn != nil && r.Anchor.Churn > 0 && r.entry.Notes[noteChurn] > r.Anchor.Churn { // the policy is newer than the state
			return r.anchor(ctx, len(r.commits)-1, true)
		}
		return nil
	}
	var err error
	if r.tree, err = r.Repo.Tree(ctx, r.entry.Commit); err != nil {
		return err
	}
	if r.result.Exact && r.Every == 0 {
		return r.jump(ctx)
	}
	return r.Repo.History(ctx, target, r.entry.Commit, func(s gitrepo.Step) error {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		return r.step(ctx, s, 1)
	})
}

// restore finds the nearest state that can be read. One that can't is removed,
// with a note.
func (r *run) restore(ctx context.Context) error {
	if r.Fresh {
		return nil
	}
	commits, err := r.Store.Commits(ctx, r.key.Repository, r.key.Model)
	if err != nil {
		return err
	}
	if len(commits) == 0 {
		return r.others(ctx)
	}
	stored := map[string]bool{}
	for _, id := range commits {
		stored[id] = true
	}
	newest := commits[len(commits)-1]
	for i := len(r.commits) - 1; i >= 0 && r.state == nil; i-- {
		if id := r.commits[i].ID; stored[id] {
			if err := r.load(ctx, r.keyOf(id)); err != nil {
				return err
			}
		}
	}
	if r.state == nil && r.result.Exact && r.Every == 0 {
		return r.elsewhere(ctx, commits)
	}
	if _, on := r.at[newest]; on {
		return nil
	}
	if older, err := r.Repo.IsAncestor(ctx, r.last().ID, newest); err != nil || older {
		return err // it is known where the history goes on
	}
	if r.state == nil {
		r.note("the last state, of %.12s, is not of this history, and no other is: the branch was switched, or all of the history rewritten", newest)
	} else {
		r.note("the last state, of %.12s, is not of this history (another branch, or rewritten): continued from %.12s, the newest commit of it that has a state",
			newest, r.entry.Commit)
	}
	return nil
}

// others notes that there are states of other checkpoints.
func (r *run) others(ctx context.Context) error {
	all, err := r.Store.List(ctx, r.key.Repository, "")
	if err != nil && !errors.Is(err, state.ErrCorrupt) {
		return err
	}
	if len(all) > 0 {
		r.note("the %d stored states of this repository were made by other checkpoints, encoders, precisions or kinds of processor, and can't be continued by this one: it begins anew", len(all))
	}
	return nil
}

// elsewhere takes the newest state off the history whose commit is here; only
// an exact follower can go on from there.
func (r *run) elsewhere(ctx context.Context, commits []string) error {
	for i := len(commits) - 1; i >= 0 && r.state == nil; i-- {
		if _, err := r.Repo.Tree(ctx, commits[i]); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			continue // collected by git, or of another clone
		}
		if err := r.load(ctx, r.keyOf(commits[i])); err != nil {
			return err
		}
	}
	return nil
}

// load reads a stored state, or leaves r without one.
func (r *run) load(ctx context.Context, k state.Key) error {
	e, data, err := r.Store.Get(ctx, k)
	if errors.Is(err, state.ErrNotFound) { // removed meanwhile
		return nil
	}
	var s evolve.State
	if err == nil {
		if s, err = r.Follower.Decode(data); err != nil {
			err = fmt.Errorf("%w: %w", state.ErrCorrupt, err)
		}
	}
	if errors.Is(err, state.ErrCorrupt) {
		r.note("the state of %.12s can't be read and was removed (%v)", k.Commit, err)
		return r.Store.Delete(ctx, k)
	}
	if err != nil {
		return err
	}
	r.state, r.entry, r.stored = s, e, true
	r.result.From = e.Commit
	return nil
}

// anchor begins a state at the i-th commit.
func (r *run) anchor(ctx context.Context, i int, policy bool) error {
	began := time.Now()
	c := r.commits[i]
	s, err := r.Follower.Begin(ctx, r.Repo, c.ID, r.Progress)
	if err != nil {
		return fmt.Errorf("commit %.12s: %w", c.ID, err)
	}
	notes := map[string]float64{}
	if r.churn != nil {
		if notes[noteBytes], err = r.churn.total(ctx, c.ID); err != nil {
			return err
		}
		notes[noteChurn] = 0
	}
	e := state.Entry{Key: r.keyOf(c.ID), Anchor: c.ID, Notes: notes}
	if policy {
		r.result.Reanchored++
	}
	err = r.take(ctx, s, e, Applied{Commit: c, Covers: 1, Begun: true, Reanchored: policy}, began)
	r.result.AnchorSeconds += time.Since(began).Seconds()
	return err
}

// step goes over one commit, or the given number of them if step is their
// difference as a whole.
func (r *run) step(ctx context.Context, step gitrepo.Step, covers int) error {
	began := time.Now()
	notes := map[string]float64{}
	if r.churn != nil {
		var err error
		if notes, err = r.churn.add(ctx, r.entry.Notes, step.Changes); err != nil {
			return err
		}
		if r.Anchor.Churn > 0 && notes[noteChurn] > r.Anchor.Churn {
			r.tree = step.Tree
			return r.anchor(ctx, r.at[step.ID], true)
		}
	}
	s, err := r.Follower.Advance(ctx, r.Repo, r.state, step, r.tree)
	if err != nil {
		return fmt.Errorf("commit %.12s: %w", step.ID, err)
	}
	r.tree = step.Tree
	e := state.Entry{Key: r.keyOf(step.ID), Parent: r.entry.Commit, Anchor: r.entry.Anchor, Steps: r.entry.Steps + covers, Notes: notes}
	return r.take(ctx, s, e, Applied{Commit: step.Commit, Covers: covers}, began)
}

// jump goes to the last commit in one step, whatever is between.
func (r *run) jump(ctx context.Context) error {
	to, err := r.Repo.Tree(ctx, r.last().ID)
	if err != nil {
		return err
	}
	changes, err := r.Repo.Changes(ctx, r.tree, to)
	if err != nil {
		return err
	}
	covers := 1 // from off the history, which is no number of its commits
	if at, on := r.at[r.entry.Commit]; on {
		covers = len(r.commits) - 1 - at
	}
	r.result.OneStep = covers
	return r.step(ctx, gitrepo.Step{Commit: r.last(), Tree: to, Changes: changes}, covers)
}

// take makes s the state, stores it if it is one of those, and reports it.
func (r *run) take(ctx context.Context, s evolve.State, e state.Entry, a Applied, began time.Time) error {
	r.state, r.entry, r.stored = s, e, false
	r.result.Applied += a.Covers
	a.Steps, a.Churn, a.Norm = e.Steps, e.Notes[noteChurn], math.NaN()
	a.Left = len(r.commits) - 1 - r.at[e.Commit]
	r.entry.Notes[noteSeconds] = time.Since(began).Seconds()
	if a.Begun || a.Left == 0 || e.Steps%max(1, r.Every) == 0 {
		if err := r.put(ctx); err != nil {
			return err
		}
		a.Norm = r.noted(noteNorm)
	}
	a.Seconds = time.Since(began).Seconds()
	if r.report != nil {
		r.report(a)
	}
	return nil
}

// put stores the state.
func (r *run) put(ctx context.Context) error {
	n, err := r.norm(r.state)
	if err != nil {
		return fmt.Errorf("adapter at %.12s: %w", r.entry.Commit, err)
	}
	r.entry.Notes = maps.Clone(r.entry.Notes)
	if !math.IsNaN(n) {
		r.entry.Notes[r.own(noteNorm)] = n
	}
	data, err := r.state.MarshalBinary()
	if err != nil {
		return fmt.Errorf("state at %.12s: %w", r.entry.Commit, err)
	}
	r.replacing(ctx)
	r.entry.Made, r.entry.Clone = time.Now().UTC(), cloneOf(r.Repo)
	if err := r.Store.Put(ctx, r.entry, data); err != nil {
		return err
	}
	r.stored = true
	return nil
}

// noted returns a note about the adapter, NaN if there is none.
func (r *run) noted(note string) float64 {
	if v, ok := r.entry.Notes[r.own(note)]; ok {
		return v
	}
	return math.NaN()
}

// finish stores what was reached before an error, also after an interrupt, and
// fills in the result.
func (r *run) finish(ctx context.Context, err *error) {
	if *err != nil && r.state != nil && !r.stored {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		*err = errors.Join(*err, r.put(ctx))
	}
	r.result.Commit, r.result.Anchor, r.result.Steps = r.entry.Commit, r.entry.Anchor, r.entry.Steps
	r.result.state = r.state
	r.result.Norm, r.result.Churn = r.noted(noteNorm), r.entry.Notes[noteChurn]
	if *err == nil && math.IsNaN(r.result.Norm) { // stored for another checkpoint
		r.result.Norm, *err = r.norm(r.state)
	}
}

func (r *run) keyOf(commit string) state.Key {
	return state.Key{Repository: r.key.Repository, Commit: commit, Model: r.key.Model}
}

func (r *run) note(format string, args ...any) {
	r.result.Notes = append(r.result.Notes, fmt.Sprintf(format, args...))
}
