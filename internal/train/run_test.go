package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/hypernet"
)

// TestResume cuts runs in all ways and compares every byte that they leave with
// those of a run that was not cut.
func TestResume(t *testing.T) {
	straight := t.TempDir()
	r := newRun(t, options())
	if n := r.steps(); n < 12 {
		t.Fatalf("%d steps, want at least 12", n)
	}
	if err := do(context.Background(), r, straight, nil); err != nil {
		t.Fatal(err)
	}
	want := contents(t, straight)
	compare := func(t *testing.T, dir string) {
		t.Helper()
		for name, got := range contents(t, dir) {
			if got == want[name] {
				continue
			}
			if name == metricsFile {
				t.Errorf("%s: got\n%s\nwant\n%s", name, got, want[name])
			} else {
				t.Errorf("%s: another content", name)
			}
		}
	}

	t.Run("the same again", func(t *testing.T) {
		dir := t.TempDir()
		if err := do(context.Background(), newRun(t, options()), dir, nil); err != nil {
			t.Fatal(err)
		}
		compare(t, dir)
	})
	// Most steps ask for two gradients, so among consecutive ones some are the
	// second halves of steps.
	for name, cuts := range map[string][]int64{
		"before a step": {11}, "in a step": {12}, "in another": {13}, "in the first step": {2}, "thrice": {4, 5, 9},
	} {
		for _, process := range []string{"new", "same"} {
			t.Run(name+", "+process+" process", func(t *testing.T) {
				dir := t.TempDir()
				r := newRun(t, options())
				for _, n := range cuts {
					cut(t, r, dir, n)
					if process == "new" {
						r = newRun(t, options())
					}
				}
				if err := do(context.Background(), r, dir, nil); err != nil {
					t.Fatal(err)
				}
				compare(t, dir)
			})
		}
	}
	t.Run("in a validation", func(t *testing.T) {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(context.Background())
		err := do(ctx, newRun(t, options()), dir, func(p Progress) {
			if p.Step == 8 && p.Validation == nil {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want %v", err, context.Canceled)
		}
		if err := do(context.Background(), newRun(t, options()), dir, nil); err != nil {
			t.Fatal(err)
		}
		compare(t, dir)
	})
	// A kill leaves the state of a step that SaveEvery divides, and metrics of
	// later steps whose last line may be cut.
	for _, step := range []int{2, 4, 8, 9, 11} {
		t.Run(fmt.Sprintf("killed after step %d", step), func(t *testing.T) {
			from, dir := t.TempDir(), t.TempDir()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			_ = do(ctx, newRun(t, options()), from, func(p Progress) {
				if p.Step == step && (p.Validation == nil) == (step%4 != 0) {
					copyFiles(t, from, dir)
					cancel()
				}
			})
			f, err := os.OpenFile(filepath.Join(dir, metricsFile), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(`{"step":` + "9"); err != nil {
				t.Fatal(err)
			}
			f.Close()
			if err := do(context.Background(), newRun(t, options()), dir, nil); err != nil {
				t.Fatal(err)
			}
			compare(t, dir)
		})
	}
	t.Run("finished", func(t *testing.T) {
		err := do(context.Background(), newRun(t, options()), straight, func(p Progress) { t.Errorf("took step %d", p.Step) })
		if err != nil {
			t.Fatal(err)
		}
		compare(t, straight)
	})
	if c, err := hypernet.Load(filepath.Join(straight, CheckpointFile)); err != nil || c.Step == 0 || c.Tasks != NumTasks(r.Train) {
		t.Errorf("checkpoint: %+v, %v", c, err)
	}
}

// cut runs until the n-th gradient and checks that the state of the last whole
// step is on disk then.
func cut(t *testing.T, r *Run, dir string, n int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	base := r.Base
	defer func() { r.Base = base }()
	r.Base = &interrupting{Backend: base, n: n, do: cancel}
	last := 0
	if err := do(ctx, r, dir, func(p Progress) { last = p.Step }); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}
	if last == 0 {
		return // not one step
	}
	saved := newRun(t, options())
	if err := saved.start(); err != nil {
		t.Fatal(err)
	}
	if err := saved.load(filepath.Join(dir, stateFile)); err != nil || saved.state.Step != last {
		t.Errorf("cut after step %d: the state is that of step %d (%v)", last, saved.state.Step, err)
	}
}

func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// TestRefusesState checks that a state that does not fit stays as it is.
func TestRefusesState(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	_ = do(ctx, newRun(t, options()), dir, func(p Progress) {
		if p.Step == 3 {
			cancel()
		}
	})
	state := filepath.Join(dir, stateFile)
	good, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	metricsBefore, err := os.ReadFile(filepath.Join(dir, metricsFile))
	if err != nil {
		t.Fatal(err)
	}
	same := func(r *Run) {}
	for name, tt := range map[string]struct {
		state  []byte
		change func(*Run)
		want   string
	}{
		"other seed":   {good, func(r *Run) { r.Options.Seed = 2 }, "seed 1"},
		"other length": {good, func(r *Run) { r.Options.Epochs = 9 }, "steps"},
		"other head": {good, func(r *Run) {
			o := headOptions()
			o["conditioning"] = "none"
			r.Head = newHead(t, tinyModel(t), r.Train, o)
		}, "another head"},
		"other rank": {good, func(r *Run) {
			o := headOptions()
			o["rank"] = 3
			r.Head = newHead(t, tinyModel(t), r.Train, o)
		}, "values, want"},
		"cut":          {good[:len(good)-5], same, stateFile},
		"cut header":   {good[:50], same, stateFile},
		"empty":        {nil, same, stateFile},
		"not metadata": {bytes.Replace(good, []byte(stateKey), []byte("code2lora.RUN"), 1), same, stateKey},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(state, tt.state, 0o644); err != nil {
				t.Fatal(err)
			}
			r := newRun(t, options())
			tt.change(r)
			err := do(context.Background(), r, dir, func(Progress) { t.Error("took a step") })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if after, err := os.ReadFile(state); err != nil || !bytes.Equal(after, tt.state) {
				t.Errorf("the state was changed (%v)", err)
			}
			if after, err := os.ReadFile(filepath.Join(dir, metricsFile)); err != nil || !bytes.Equal(after, metricsBefore) {
				t.Errorf("the metrics were changed (%v)", err)
			}
		})
	}
}

