package tune

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/train"
)

func TestNames(t *testing.T) {
	for want, names := range names3 {
		for _, name := range names {
			if got := dataset.SplitOf(name); got != want {
				t.Errorf("%s: split %s, want %s", name, got, want)
			}
		}
	}
}

// TestFullIsWeights checks that the update of each layer is the free factor
// itself, as it is: so its gradient is that of the layer's weights.
func TestFullIsWeights(t *testing.T) {
	m := tinyModel(t)
	o := options(Full)
	o.Layers = 2
	f, err := newFactors(&o, m.Config.Dims(), m.HiddenSize)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i, p := range f.params {
		at := f.places[i]
		s := m.Config.Dims().Modules[at.module]
		if len(p.Value) != s.In*s.Out {
			t.Fatalf("layer %d %s: %d free values, want all %d of its weights", at.layer, at.module, len(p.Value), s.In*s.Out)
		}
		for j := range p.Value {
			p.Value[j] = float32(rng.NormFloat64())
		}
		pair, r := f.adapter.Layers[at.layer][at.module], f.adapter.Rank
		for k := range p.Value { // row-major (out,in)
			var sum float32
			for j := range r {
				sum += pair.B[k/s.In*r+j] * pair.A[j*s.In+k%s.In]
			}
			if got := f.adapter.Scale() * sum; got != p.Value[k] {
				t.Fatalf("layer %d %s: update %d is %g, want %g", at.layer, at.module, k, got, p.Value[k])
			}
		}
	}
	if want := 2 * int(adapter.NumModules); len(f.params) != want {
		t.Errorf("%d free factors, want %d", len(f.params), want)
	}
}

// TestGradient compares the gradient of free factors with differences of the
// loss, for both methods.
func TestGradient(t *testing.T) {
	for _, method := range []string{LoRA, Full} {
		t.Run(method, func(t *testing.T) {
			m := tinyModel(t)
			base := &compute.Local{Model: m, Base: "tiny"}
			o := options(method)
			f, err := newFactors(&o, m.Config.Dims(), m.HiddenSize)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(3, 4))
			for _, p := range f.params {
				for j := range p.Value {
					p.Value[j] += float32(0.1 * rng.NormFloat64())
				}
			}
			b := model.Batch{Adapters: []*adapter.Adapter{f.adapter}}
			for _, w := range repositories(5, "acme/a")[0].flat().Windows {
				b.Sequences = append(b.Sequences, o.sequence(&w, 0))
			}
			loss := func() float64 {
				res, err := base.Do(context.Background(), compute.NewRequest(base, compute.Score, b, model.GradientOptions{}))
				if err != nil {
					t.Fatal(err)
				}
				return res.Loss
			}
			res, err := base.Do(context.Background(), compute.NewRequest(base, compute.Gradient, b, model.GradientOptions{}))
			if err != nil {
				t.Fatal(err)
			}
			f.addGradient(res.Grads[0])
			floor := 2e-4 * loss() // rounding of the forward pass times 1/h
			for _, p := range f.params {
				for _, j := range []int{0, len(p.Value) / 2, len(p.Value) - 1} {
					old := p.Value[j]
					slope := func(h float32) float64 {
						p.Value[j] = old + h
						up := loss()
						p.Value[j] = old - h
						down := loss()
						p.Value[j] = old
						return (up - down) / float64(2*h)
					}
					want := (4*slope(1.0/128) - slope(1.0/64)) / 3
					if got := float64(p.Grad[j]); math.Abs(got-want) > floor+1e-3*math.Abs(want) {
						t.Errorf("%s[%d]: gradient %g, want %g", p.Name, j, got, want)
					}
				}
			}
		})
	}
}

