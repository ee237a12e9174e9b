package adapter

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/code2lora/code2lora/internal/gguf"
)

// testDims are of a small llama whose head sizes differ from everything else.
var testDims = Dims{
	Arch: "llama", NumHiddenLayers: 3, NumAttentionHeads: 4, NumKeyValueHeads: 2,
	Modules: [NumModules]Shape{
		QProj: {In: 12, Out: 24}, KProj: {In: 12, Out: 12}, VProj: {In: 12, Out: 12}, OProj: {In: 24, Out: 12},
		GateProj: {In: 12, Out: 20}, UpProj: {In: 12, Out: 20}, DownProj: {In: 20, Out: 12},
	},
}

var allModules = []Module{QProj, KProj, VProj, OProj, GateProj, UpProj, DownProj}

// random returns an adapter with random factors.
func random(d Dims, modules []Module, rank int, alpha float64, shared bool) *Adapter {
	rng := rand.New(rand.NewPCG(1, 2))
	a := New(d, modules, rank, alpha, shared)
	for _, e := range a.Pairs() {
		for _, f := range [2][]float32{e.A, e.B} {
			for i := range f {
				f[i] = float32(rng.NormFloat64())
			}
		}
	}
	a.Provenance = Provenance{
		Base:       Base{Name: "tiny", HubID: "example/Tiny", SHA256: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
		Repository: "example/repo", Commit: "8c4f1b2a8c4f1b2a8c4f1b2a8c4f1b2a8c4f1b2a", Tokens: 12,
	}
	return a
}

// formula returns the adapter of reference/lora.py.
func formula(d Dims, rank int, alpha float64) *Adapter {
	a := New(d, allModules, rank, alpha, false)
	for l := range a.Layers {
		for m, p := range a.Layers[l] {
			l, m, in := float64(l), float64(m), d.Modules[m].In
			for i := range p.A {
				row, col := float64(i/in), float64(i%in)
				p.A[i] = float32(0.02 * math.Sin(0.37*row+0.11*col+m+1.7*l))
			}
			for i := range p.B {
				row, col := float64(i/rank), float64(i%rank)
				p.B[i] = float32(0.02 * math.Sin(0.23*row+0.53*col+0.7*m+2.1*l+0.5))
			}
		}
	}
	return a
}

// readDims returns the dimensions of a GGUF base model.
func readDims(t *testing.T, path string) Dims {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	arch, _ := f.String("general.architecture")
	count := func(key string) int {
		v, ok := f.Uint(arch + "." + key)
		if !ok {
			t.Fatalf("%s: no key %s", path, key)
		}
		return int(v)
	}
	d := Dims{Arch: arch, NumHiddenLayers: count("block_count"),
		NumAttentionHeads: count("attention.head_count"), NumKeyValueHeads: count("attention.head_count_kv")}
	for m := range NumModules {
		info, ok := f.Tensor(ggufName(0, m))
		if !ok {
			t.Fatalf("%s: no tensor %s", path, ggufName(0, m))
		}
		d.Modules[m] = Shape{In: int(info.Dims[0]), Out: int(info.Dims[1])}
	}
	return d
}

// diff describes the first difference of two adapters' factors, or is empty.
// Values may differ by the relative tolerance.
func diff(t *testing.T, got, want *Adapter, tolerance float64) {
	t.Helper()
	if got.Dims != want.Dims || got.Rank != want.Rank || got.Alpha != want.Alpha {
		t.Fatalf("got %+v rank %d alpha %g, want %+v rank %d alpha %g", got.Dims, got.Rank, got.Alpha, want.Dims, want.Rank, want.Alpha)
	}
	for l := range want.Layers {
		for m := range NumModules {
			p, q := got.Layers[l][m], want.Layers[l][m]
			if (p == nil) != (q == nil) {
				t.Fatalf("layer %d %s: got pair %v, want %v", l, m, p != nil, q != nil)
			}
			if p == nil {
				continue
			}
			for k, f := range [2][2][]float32{{p.A, q.A}, {p.B, q.B}} {
				if len(f[0]) != len(f[1]) {
					t.Fatalf("layer %d %s: got %d values, want %d", l, m, len(f[0]), len(f[1]))
				}
				for i := range f[1] {
					if math.Abs(float64(f[0][i]-f[1][i])) > tolerance*math.Abs(float64(f[1][i])) {
						t.Fatalf("layer %d %s %c[%d]: got %g, want %g", l, m, "AB"[k], i, f[0][i], f[1][i])
					}
				}
			}
		}
	}
}
