package follow

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/state"
)

// byFactors returns losses of three tasks that depend on the adapter, and none of
// the commits that are left out.
func byFactors(without ...string) func(context.Context, string, []*adapter.Adapter) ([][]float64, error) {
	return func(_ context.Context, commit string, adapters []*adapter.Adapter) ([][]float64, error) {
		all := make([][]float64, len(adapters))
		for i, a := range adapters {
			x := 1000.0
			if a != nil {
				x = 0
				for _, f := range a.Layers[0][adapter.QProj].A[:8] {
					x += float64(f)
				}
			}
			if !slices.Contains(without, commit) {
				all[i] = []float64{x, x / 2, x / 3}
			}
		}
		return all, nil
	}
}

func TestMeasureLosses(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("abcdefg")
	j, _ := newJob(t, r)
	res := update(t, j)
	if ds, err := Measure(t.Context(), j, 1, nil); err != nil || ds[0].Tasks != 0 || ds[0].Loss != nil {
		t.Fatalf("without a way to score: got %+v, %v, want no loss", ds, err)
	}
	j.Losses = byFactors(ids[2])
	ds, err := Measure(t.Context(), j, 6, nil)
	if err != nil || len(ds) != 6 {
		t.Fatalf("got %+v, %v, want six", ds, err)
	}
	for i, d := range ds {
		if d.Commit == ids[2] {
			if d.Tasks != 0 || d.Loss != nil {
				t.Errorf("a commit without tasks: got %d, %+v, want no loss", d.Tasks, d.Loss)
			}
			continue
		}
		l := d.Loss
		if d.Tasks != 3 || l == nil || l.Anchored == nil || l.EvolvedAnchored == nil {
			t.Fatalf("%d: got %d tasks, %+v, want all losses of 3", i, d.Tasks, l)
		}
		near := func(got, want float64) bool { return math.Abs(got-want) < 1e-9 }
		if !near(l.Base, 1000*(1+1./2+1./3)/3) || l.EvolvedFresh == 0 || !near(l.EvolvedFresh, l.Evolved-l.Fresh) || !near(*l.EvolvedAnchored, l.Evolved-*l.Anchored) {
			t.Errorf("%d: got %+v", i, *l)
		}
	}
	s := SummarizeLosses(ds)
	if s == nil || s.EvolvedFresh.N != 5 || s.EvolvedAnchored.N != 5 || !(s.EvolvedFresh.Low <= s.EvolvedFresh.Mean && s.EvolvedFresh.Mean <= s.EvolvedFresh.High) {
		t.Errorf("summary: got %+v, want that of 5 commits", s)
	}
	if s := SummarizeLosses(ds[:3]); s != nil { // one of them has no tasks
		t.Errorf("summary of two: got %+v, want none", s)
	}

	// Without the state at the anchor there is nothing to compare with.
	if err := j.Store.Delete(t.Context(), state.Key{Repository: res.Repository, Commit: ids[0], Model: Model(j.Follower)}); err != nil {
		t.Fatal(err)
	}
	if ds, err = Measure(t.Context(), j, 4, nil); err != nil {
		t.Fatal(err)
	}
	for _, d := range ds {
		if d.Anchored != nil || d.Loss == nil || d.Loss.Anchored != nil || d.Loss.EvolvedAnchored != nil {
			t.Errorf("without an anchor: got %+v, %+v", d, d.Loss)
		}
	}
	if s := SummarizeLosses(ds); s == nil || s.EvolvedFresh == nil || s.EvolvedAnchored != nil {
		t.Errorf("without an anchor: got the summary %+v", s)
	}
}

// TestMeasureLossesExact holds that equal adapters have no difference at all.
func TestMeasureLossesExact(t *testing.T) {
	r := newRepo(t)
	r.commits("abcdefg")
	j, f := newJob(t, r)
	f.exact, j.Every, j.Losses = true, 2, byFactors()
	update(t, j)
	ds, err := Measure(t.Context(), j, 100, nil)
	if err != nil || len(ds) != 3 {
		t.Fatalf("got %+v, %v, want three", ds, err)
	}
	for _, d := range ds {
		if d.Loss == nil || d.Loss.EvolvedFresh != 0 || d.Loss.Evolved != d.Loss.Fresh || *d.Loss.EvolvedAnchored == 0 {
			t.Errorf("got %+v, want no difference but to the anchor", d.Loss)
		}
	}
	if iv := SummarizeLosses(ds).EvolvedFresh; iv.Mean != 0 || iv.Low != 0 || iv.High != 0 {
		t.Errorf("got %+v, want 0", iv)
	}
}

func TestMeasureLossesRefused(t *testing.T) {
	r := newRepo(t)
	r.commits("ab")
	j, _ := newJob(t, r)
	update(t, j)
	broken := errors.New("broken")
	tests := []struct {
		name   string
		losses [][]float64
		err    error
		want   string
	}{
		{"an error", nil, broken, "losses: broken"},
		{"too few adapters", [][]float64{{1}}, nil, "1 adapters, want 4"},
		{"other tasks", [][]float64{{1}, {1}, {1, 2}, {1}}, nil, "1 tasks for one adapter and 2 for another"},
		{"no number", [][]float64{{1}, {math.NaN()}, {1}, {1}}, nil, "under the evolved adapter is NaN"},
		{"infinite", [][]float64{{1}, {1}, {1}, {math.Inf(1)}}, nil, "under the anchor's adapter is +Inf"},
	}
	for _, tt := range tests {
		j.Losses = func(context.Context, string, []*adapter.Adapter) ([][]float64, error) { return tt.losses, tt.err }
		if _, err := Measure(t.Context(), j, 1, nil); err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, tt.err) && tt.err != nil {
			t.Errorf("%s: got %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}
