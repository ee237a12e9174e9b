package adapter

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// delta forms Scale·B·A of one pair.
func delta(a *Adapter, l int, m Module) []float64 {
	s := a.Dims.Modules[m]
	w := make([]float64, s.Out*s.In)
	p := a.Layers[l][m]
	if p == nil {
		return w
	}
	for o := range s.Out {
		for k := range a.Rank {
			for i := range s.In {
				w[o*s.In+i] += a.Alpha / float64(a.Rank) * float64(p.B[o*a.Rank+k]) * float64(p.A[k*s.In+i])
			}
		}
	}
	return w
}

// naive returns ‖x‖², ⟨x, y⟩, ‖y‖² and ‖x − y‖² of all updates.
func naive(a, b *Adapter) (aa, ab, bb, dd float64) {
	for l := range a.Layers {
		for m := range NumModules {
			x, y := delta(a, l, m), delta(b, l, m)
			for i := range x {
				aa += x[i] * x[i]
				ab += x[i] * y[i]
				bb += y[i] * y[i]
				dd += (x[i] - y[i]) * (x[i] - y[i])
			}
		}
	}
	return aa, ab, bb, dd
}

func near(got, want float64) bool { return math.Abs(got-want) <= 1e-9*math.Abs(want) }

func TestDistance(t *testing.T) {
	full := random(testDims, allModules, 3, 6, false)
	part := random(testDims, []Module{QProj, DownProj}, 5, 1, true)
	zero := New(testDims, allModules, 2, 2, false)
	for _, pair := range [][2]*Adapter{{full, part}, {part, full}, {zero, part}} {
		a, b := pair[0], pair[1]
		aa, ab, bb, dd := naive(a, b)
		if got, err := Distance(a, b); err != nil || !near(got, math.Sqrt(dd/bb)) {
			t.Errorf("distance: got %g, %v, want %g", got, err, math.Sqrt(dd/bb))
		}
		want := 0.0
		if aa > 0 {
			want = ab / math.Sqrt(aa*bb)
		}
		if got, err := Cosine(a, b); err != nil || !near(got, want) {
			t.Errorf("cosine: got %g, %v, want %g", got, err, want)
		}
	}
	if got, _ := Distance(full, full); got != 0 {
		t.Errorf("distance from itself: got %g", got)
	}
	if got, _ := Cosine(full, full); !near(got, 1) {
		t.Errorf("cosine with itself: got %g", got)
	}
	if got, _ := Distance(full, zero); !math.IsInf(got, 1) {
		t.Errorf("distance from zero: got %g, want +Inf", got)
	}
	if got, _ := Distance(zero, zero); got != 0 {
		t.Errorf("distance of zeros: got %g", got)
	}
	if _, err := Distance(full, random(qwen(testDims), allModules, 3, 6, false)); err == nil {
		t.Error("adapters of different bases were compared")
	}
}

func TestNorms(t *testing.T) {
	for _, shared := range []bool{false, true} {
		a := random(testDims, []Module{KProj, UpProj}, 3, 6, shared)
		a.Layers[1][UpProj] = nil
		norms := Norms(a)
		if len(norms) != 2 || norms[0].Module != KProj || norms[1].Module != UpProj || norms[1].Layers != 2 {
			t.Fatalf("got %+v", norms)
		}
		for _, n := range norms {
			var fa, fb, fd float64
			for l := range a.Layers {
				if p := a.Layers[l][n.Module]; p != nil {
					for _, v := range p.A {
						fa += float64(v) * float64(v)
					}
					for _, v := range p.B {
						fb += float64(v) * float64(v)
					}
					for _, v := range delta(a, l, n.Module) {
						fd += v * v
					}
				}
			}
			if !near(n.A, math.Sqrt(fa)) || !near(n.B, math.Sqrt(fb)) || !near(n.Delta, math.Sqrt(fd)) {
				t.Errorf("shared %v: got %+v, want A %g B %g ΔW %g", shared, n, math.Sqrt(fa), math.Sqrt(fb), math.Sqrt(fd))
			}
		}
	}
}

func TestDigest(t *testing.T) {
	make := func() *Adapter { return random(testDims, []Module{QProj, VProj}, 2, 2, true) }
	want := Digest(make())
	same := make()
	same.Provenance = Provenance{}
	own := *same.Layers[1][QProj]
	same.Layers[1][QProj] = &own // not shared any more, but equal
	if got := Digest(same); got != want || len(got) != 64 {
		t.Errorf("an equal adapter: got %s, want %s", got, want)
	}
	for name, change := range map[string]func(a *Adapter){
		"value": func(a *Adapter) { a.Layers[0][QProj].A[3] += 1 },
		"alpha": func(a *Adapter) { a.Alpha++ },
		"rank":  func(a *Adapter) { a.Rank++ },
		"arch":  func(a *Adapter) { a.Dims.Arch = "qwen2" },
		"shape": func(a *Adapter) { a.Dims.Modules[UpProj].In++ },
		"layer": func(a *Adapter) { a.Layers[1][QProj] = nil },
		"place": func(a *Adapter) { a.Layers[1][QProj], a.Layers[1][KProj] = nil, a.Layers[1][QProj] },
	} {
		a := make()
		change(a)
		if Digest(a) == want {
			t.Errorf("the digest does not depend on %s", name)
		}
	}
}

func TestCheckBase(t *testing.T) {
	a := random(testDims, []Module{QProj}, 2, 2, true)
	layers, shape := testDims, testDims
	layers.NumHiddenLayers = 5
	shape.Modules[UpProj].Out = 7
	other := Base{Name: "other", SHA256: strings.Repeat("f", 64)}
	tests := []struct {
		name string
		base Base
		dims Dims
		want string // in the error; empty: accepted
	}{
		{"same", a.Provenance.Base, testDims, ""},
		{"unknown digest", Base{Name: "other"}, testDims, ""},
		{"other digest", other, testDims, "it is for tiny (sha256 0123456789ab), not for other (sha256 ffffffffffff)"},
		{"layers", Base{}, layers, "3 layers against 5"},
		{"architecture", Base{HubID: "x/Y"}, qwen(testDims), "not for x/Y: architecture llama against qwen2"},
		{"shape", Base{}, shape, "up_proj is 20x12 against 7x12"},
	}
	for _, tt := range tests {
		err := CheckBase(a, tt.base, tt.dims)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (!errors.Is(err, ErrBaseModel) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got error %v, want %q in it", tt.name, err, tt.want)
		}
	}
}
