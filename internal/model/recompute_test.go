package model

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/memory"
)

// recomputeBatch has sequences with a common prefix under two adapters, of
// which one leaves the lowest layer alone.
func recomputeBatch(m *Model) Batch {
	rng := rand.New(rand.NewPCG(3, 3))
	ids := func(n int) []int32 {
		s := make([]int32, n)
		for i := range s {
			s[i] = int32(rng.IntN(m.VocabSize))
		}
		return s
	}
	full := adapter.New(m.Config.Dims(), []adapter.Module{adapter.QProj, adapter.VProj, adapter.OProj, adapter.UpProj, adapter.DownProj}, 4, 8, false)
	part := adapter.New(m.Config.Dims(), []adapter.Module{adapter.KProj, adapter.GateProj, adapter.DownProj}, 2, 8, false)
	for l := range 2 {
		full.Layers[l] = [adapter.NumModules]*adapter.Pair{}
	}
	part.Layers[0], part.Layers[1], part.Layers[5] = full.Layers[0], full.Layers[1], full.Layers[0]
	for _, a := range []*adapter.Adapter{full, part} {
		for _, e := range a.Pairs() {
			for _, f := range [2][]float32{e.A, e.B} {
				for i := range f {
					f[i] = float32(rng.NormFloat64() * 0.1)
				}
			}
		}
	}
	b := Batch{Adapters: []*adapter.Adapter{full, part}}
	prefix := ids(20)
	for i := range 6 {
		s := Sequence{Tokens: append(slices.Clone(prefix), ids(9)...), Adapter: i % 3 / 2}
		for j := range 4 {
			s.Labels = append(s.Labels, Label{Pos: 25 + j, Target: int32(j), Weight: 1})
		}
		b.Sequences = append(b.Sequences, s)
	}
	return b
}

