package model

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/memory"
)

// allocated returns how many bytes f allocates.
func allocated(f func()) int64 {
	// Two collections empty the pool of arenas.
	runtime.GC()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// wide is a model whose passes need more than one chunk of an arena.
func wide(t *testing.T, arch string) *Model {
	t.Helper()
	m, err := NewRandom(Config{
		ModelType: arch, HiddenSize: 64, IntermediateSize: 512, NumHiddenLayers: 6, NumAttentionHeads: 4, NumKeyValueHeads: 2,
		HeadDim: 16, VocabSize: 301, MaxPositionEmbeddings: 2048, RMSNormEps: 1e-5, RopeTheta: 1000, TieWordEmbeddings: true,
	}, 7)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// skipRace skips a test that counts allocations: with the race detector, pools
// lose some of their contents on purpose.
func skipRace(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("counts allocations, which differ under the race detector")
	}
}

// TestGradientBytes compares the estimate with what a gradient allocates. It
// must not be less, and not much more.
func TestGradientBytes(t *testing.T) {
	skipRace(t)
	for _, arch := range []string{"llama", "qwen3"} {
		t.Run(arch, func(t *testing.T) {
			m := wide(t, arch)
			a := adapter.New(m.Config.Dims(), []adapter.Module{adapter.QProj, adapter.DownProj}, 4, 8, false)
			b := Batch{Adapters: []*adapter.Adapter{a}}
			rng, tokens := rand.New(rand.NewPCG(1, 1)), 0
			for range 64 {
				s := Sequence{Tokens: make([]int32, 80), Labels: []Label{{Pos: 79, Target: 1, Weight: 1}}}
				for i := range s.Tokens {
					s.Tokens[i] = int32(rng.IntN(m.VocabSize))
				}
				b.Sequences, tokens = append(b.Sequences, s), tokens+len(s.Tokens)
			}
			want, least := m.GradientBytes(kernel.CurrentPrecision(), tokens, len(b.Sequences), a.Rank)
			got := allocated(func() {
				if _, err := m.Gradient(context.Background(), b, GradientOptions{}); err != nil {
					t.Fatal(err)
				}
			})
			t.Logf("estimated %s, allocated %s", memory.FormatSize(want), memory.FormatSize(got))
			if least >= want {
				t.Errorf("least %s, most %s", memory.FormatSize(least), memory.FormatSize(want))
			}
			if got > want || got < want/2 {
				t.Errorf("allocated %s, want at most the estimate of %s, and at least half of it",
					memory.FormatSize(got), memory.FormatSize(want))
			}
		})
	}
}

// TestContextBytes does the same for a context: a cache and the pass that fills
// it.
func TestContextBytes(t *testing.T) {
	skipRace(t)
	m := wide(t, "qwen2")
	const prompt = 1500
	held, packings := m.contextBytes(prompt, prompt, 0)
	want := held + packings
	c, err := m.NewCache(nil)
	if err != nil {
		t.Fatal(err)
	}
	got := allocated(func() {
		if _, err := m.Extend(context.Background(), []Extension{{Cache: c, Tokens: make([]int32, prompt)}}); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("estimated %s, allocated %s", memory.FormatSize(want), memory.FormatSize(got))
	if got > want || got < want/2 {
		t.Errorf("allocated %s, want at most the estimate of %s, and at least half of it",
			memory.FormatSize(got), memory.FormatSize(want))
	}
}

// TestShortage checks that nothing large is allocated when memory is short.
func TestShortage(t *testing.T) {
	m := wide(t, "llama")
	t.Setenv(memory.Variable, "1kB")
	var err error
	if got := allocated(func() { err = m.NeedContext(2000, 1000, 8) }); got > 1<<20 {
		t.Errorf("NeedContext allocated %d bytes", got)
	}
	checkShortage(t, err)
	checkShortage(t, m.needWeights())
	_, _, err = Load("testdata/tiny-llama.gguf")
	checkShortage(t, err)
	t.Setenv(memory.Variable, "8GiB")
	if err := m.NeedContext(2000, 1000, 8); err != nil {
		t.Errorf("8 GiB: %v", err)
	}
	t.Setenv(memory.Variable, "much")
	if _, _, err = Load("testdata/tiny-llama.gguf"); !errors.Is(err, memory.ErrSize) {
		t.Errorf("got error %v, want memory.ErrSize", err)
	}
}

func checkShortage(t *testing.T, err error) {
	t.Helper()
	var s *memory.Shortage
	if !errors.As(err, &s) || s.Available >= s.Needed || s.Remedy == "" {
		t.Errorf("got error %v, want a memory.Shortage with less available than needed", err)
	}
}
