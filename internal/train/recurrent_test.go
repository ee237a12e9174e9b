package train

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/safetensors"
	"github.com/code2lora/code2lora/internal/testutil"
)

// Sizes of the vectors of histories.
const repositorySize, inputSize = 5, 6

// histories are n repositories of several commits. The targets at a commit are
// one token, which the inputs so far give away.
func histories(seed uint64, n int) []*History {
	rng := rand.New(rand.NewPCG(seed, 3))
	var hs []*History
	for i := range n {
		secret := rng.IntN(4)
		h := &History{Name: fmt.Sprint("owner/", i), Repository: testutil.Randn(rng, repositorySize)}
		h.Repository[secret] += 3
		for range 4 + rng.IntN(5) {
			c := HistoryCommit{ID: fmt.Sprint(len(h.Commits)), Input: testutil.Randn(rng, inputSize)}
			if rng.IntN(3) == 0 {
				secret = rng.IntN(4)
				c.Input[secret] += 4
			}
			for range rng.IntN(3) {
				ids := make([]int32, 8+rng.IntN(8))
				for i := range ids {
					ids[i] = int32(rng.IntN(vocab))
				}
				ids[3], ids[6], ids[7] = int32(secret), int32(secret), int32(secret)
				c.Windows = append(c.Windows, Window{Tokens: ids, Tasks: []Span{{3, 4}, {6, 8}}})
			}
			h.Commits = append(h.Commits, c)
		}
		hs = append(hs, h)
	}
	return hs
}

func recurrenceOptions() *RecurrenceOptions {
	r := DefaultRecurrenceOptions()
	r.Hidden, r.Truncation.Steps, r.LossCommits, r.ValidationCommits, r.TasksPerCommit = 4, 3, 2, 2, 3
	return r
}

// newRecurrentRun is what a new process would make of the same configuration.
func newRecurrentRun(t *testing.T, o Options, ro *RecurrenceOptions) *RecurrentRun {
	t.Helper()
	m := tinyModel(t)
	g, err := evolve.New(evolve.Options{Diff: inputSize, Repository: repositorySize, Hidden: ro.Hidden})
	if err != nil {
		t.Fatal(err)
	}
	head, err := evolve.NewHead(hypernet.FactoredKind, map[string]any{"rank": 2, "alpha": 4, "coefficients": 3}, m.Config.Dims(), ro.Hidden)
	if err != nil {
		t.Fatal(err)
	}
	r := &RecurrentRun{Options: o, Recurrence: ro, Head: head, GRU: g, Base: local(m), Train: histories(1, 6), Validation: histories(2, 3),
		Leaves: func(id int32) bool { return id < 10 }}
	g.Init(1)
	if err := r.fit(); err != nil {
		t.Fatal(err)
	}
	head.Init(1)
	return r
}

func doRecurrent(ctx context.Context, r *RecurrentRun, dir string, report func(Progress)) error {
	best := func(Progress) error {
		return evolve.Save(filepath.Join(dir, CheckpointFile), &evolve.Checkpoint{Head: r.Head, GRU: r.GRU, Settings: r.Recurrence.Settings,
			Inputs: &evolve.Inputs{Repository: hypernet.Standardizer{Options: hypernet.InputOptions{Standardize: hypernet.StandardizeNone}},
				Step: hypernet.Standardizer{Options: hypernet.InputOptions{Standardize: hypernet.StandardizeNone}}}}, safetensors.F16)
	}
	if report == nil {
		report = func(Progress) {}
	}
	return r.Do(ctx, dir, filepath.Join(dir, metricsFile), best, report)
}