// TestFit checks that the loss falls, that the kept adapter is the one that was
// measured best, and what is recorded.
func TestFit(t *testing.T) {
	for _, method := range []string{LoRA, Full} {
		t.Run(method, func(t *testing.T) {
			f, dir := newFit(t, options(method)), t.TempDir()
			f.Provenance = adapter.Provenance{Base: adapter.Base{Name: "tiny", SHA256: "tiny"}}
			var losses []float64
			r, err := f.Run(context.Background(), dir, func(p Progress) {
				if p.Validation == nil {
					losses = append(losses, p.Loss)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if first, last := losses[0], losses[len(losses)-1]; last > 0.8*first {
				t.Errorf("loss %g at first, %g at last", first, last)
			}
			if r.Validation.CrossEntropy >= r.BaseValidation.CrossEntropy || r.BestStep == 0 || r.SelectedBy != ByCrossEntropy {
				t.Errorf("result %+v: want a step better than the base", r)
			}
			if r.Steps != len(losses) || r.Draws != 6*NumTasks(f.Train) || r.Tasks != NumTasks(f.Train) || r.Repositories != 2 {
				t.Errorf("result %+v: want %d steps, %d draws", r, len(losses), 6*NumTasks(f.Train))
			}
			labels := 0
			for _, repo := range f.Train {
				for _, w := range repo.flat().Windows {
					labels += 6 * len(f.Options.sequence(&w, f.EOS).Labels)
				}
			}
			if r.Labels != labels {
				t.Errorf("%d tokens predicted, want %d", r.Labels, labels)
			}
			a, err := adapter.ReadNative(AdapterDir(dir))
			if err != nil {
				t.Fatal(err)
			}
			if a.Provenance.Base.Name != "tiny" || (a.LowestLayer() == 1) != (method == Full) {
				t.Errorf("adapter of base %q from layer %d on", a.Provenance.Base.Name, a.LowestLayer())
			}
			auditor := train.Auditor{Base: f.Base, Leaves: f.Leaves}
			total, err := auditor.Total(context.Background(), f.check, a)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(total.CrossEntropy-r.Validation.CrossEntropy) > 1e-5 || total.ExactMatch != r.Validation.ExactMatch {
				t.Errorf("the kept adapter scores %+v, want %+v", total, *r.Validation)
			}
			if _, err := os.Stat(filepath.Join(dir, workDir, stateFile)); !os.IsNotExist(err) {
				t.Errorf("state of a finished fit: error %v, want none left", err)
			}
		})
	}
}

// TestResume interrupts a fit at each of its gradients: the result is, to the
// byte, that of one that was left alone.
func TestResume(t *testing.T) {
	for _, method := range []string{LoRA, Full} {
		t.Run(method, func(t *testing.T) {
			whole := t.TempDir()
			if _, err := newFit(t, options(method)).Run(context.Background(), whole, nil); err != nil {
				t.Fatal(err)
			}
			want := contents(t, whole, fitFiles...)
			for _, n := range []int64{1, 2, 7, 12, 17} {
				dir := t.TempDir()
				ctx, cancel := context.WithCancel(context.Background())
				f := newFit(t, options(method))
				f.Base = &interrupting{Backend: f.Base, n: n, do: cancel}
				if _, err := f.Run(ctx, dir, nil); !errors.Is(err, context.Canceled) {
					t.Fatalf("cut at gradient %d: error %v, want %v", n, err, context.Canceled)
				}
				r, err := newFit(t, options(method)).Run(context.Background(), dir, nil)
				if err != nil {
					t.Fatal(err)
				}
				for name, got := range contents(t, dir, fitFiles...) {
					if got != want[name] {
						t.Errorf("cut at gradient %d: %s differs\ngot  %.300q\nwant %.300q", n, name, got, want[name])
					}
				}
				again, err := newFit(t, options(method)).Run(context.Background(), dir, nil)
				if err != nil || again.Steps != r.Steps || again.Seconds != r.Seconds {
					t.Errorf("a finished fit run again: %+v, error %v", again, err)
				}
			}
		})
	}
}

// TestKilled continues a fit from the state that was saved last, as after a
// kill: the adapter and metrics of later steps lie there already.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	f := newFit(t, options(LoRA))
	var saved []byte
	path := filepath.Join(dir, workDir, stateFile)
	_, err := f.Run(context.Background(), dir, func(p Progress) {
		if p.Step == 5 {
			saved, _ = os.ReadFile(path)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	want := contents(t, dir, fitFiles...)
	if err := os.Remove(filepath.Join(dir, ResultFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, saved, 0o644); err != nil {
		t.Fatal(err)
	}
	first := 0
	if _, err := newFit(t, options(LoRA)).Run(context.Background(), dir, func(p Progress) {
		if first == 0 {
			first = p.Step
		}
	}); err != nil {
		t.Fatal(err)
	}
	if first != 4 {
		t.Errorf("continued with step %d, want 4", first)
	}
	for name, got := range contents(t, dir, fitFiles...) {
		if got != want[name] {
			t.Errorf("%s differs", name)
		}
	}
}

func TestRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(f *Fit)
		want   error
		text   string
	}{
		{"test repository to train on", func(f *Fit) { f.Train = repositories(1, "acme/a", "acme/d") }, dataset.ErrTestRepository, "acme/d"},
		{"test repository to choose by", func(f *Fit) { f.Validation = repositories(1, "acme/e") }, dataset.ErrTestRepository, "acme/e"},
		{"validation repository to train on", func(f *Fit) { f.Train = repositories(1, "acme/b") }, nil, "want train"},
		{"training repository to choose by", func(f *Fit) { f.Validation = repositories(1, "acme/c") }, nil, "want validation"},
		{"own test repository with something to choose by", func(f *Fit) {
			f.Train, f.Validation, f.OwnOfTest = repositories(1, "acme/d"), repositories(2, "acme/d"), true
		}, nil, "nothing to choose by"},
		{"no tasks", func(f *Fit) { f.Train = nil }, nil, "no training tasks"},
		{"no end of text", func(f *Fit) { f.Options.Stop, f.EOS = StopEOS, -1 }, errEOS, ""},
		{"no end", func(f *Fit) { f.Options.Epochs = 0 }, nil, "one of them"},
		{"too many layers", func(f *Fit) { f.Options.Layers = 3 }, nil, "layers 3"},
		{"diverging", func(f *Fit) { f.Base = diverging{f.Base} }, ErrDiverged, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFit(t, options(LoRA))
			tt.change(f)
			_, err := f.Run(context.Background(), t.TempDir(), nil)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v, want %v with %q", err, tt.want, tt.text)
			}
		})
	}
}

func TestOwnTasks(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(f *Fit)
		by     string
	}{
		{"with validation tasks", func(f *Fit) { f.Train, f.Validation = repositories(1, "acme/a"), repositories(2, "acme/a") }, ByCrossEntropy},
		{"without", func(f *Fit) { f.Train, f.Validation = repositories(1, "acme/a"), nil }, lastStep},
		{"of a test repository", func(f *Fit) { f.Train, f.Validation, f.OwnOfTest = repositories(1, "acme/d"), nil, true }, lastStep},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, dir := newFit(t, options(LoRA)), t.TempDir()
			tt.change(f)
			r, err := f.Run(context.Background(), dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r.SelectedBy != tt.by || r.OwnOfTest != f.OwnOfTest || tt.by == lastStep && r.BestStep != r.Steps {
				t.Errorf("result %+v: want it selected by %s", r, tt.by)
			}
		})
	}
}

