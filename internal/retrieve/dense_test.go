package retrieve

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/model"
)

// TestHidden: a vector is the mean of hidden states, whatever is embedded beside
// it, and of the first tokens only.
func TestHidden(t *testing.T) {
	m, tok, err := model.Load("../model/testdata/tiny-llama.gguf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	h := must(NewHidden(m, tok, HiddenOptions{Layer: 1, Tokens: 20}))
	long := strings.Repeat("def f(x): return x\n", 40)
	texts := []string{"a = 1", "", long, "class B: pass", long + "more"}
	all, err := h.Embed(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		alone, err := h.Embed(t.Context(), []string{text})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(alone[0], all[i]) {
			t.Errorf("%.20q: another vector beside others", text)
		}
		want := make([]float64, m.HiddenSize)
		if ids := tok.Encode(text); len(ids) > 0 {
			ids = ids[:min(20, len(ids))]
			states, err := m.Hidden(t.Context(), [][]int32{ids}, 1)
			if err != nil {
				t.Fatal(err)
			}
			for j, x := range states[0] {
				want[j%m.HiddenSize] += float64(x) / float64(len(ids))
			}
		}
		for j, x := range all[i] {
			if math.Abs(float64(x)-want[j]) > 1e-5*(1+math.Abs(want[j])) {
				t.Fatalf("%.20q: got %g at %d, want %g", text, x, j, want[j])
			}
		}
	}
	if !slices.Equal(all[2], all[4]) {
		t.Error("what is behind the first 20 tokens changed the vector")
	}
	for _, o := range []HiddenOptions{{Layer: -1}, {Layer: m.NumHiddenLayers + 1}, {Tokens: -1}, {Tokens: m.MaxContext() + 1}} {
		if _, err := NewHidden(m, tok, o); err == nil {
			t.Errorf("%+v: want an error", o)
		}
	}
	if got := must(NewHidden(m, tok, HiddenOptions{Base: "b1"})).Name(); !strings.Contains(got, "base=b1") {
		t.Errorf("name %q doesn't name the base", got)
	}
}

func TestUnitLength(t *testing.T) {
	if got := unitLength([]float32{3, 4}); math.Abs(float64(got[0])-0.6) > 1e-6 || math.Abs(float64(got[1])-0.8) > 1e-6 {
		t.Errorf("got %v, want 0.6, 0.8", got)
	}
	if got := unitLength([]float32{0, 0}); !slices.Equal(got, []float32{0, 0}) {
		t.Errorf("zeros: got %v", got)
	}
}
