package model_test

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/code2lora/code2lora/internal/catalog"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
)

// TestQuantisedScores bounds what the precision int8 changes in the scores of
// real weights on this package's own source: perplexity by less than 1 %, and
// the most likely token at few positions.
func TestQuantisedScores(t *testing.T) {
	if testing.Short() {
		t.Skip("needs real weights")
	}
	path, err := catalog.Ensure(context.Background(), "smollm2-135m", catalog.Options{Notice: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	was := kernel.CurrentPrecision()
	defer kernel.SetPrecision(was)
	if err := kernel.SetPrecision(kernel.Int8); err != nil {
		t.Fatal(err)
	}
	m, tok, err := model.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var b model.Batch
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range files[:6] {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		ids := tok.Encode(string(bytes.ToValidUTF8(text, nil)))
		s := model.Sequence{Tokens: ids[:min(len(ids), 200)], Adapter: -1}
		for i, id := range s.Tokens[1:] {
			s.Labels = append(s.Labels, model.Label{Pos: i, Target: id, Weight: 1})
		}
		n += len(s.Labels)
		b.Sequences = append(b.Sequences, s)
	}
	score := func(p kernel.Precision) *model.Result {
		t.Helper()
		if err := kernel.SetPrecision(p); err != nil {
			t.Fatal(err)
		}
		r, err := m.Score(context.Background(), b)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	got, want := score(kernel.Int8), score(kernel.Float32)
	if change := math.Exp((got.Loss-want.Loss)/float64(n)) - 1; !(math.Abs(change) < 0.01) {
		t.Errorf("perplexity of %d tokens changes by %.2f %%, want less than 1", n, 100*change)
	}
	if got.Loss == want.Loss {
		t.Error("the loss is that of float32: the precision did nothing")
	}
	different := 0
	for i := range want.Argmax {
		for j := range want.Argmax[i] {
			if got.Argmax[i][j] != want.Argmax[i][j] {
				different++
			}
		}
	}
	if different > n/16 {
		t.Errorf("the most likely token differs at %d of %d positions, want at most a sixteenth", different, n)
	}
	t.Logf("%d tokens: loss %.4f in float32, %.4f in int8; %d other tokens", n, want.Loss/float64(n), got.Loss/float64(n), different)
}