// TestRecurrentGradient checks the gradient of everything that is trained,
// through the base, with several losses in a segment and several lanes.
func TestRecurrentGradient(t *testing.T) {
	o := options()
	o.Accumulate = 2
	r := newRecurrentRun(t, o, recurrenceOptions())
	rng := rand.New(rand.NewPCG(8, 9))
	for _, p := range r.Head.Params() { // B begins at zero
		for i := range p.Value {
			p.Value[i] += float32(0.05 * rng.NormFloat64())
		}
	}
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	for i := range r.lanes {
		r.lanes[i] = testutil.Randn(rng, r.Recurrence.Hidden)
	}
	// The first step of the run begins histories, a later one goes on.
	later := slices.IndexFunc(r.plan.steps, func(ts []turn) bool {
		return len(ts) > 1 && !slices.ContainsFunc(ts, func(t turn) bool { return t.from == 0 })
	})
	if later < 0 {
		t.Fatal("no step is in the middle of histories")
	}
	for _, step := range []int{0, later} {
		draws := r.plan.draw(step, r.Train, r.Options, r.Recurrence)
		losses := 0
		for _, d := range draws {
			losses += len(d)
		}
		if losses < 3 {
			t.Fatalf("%d losses in step %d, want some", losses, step)
		}
		forward := func() (passes []*pass, loss float64) {
			for i, turn := range r.plan.steps[step] {
				p, err := r.walk(turn, draws[i])
				if err != nil {
					t.Fatal(err)
				}
				passes = append(passes, p)
			}
			for _, part := range [][]*pass{passes[:1], passes[1:]} {
				l, _, err := r.accumulate(t.Context(), part, 0.1)
				if err != nil {
					t.Fatal(err)
				}
				loss += l
			}
			return passes, loss
		}
		for _, p := range r.params() {
			clear(p.Grad)
		}
		passes, _ := forward()
		for _, p := range passes {
			p.walk.Backward()
		}
		grads := map[string][]float32{}
		for _, p := range r.params() {
			grads[p.Name] = slices.Clone(p.Grad)
		}
		for _, p := range r.params() {
			if step == later && strings.HasPrefix(p.Name, "repo_init_proj") {
				if !slices.Equal(p.Grad, make([]float32, len(p.Grad))) && slices.Max(grads[p.Name]) != 0 {
					t.Errorf("step %d: a gradient goes behind the segment, to %s", step, p.Name)
				}
				continue
			}
			if hypernet.IsMean(p) && !strings.Contains(p.Name, "layers.1.down_proj") {
				continue // the base's gradient is checked elsewhere
			}
			testutil.CheckGradient(t, fmt.Sprintf("step %d %s", step, p.Name), grads[p.Name], p.Value, func() float64 {
				_, loss := forward()
				return loss
			})
		}
	}
}

// TestRecurrentResume interrupts runs in several places.
func TestRecurrentResume(t *testing.T) {
	o, ro := options(), recurrenceOptions()
	straight := t.TempDir()
	r := newRecurrentRun(t, o, ro)
	if err := doRecurrent(t.Context(), r, straight, nil); err != nil {
		t.Fatal(err)
	}
	if r.state.Step < 10 {
		t.Fatalf("%d steps, want at least 10", r.state.Step)
	}
	for name, cuts := range map[string][]int64{"in steps": {4, 7, 9}, "before a step": {11}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, n := range cuts {
				ctx, cancel := context.WithCancel(t.Context())
				r := newRecurrentRun(t, o, ro)
				r.Base = &interrupting{Backend: r.Base, n: n, do: cancel}
				if err := doRecurrent(ctx, r, dir, nil); !errors.Is(err, context.Canceled) {
					t.Fatalf("got %v, want %v", err, context.Canceled)
				}
				cancel()
			}
			if err := doRecurrent(t.Context(), newRecurrentRun(t, o, ro), dir, nil); err != nil {
				t.Fatal(err)
			}
			sameContents(t, dir, straight)
		})
	}
	for name, change := range map[string]func(*RecurrentRun){
		"seed":  func(r *RecurrentRun) { r.Options.Seed++ },
		"lanes": func(r *RecurrentRun) { r.Options.SharesPerStep++ },
		"data":  func(r *RecurrentRun) { r.Identity = "other" },
	} {
		r := newRecurrentRun(t, o, ro)
		change(r)
		if err := doRecurrent(t.Context(), r, straight, nil); err == nil {
			t.Errorf("another %s: the state was continued", name)
		}
	}
	data, err := os.ReadFile(filepath.Join(straight, stateFile))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(straight, stateFile), string(data[:len(data)/2]))
	if err := doRecurrent(t.Context(), newRecurrentRun(t, o, ro), straight, nil); err == nil {
		t.Error("half a state was continued")
	}
}

// TestRecurrentRoundTrip trains through bytes.
func TestRecurrentRoundTrip(t *testing.T) {
	want, dir := t.TempDir(), t.TempDir()
	if err := doRecurrent(t.Context(), newRecurrentRun(t, options(), recurrenceOptions()), want, nil); err != nil {
		t.Fatal(err)
	}
	r := newRecurrentRun(t, options(), recurrenceOptions())
	r.Base = compute.RoundTrip{Backend: r.Base}
	if err := doRecurrent(t.Context(), r, dir, nil); err != nil {
		t.Fatal(err)
	}
	sameContents(t, dir, want)
}