// TestRecompute gives a pass less and less memory. It must keep to it, compute
// layers again where it has to, and come to the same bits.
func TestRecompute(t *testing.T) {
	for _, arch := range []string{"llama", "qwen2", "qwen3"} {
		t.Run(arch, func(t *testing.T) {
			m, ctx := wide(t, arch), context.Background()
			b := recomputeBatch(m)
			want, most, err := m.evaluate(ctx, b, &GradientOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if most.restored != 0 {
				t.Errorf("%d layers computed again without a limit", most.restored)
			}
			const n = 4 // layers 2 to 5 are adapted
			f := m.footprint(most.rows, b.numLabels(), 4, true)
			for full := n; full >= 1; full-- {
				opt := GradientOptions{Memory: 4 * f.total(n, full)}
				got, took, err := m.evaluate(ctx, b, &opt)
				if err != nil {
					t.Fatalf("%d layers saved: %v", full, err)
				}
				if took.restored != n-full {
					t.Errorf("memory for %d of %d layers: %d computed again", full, n, took.restored)
				}
				if used := 4 * int64(took.peak); used > opt.Memory || used < opt.Memory*9/10 {
					t.Errorf("%d layers saved: %d bytes in use, of %d", full, used, opt.Memory)
				}
				sameBits(t, got, want)
			}
			_, _, err = m.evaluate(ctx, b, &GradientOptions{Memory: 4*f.total(n, 1) - 1})
			var s *memory.Shortage
			if !errors.As(err, &s) || s.Needed != 4*f.total(n, 1) {
				t.Errorf("a byte too little: got error %v, want a memory.Shortage of %d bytes", err, 4*f.total(n, 1))
			}
			if _, _, err := m.evaluate(ctx, b, &GradientOptions{Memory: -1}); err == nil {
				t.Error("negative limit: no error")
			}
		})
	}
}

// sameBits demands the same loss and gradients.
func sameBits(t *testing.T, got, want *Result) {
	t.Helper()
	if got.Loss != want.Loss {
		t.Errorf("loss %g, want %g", got.Loss, want.Loss)
	}
	for i := range want.Grads {
		w := want.Grads[i].Pairs()
		for j, e := range got.Grads[i].Pairs() {
			if !slices.Equal(e.A, w[j].A) || !slices.Equal(e.B, w[j].B) {
				t.Errorf("adapter %d layer %d %s: gradients differ", i, e.Layer, e.Module)
			}
		}
	}
}

// TestRecomputeFrom does the same for a pass that begins at hidden states.
func TestRecomputeFrom(t *testing.T) {
	m, ctx := wide(t, "llama"), context.Background()
	b := recomputeBatch(m)
	want, _, err := m.evaluate(ctx, b, &GradientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.From = 2
	for i, s := range b.Sequences {
		h, err := m.Hidden(ctx, [][]int32{s.Tokens}, b.From)
		if err != nil {
			t.Fatal(err)
		}
		b.Sequences[i].Hidden = h[0]
	}
	rows := 2*20 + 6*9
	opt := GradientOptions{Memory: 4 * m.footprint(rows, b.numLabels(), 4, true).total(4, 2)}
	got, took, err := m.evaluate(ctx, b, &opt)
	if err != nil {
		t.Fatal(err)
	}
	if took.rows != rows || took.restored != 2 {
		t.Errorf("%d rows, %d layers computed again, want %d and 2", took.rows, took.restored, rows)
	}
	sameBits(t, got, want)
}

// TestScoreRows: scoring computes no row twice, and none without need.
func TestScoreRows(t *testing.T) {
	m := wide(t, "qwen2")
	b := recomputeBatch(m)
	for i := range b.Sequences { // a tail that no label needs
		b.Sequences[i].Tokens = append(b.Sequences[i].Tokens, 1, 2, 3)
	}
	_, took, err := m.evaluate(context.Background(), b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := 2*20 + 6*9; took.rows != want {
		t.Errorf("%d rows, want %d: two prefixes of 20 tokens and six ends of 9", took.rows, want)
	}
	if limit := m.footprint(took.rows, b.numLabels(), 4, false).total(1, 1); int64(took.peak) > limit {
		t.Errorf("%d values in use, estimated %d", took.peak, limit)
	}
}

// TestRecomputeAvailable leaves too little of the machine's memory to save all
// layers: the pass must do with what there is, to the same bits, or say what it
// needs.
func TestRecomputeAvailable(t *testing.T) {
	skipRace(t)
	m, ctx := wide(t, "llama"), context.Background()
	b := recomputeBatch(m)
	rng := rand.New(rand.NewPCG(5, 5))
	for i := range b.Sequences {
		for range 1500 {
			b.Sequences[i].Tokens = append(b.Sequences[i].Tokens, int32(rng.IntN(m.VocabSize)))
		}
		b.Sequences[i].Labels = append(b.Sequences[i].Labels, Label{Pos: len(b.Sequences[i].Tokens) - 1, Weight: 1})
	}
	want, took, err := m.evaluate(ctx, b, &GradientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if took.restored != 0 {
		t.Fatalf("%d layers computed again where memory is plenty", took.restored)
	}
	f := m.footprint(took.rows, b.numLabels(), 4, true)
	limit := func(bytes int64) {
		runtime.GC() // twice, to empty the pool of arenas
		runtime.GC()
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		t.Setenv(memory.Variable, fmt.Sprintf("%dkB", (int64(now.Sys-now.HeapIdle)+bytes)/1000))
	}
	const spare = 4 << 20 // what else the process takes meanwhile
	limit(m.arenaBytes(f.total(4, 2), took.rows) + spare)
	got, took, err := m.evaluate(ctx, b, &GradientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if took.restored == 0 {
		t.Error("no layer was computed again")
	}
	sameBits(t, got, want)
	limit(4 * f.total(4, 1) / 2)
	_, _, err = m.evaluate(ctx, b, &GradientOptions{})
	checkShortage(t, err)
}