func TestOpenMetrics(t *testing.T) {
	const one, two = `{"step":1,"loss":2}` + "\n", `{"step":2,"loss":1}` + "\n"
	const audit = `{"step":2,"validation":{"tasks":3}}` + "\n"
	for name, tt := range map[string]struct {
		before string
		step   int
		want   string
	}{
		"all":            {one + two + audit, 2, one + two + audit},
		"later steps":    {one + two + audit, 1, one},
		"from the start": {one + two, 0, ""},
		"cut line":       {one + two[:8], 2, one},
		"cut before end": {one + strings.TrimSuffix(two, "\n"), 2, one},
		"not JSON":       {one + "x\n" + two, 2, one},
		"ahead of file":  {one, 5, one},
		"empty":          {"", 3, ""},
	} {
		path := filepath.Join(t.TempDir(), metricsFile)
		if err := os.WriteFile(path, []byte(tt.before), 0o644); err != nil {
			t.Fatal(err)
		}
		m, err := OpenMetrics(path, tt.step)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(m.Add(Progress{Step: 7}), m.Close()); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(got), tt.want+`{"step":7,`) || strings.Count(string(got), "\n") != strings.Count(tt.want, "\n")+1 {
			t.Errorf("%s: got %q, want %q and step 7", name, got, tt.want)
		}
	}
}