// TestRecurrentLearns checks that contexts tell what only the commits say.
func TestRecurrentLearns(t *testing.T) {
	o, ro := options(), recurrenceOptions()
	o.Epochs, o.LearningRate, o.ValidateEvery, o.TokensPerShare = 12, 0.01, 1000, 80
	ro.LossCommits, ro.Hidden = 0, 8
	r := newRecurrentRun(t, o, ro)
	r.Train, r.Validation = histories(1, 60), histories(2, 20)
	if err := r.fit(); err != nil {
		t.Fatal(err)
	}
	var last *Audit
	if err := doRecurrent(t.Context(), r, t.TempDir(), func(p Progress) { last = p.Validation }); err != nil {
		t.Fatal(err)
	}
	if last == nil || last.Repositories != 20 || last.Tasks == 0 {
		t.Fatalf("validation %+v, want one of 20 repositories", last)
	}
	t.Logf("own %s, average %s", last.Own.CrossEntropy, last.Average.CrossEntropy)
	if last.OwnAverage.CrossEntropy.High > 0 || last.OwnStranger.CrossEntropy.High > 0 {
		t.Errorf("own minus average %s, own minus stranger %s; want both below zero", last.OwnAverage.CrossEntropy, last.OwnStranger.CrossEntropy)
	}
}

func TestSegments(t *testing.T) {
	h := &History{}
	for _, tasks := range []int{0, 1, 0, 0, 0, 1, 1, 0} {
		h.Commits = append(h.Commits, HistoryCommit{Windows: make([]Window, tasks)})
	}
	for _, tt := range []struct {
		o    evolve.Truncation
		want []segment
	}{
		{evolve.Truncation{Steps: 3}, []segment{{2, 0, 3}, {2, 3, 6}, {2, 6, 7}}},
		{evolve.Truncation{Steps: 3, AtLoss: true}, []segment{{2, 0, 2}, {2, 2, 5}, {2, 5, 6}, {2, 6, 7}}},
		{evolve.Truncation{Steps: 100}, []segment{{2, 0, 7}}},
	} {
		if got := segments(2, h, tt.o); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%+v: got %v, want %v", tt.o, got, tt.want)
		}
	}
	if got := segments(0, &History{Commits: make([]HistoryCommit, 3)}, evolve.Truncation{Steps: 2}); got != nil {
		t.Errorf("without tasks: got %v, want none", got)
	}
}

// TestSchedule checks that every epoch has every segment once, in the order of
// its history, in one lane.
func TestSchedule(t *testing.T) {
	hs, o, ro := histories(5, 7), options(), recurrenceOptions()
	o.SharesPerStep, o.Epochs = 3, 2
	s := newSchedule(hs, o, ro.Truncation)
	next := map[int]int{} // commits of each history walked over
	lane := map[int]int{}
	seen := map[int]int{}
	for i, step := range s.steps {
		used := map[int]bool{}
		for _, turn := range step {
			if used[turn.lane] || turn.lane >= o.SharesPerStep {
				t.Errorf("step %d: lane %d twice or out of range", i, turn.lane)
			}
			used[turn.lane] = true
			if turn.from == 0 {
				next[turn.history], lane[turn.history] = 0, turn.lane
				seen[turn.history]++
			}
			if turn.from != next[turn.history] || turn.lane != lane[turn.history] {
				t.Errorf("step %d: commits from %d in lane %d, want from %d in lane %d", i, turn.from, turn.lane, next[turn.history], lane[turn.history])
			}
			next[turn.history] = turn.to
		}
		for k, l := range s.draw(i, hs, o, ro) {
			if n := len(l); n > ro.LossCommits {
				t.Errorf("step %d: %d commits with losses, want at most %d", i, n, ro.LossCommits)
			}
			for _, at := range l {
				if n := numTasksOf(at.windows); n < 1 || n > ro.TasksPerCommit || at.commit >= step[k].to-step[k].from {
					t.Errorf("step %d: %d tasks at commit %d of the segment", i, n, at.commit)
				}
			}
		}
		if !reflect.DeepEqual(s.draw(i, hs, o, ro), s.draw(i, hs, o, ro)) {
			t.Errorf("step %d: another draw", i)
		}
	}
	for i := range hs {
		if seen[i] != o.Epochs {
			t.Errorf("history %d: %d times, want %d", i, seen[i], o.Epochs)
		}
	}
	if want := histories(5, 7); !reflect.DeepEqual(hs, want) {
		t.Error("drawing changed the data")
	}
}
