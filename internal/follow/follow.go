package follow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/state"
)

// Root as a Job's From begins at the first commit of the history.
const Root = "root"

// Job says which history to follow, and with what.
type Job struct {
	Repo     *gitrepo.Repo
	Ref      string // empty: HEAD
	Follower evolve.Follower
	// ID is the follower's, for [Log], which then needs no follower.
	ID    string
	Store *state.Store
	// Checkpoint is what the follower makes adapters with. Followers of several
	// checkpoints may share states, but not what is noted of their adapters.
	Checkpoint string

	// From is where to begin when no commit of the history has a state: empty
	// for the commit at Ref itself, Root, or a ref on the first-parent history.
	From string
	// Fresh begins at From, whatever is stored.
	Fresh bool
	// Every stores the state of each commit whose number of steps is a multiple of
	// it, besides the last one; 0 is 1. For an [Exact] follower, 0 means one step
	// to the last commit, and no states between.
	Every  int
	Anchor Policy
	// Progress reports on Begin, which reads all of a commit; it may be nil.
	Progress func(encoder.Progress)
	// Losses scores adapters for [Measure] on held-out tasks of a commit: it returns
	// the loss of each task for each adapter, of which nil stands for the bare base.
	// A commit may have no tasks. If it is nil, no losses are measured.
	Losses func(ctx context.Context, commit string, adapters []*adapter.Adapter) ([][]float64, error)
}

// Policy says when a state is begun anew.
type Policy struct {
	Churn float64 // when it has passed this; 0: never
}

// DefaultPolicy has been chosen on six validation repositories with the evo
// checkpoint of runs/repopeft-evolution-smollm2-135m: a new anchor every eight to
// eleven commits, an update that takes twice as long, and three fifths of the
// drift. States that can't drift are never begun anew.
var DefaultPolicy = Policy{Churn: 0.25}

// Exact is a [evolve.Follower] whose states are the same whichever way they
// came to a commit, if its method says so.
type Exact interface{ Exact() bool }

func isExact(f evolve.Follower) bool {
	e, ok := f.(Exact)
	return ok && e.Exact()
}

// The notes of a stored state. Those of its adapter have "@" and the checkpoint
// behind the name, if the job says which it is.
const (
	noteNorm    = "norm"    // ‖ΔW‖ of its adapter
	noteDrift   = "drift"   // measured by [Measure]
	noteChurn   = "churn"   // see the package comment
	noteBytes   = "bytes"   // of the sources at the commit
	noteSeconds = "seconds" // that it took to get here from the commit before, or from nothing
)

// own returns the name of a note about adapters of the job's checkpoint.
func (j Job) own(note string) string {
	if j.Checkpoint == "" {
		return note
	}
	return note + "@" + j.Checkpoint
}

// Applied is a commit that a state has reached.
type Applied struct {
	Commit     gitrepo.Commit
	Covers     int  // commits of the history that were stepped over at once; 1 but for [Exact] followers
	Left       int  // commits still to come
	Steps      int  // since the anchor
	Begun      bool // it is an anchor
	Reanchored bool // by the policy
	Churn      float64
	Norm       float64 // ‖ΔW‖; NaN if the state isn't stored, or of no file
	Seconds    float64
}

// Result tells what an update has done.
type Result struct {
	Repository    string  // as states are kept under
	Commit        string  // reached
	From          string  // commit whose stored state it went on from; "" if there was none
	Anchor        string  // commit at which the state was begun
	Steps         int     // commits since the anchor
	Applied       int     // commits that were stepped over, those that were begun at included
	OneStep       int     // of these, those that an [Exact] follower took in a single step; a step from off the history covers one
	Reanchored    int     // of these, by the policy
	Norm          float64 // ‖ΔW‖; NaN if the state is of no file, and so has no adapter
	Churn         float64
	Exact         bool // the state can't drift
	Seconds       float64
	AnchorSeconds float64  // of these, for states begun from nothing
	Notes         []string // what the user should know, a sentence each

	state evolve.State
}

// State returns the state at Commit, nil if there is none.
func (r *Result) State() evolve.State { return r.state }

// Update carries the state of a repository to a commit, and stores it. report is
// told each commit; it may be nil. With an error, the result tells how far it got:
// the next update goes on from there.
func Update(ctx context.Context, j Job, report func(Applied)) (*Result, error) {
	r, err := j.run(ctx, report)
	if r == nil {
		return nil, err
	}
	return &r.result, err
}

// At returns the state at a commit: the stored one, or one that is made from the
// nearest stored one and stored.
func At(ctx context.Context, j Job) (evolve.State, *Result, error) {
	if !isExact(j.Follower) {
		j.Every = math.MaxInt
	}
	r, err := j.run(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	return r.state, &r.result, nil
}

// Model returns the digest under which the states of a follower are kept.
func Model(f evolve.Follower) string {
	return modelOf(f.ID())
}

func modelOf(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}

// run takes the lock and does the job. The result is nil if nothing was begun.
func (j Job) run(ctx context.Context, report func(Applied)) (*run, error) {
	began := time.Now()
	r, err := newRun(ctx, j, report)
	if err != nil {
		return nil, err
	}
	read := time.Since(began)
	unlock, err := j.Store.Lock(ctx, r.key.Repository, r.key.Model)
	if err != nil {
		return nil, err
	}
	defer unlock()
	began = time.Now() // waiting for others is no cost of this one
	err = r.do(ctx)
	r.finish(ctx, &err)
	r.result.Seconds = (read + time.Since(began)).Seconds()
	return r, err
}

// model returns the digest under which the states of the job are kept.
func (j Job) model() string {
	if j.Follower == nil {
		return modelOf(j.ID)
	}
	return Model(j.Follower)
}

// Validate reports what is wrong with the numbers of a job.
func (j Job) Validate() error {
	var errs []error
	if j.Every < 0 {
		errs = append(errs, fmt.Errorf("a state at every %d commits: want at least 1", j.Every))
	}
	if j.Anchor.Churn < 0 || math.IsNaN(j.Anchor.Churn) {
		errs = append(errs, fmt.Errorf("a new anchor at churn %g: want 0, for never, or more", j.Anchor.Churn))
	}
	return errors.Join(errs...)
}

// norm returns ‖ΔW‖ of the adapter of a state, over all layers, and NaN if the
// state is of no file: then it has no adapter, but may get one.
func (j Job) norm(s evolve.State) (float64, error) {
	a, err := j.Follower.Adapter(s)
	if errors.Is(err, encoder.ErrNothing) {
		return math.NaN(), nil
	}
	if err != nil {
		return 0, err
	}
	var sum float64
	for _, n := range adapter.Norms(a) {
		sum += n.Delta * n.Delta
	}
	return math.Sqrt(sum), nil
}