func TestStopLabels(t *testing.T) {
	w := train.Window{Tokens: []int32{5, 6, 7, 8, 9}, Tasks: []train.Span{{From: 1, To: 2}, {From: 3, To: 5}}}
	for stop, want := range map[string][]model.Label{
		StopNext: {{Pos: 0, Target: 6}, {Pos: 1, Target: 7}, {Pos: 2, Target: 8}, {Pos: 3, Target: 9}}, // nothing follows the last
		StopEOS:  {{Pos: 0, Target: 6}, {Pos: 1, Target: 28}, {Pos: 2, Target: 8}, {Pos: 3, Target: 9}, {Pos: 4, Target: 28}},
		StopNone: {{Pos: 0, Target: 6}, {Pos: 2, Target: 8}, {Pos: 3, Target: 9}},
	} {
		o := Options{Stop: stop}
		s := o.sequence(&w, 28)
		if len(s.Labels) != len(want) || len(s.Tokens) != want[len(want)-1].Pos+1 {
			t.Errorf("%s: labels %v on %d tokens, want %v", stop, s.Labels, len(s.Tokens), want)
			continue
		}
		for i, l := range s.Labels {
			if l.Pos != want[i].Pos || l.Target != want[i].Target || l.Weight != 1 {
				t.Errorf("%s: label %d is %+v, want %+v", stop, i, l, want[i])
			}
		}
	}
}

func TestRate(t *testing.T) {
	o := Options{LearningRate: 2, FinalRate: 0.5, Warmup: 0.2}
	for schedule, want := range map[string][5]float64{ // two steps to warm up, the peak, the middle, behind the last
		Cosine: {1, 2, 2, 1.5, 1}, Linear: {1, 2, 2, 1.5, 1}, Constant: {1, 2, 2, 2, 2}} {
		o.Schedule = schedule
		for i, step := range []int{0, 1, 2, 6, 10} {
			if got := o.rate(step, 10); math.Abs(got-want[i]) > 1e-9 {
				t.Errorf("%s: rate %g at step %d of 10, want %g", schedule, got, step, want[i])
			}
		}
	}
}
