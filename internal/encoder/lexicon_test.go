package encoder_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/model"
)

// lexicon is Σ w E[id] / Σ w over distinct ids, w = 1 + log(count).
func lexicon(t *testing.T, m *model.Model, ids []int32) []float64 {
	t.Helper()
	counts := map[int32]float64{}
	for _, id := range ids {
		counts[id]++
	}
	v, sum := make([]float64, m.HiddenSize), 0.0
	for _, c := range counts {
		sum += 1 + math.Log(c)
	}
	for id, c := range counts {
		row, err := m.Hidden(context.Background(), [][]int32{{id}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		for j, x := range row[0] {
			v[j] += (1 + math.Log(c)) / sum * float64(x)
		}
	}
	return v
}

// TestLexiconOfShortContext has files with more distinct tokens than the base
// has positions.
func TestLexiconOfShortContext(t *testing.T) {
	_, tok := tiny(t)
	m, err := model.NewRandom(model.Config{ModelType: "llama", HiddenSize: 8, IntermediateSize: 8, NumHiddenLayers: 1,
		NumAttentionHeads: 1, NumKeyValueHeads: 1, HeadDim: 8, VocabSize: tok.VocabSize(), MaxPositionEmbeddings: 8,
		RMSNormEps: 1e-5, RopeTheta: 1000, TieWordEmbeddings: true}, 1)
	if err != nil {
		t.Fatal(err)
	}
	o := encoder.Options{Kind: encoder.KindHidden, Layer: 1, Chunk: 8, Min: 2, Lexicon: true}
	e, err := encoder.New(o, m, tok, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := encode(t, e, &tree{files: sources()}).Tensors[embedding.Repository].Data
	want, _, _ := naive(t, o, m, tok, sources())
	for i, x := range got {
		if math.Abs(float64(x)-want[i]) > 1e-5 {
			t.Fatalf("value %d: got %g, want %g", i, x, want[i])
		}
	}
}

// TestLexiconDirection checks that the direction solves the equations that it
// is defined by: (EᵀE + λ) (a ∘ norm) = s.
func TestLexiconDirection(t *testing.T) {
	m, tok := tiny(t)
	o := hiddenOptions()
	o.Lexicon = true
	e, err := encoder.New(o, m, tok, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := encode(t, e, &tree{files: sources()})
	d := m.HiddenSize
	a, s := r.Tensors[embedding.Lexicon], r.Tensors[embedding.Repository].Data[d:2*d]
	if len(a.Shape) != 1 || a.Shape[0] != d || len(a.Data) != d {
		t.Fatalf("direction of shape %v, want [%d]", a.Shape, d)
	}
	x, got, trace := make([]float64, d), make([]float64, d), 0.0
	for i, w := range m.OutputNorm() {
		x[i] = float64(a.Data[i]) * float64(w)
	}
	row := make([]float32, d)
	for id := range m.VocabSize {
		m.OutputRow(row, int32(id))
		logit := 0.0
		for i, v := range row {
			logit += float64(v) * x[i]
			trace += float64(v) * float64(v)
		}
		for i, v := range row {
			got[i] += logit * float64(v)
		}
	}
	for i := range got {
		got[i] += 0.1 * trace / float64(d) * x[i]
		if math.Abs(got[i]-float64(s[i])) > 1e-4 {
			t.Errorf("equation %d: got %g, want %g", i, got[i], s[i])
		}
	}
	plain := encode(t, newEncoder(t, hiddenOptions(), nil), &tree{files: sources()})
	if _, ok := plain.Tensors[embedding.Lexicon]; ok {
		t.Error("a direction without the option")
	}
}

// TestLexiconFactorIsCached checks that the cache of the factor changes no bit,
// whatever it holds, and that it is used.
func TestLexiconFactorIsCached(t *testing.T) {
	o := hiddenOptions()
	o.Lexicon = true
	direction := func(c encoder.Cache) []float32 {
		return encode(t, newEncoder(t, o, c), &tree{files: sources()}).Tensors[embedding.Lexicon].Data
	}
	want := direction(nil)
	same := func(name string, got []float32) {
		t.Helper()
		for i := range want {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Fatalf("%s: value %d: got %g, want %g", name, i, got[i], want[i])
			}
		}
	}
	c := newMemory()
	same("cold", direction(encoder.BaseOnly(c)))
	if len(c.data) != 1 {
		t.Fatalf("%d entries in a cache for the base alone, want the factor", len(c.data))
	}
	var key string
	for key = range c.data {
	}
	good := c.data[key]
	same("warm", direction(encoder.BaseOnly(c)))
	if c.puts != 1 {
		t.Errorf("%d entries put, want 1", c.puts)
	}

	first := func(x float64) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, math.Float64bits(x)), good[8:]...)
	}
	for name, data := range map[string][]byte{
		"empty": {}, "short": good[:len(good)-8], "long": append(slices.Clone(good), good[:8]...),
		"NaN": first(math.NaN()), "infinite": first(math.Inf(1)), "singular": first(0), "negative": first(-1),
	} {
		c.data[key] = data
		same(name, direction(encoder.BaseOnly(c)))
		if !bytes.Equal(c.data[key], good) {
			t.Errorf("%s: the entry was not replaced", name)
		}
	}
	c.data[key] = first(2 * math.Float64frombits(binary.LittleEndian.Uint64(good)))
	if got := direction(encoder.BaseOnly(c)); slices.Equal(got, want) {
		t.Error("the cached factor was not used")
	}
	if encoder.BaseOnly(nil) != nil {
		t.Error("a cache made of none")
	}
	other := o
	other.Base = "c0de"
	if got := encode(t, newEncoder(t, other, c), &tree{files: sources()}).Tensors[embedding.Lexicon].Data; !slices.Equal(got, want) {
		t.Error("the factor of another base was used")
	}
}