// TestLearns trains on targets that the representation gives away: both the
// loss and the own adapter's advantage have to show it.
func TestLearns(t *testing.T) {
	o := options()
	o.Epochs, o.LearningRate, o.ValidateEvery, o.Accumulate = 15, 0.03, 1000, 1
	r := newRun(t, o)
	var losses []float64
	var last *Audit
	err := do(context.Background(), r, t.TempDir(), func(p Progress) {
		if p.Validation != nil {
			last = p.Validation
			return
		}
		losses = append(losses, p.Loss)
		if p.Step != len(losses) || p.Steps != r.steps() || p.Tokens <= 0 || p.LearningRate <= 0 || p.GradNorm <= 0 {
			t.Fatalf("progress %+v after %d steps", p, len(losses))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	first, end := mean(losses[:5]), mean(losses[len(losses)-5:])
	if end > 0.8*first {
		t.Errorf("loss %.3f, after %d steps %.3f: want a fifth less", first, len(losses), end)
	}
	if last == nil || last.Repositories != 3 || last.Tasks != NumTasks(r.Validation) {
		t.Errorf("the last step was not validated: %+v", last)
	}
}

func mean(x []float64) (m float64) {
	for _, v := range x {
		m += v / float64(len(x))
	}
	return m
}

// worse makes each validation's loss larger than the one before.
type worse struct {
	compute.Backend
	add float32
}

func (w *worse) Do(ctx context.Context, r *compute.Request) (*compute.Response, error) {
	res, err := w.Backend.Do(ctx, r)
	if err == nil && r.Operation == compute.Score {
		w.add++
		for _, nll := range res.NLL {
			for i := range nll {
				nll[i] = w.add
			}
		}
	}
	return res, err
}

func TestPatience(t *testing.T) {
	o := options()
	o.ValidateEvery, o.Patience, o.SaveEvery = 2, 3, 100
	dir := t.TempDir()
	r := newRun(t, o)
	r.Base = &worse{Backend: r.Base}
	var steps int
	var best []int
	report := func(p Progress) {
		steps = p.Step
		if p.Best {
			best = append(best, p.Step)
		}
	}
	if err := do(context.Background(), r, dir, report); err != nil {
		t.Fatal(err)
	}
	if steps != 8 || len(best) != 1 || best[0] != 2 {
		t.Errorf("stopped after step %d, best at %v; want 8 and [2]", steps, best)
	}
	if c, err := hypernet.Load(filepath.Join(dir, CheckpointFile)); err != nil || c.Step != 2 {
		t.Errorf("checkpoint %+v (%v), want that of step 2", c, err)
	}
	// It stays stopped.
	if err := do(context.Background(), newRun(t, o), dir, func(p Progress) { t.Errorf("took step %d", p.Step) }); err != nil {
		t.Error(err)
	}
}

func TestRunErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Run)
		want   string
	}{
		"options":       {func(r *Run) { r.Options.Epochs, r.Options.LearningRate = 0, math.NaN() }, "epochs 0: want at least 1\nlearning_rate NaN"},
		"no tasks":      {func(r *Run) { r.Train = []*Repository{{Name: "a/b"}} }, "no training tasks"},
		"one stranger":  {func(r *Run) { r.Validation = r.Validation[:1] }, "want at least 2"},
		"no vector":     {func(r *Run) { r.Train[2].Representation.Tensors = nil }, "repository owner/c"},
		"no such token": {func(r *Run) { r.Train[0].Windows[0].Tokens[0] = 1000 }, "1000"},
		"not finite": {func(r *Run) {
			for _, p := range r.Head.Params() {
				p.Value[0] = float32(math.Inf(1))
			}
		}, "finite"},
	} {
		r := newRun(t, options())
		tt.change(r)
		if err := do(context.Background(), r, t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	full := errors.New("disk full")
	r, dir := newRun(t, options()), t.TempDir()
	err := r.Do(context.Background(), dir, filepath.Join(dir, metricsFile), func(Progress) error { return full }, func(Progress) {})
	if !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
}

// TestOneProcess checks that a run is trained by one process at a time, and
// that the next one clears away what a killed one left.
func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	unlock, err := Lock(dir, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := do(context.Background(), newRun(t, options()), dir, nil); !errors.Is(err, ErrRunning) {
		t.Errorf("a second process: got error %v, want %v", err, ErrRunning)
	}
	if _, err := os.Stat(filepath.Join(dir, metricsFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a second process: got error %v for its metrics, want that there are none", err)
	}
	unlock()
	left := write(t, filepath.Join(dir, "."+stateFile+".tmp-1a2b"), "half")
	if err := do(context.Background(), newRun(t, options()), dir, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("unfinished file of a killed process: got error %v, want that it is gone", err)
	}
}
