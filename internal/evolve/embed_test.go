package evolve

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/testutil"
)

func newDiffEncoder(t *testing.T, change func(*DiffOptions)) *DiffEncoder {
	t.Helper()
	m, tok := tinyBase(t)
	o := DefaultDiffOptions()
	o.Layer, o.Chunk, o.Min = 1, 16, 4
	if change != nil {
		change(&o)
	}
	e, err := NewDiffEncoder(o, "base", m, tok, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestDiffVector compares with the definition: hidden states of each window,
// their mean, maximum and mean over windows.
func TestDiffVector(t *testing.T) {
	e := newDiffEncoder(t, nil)
	text := code(1, 3)
	ws, err := e.windows(text)
	if err != nil || len(ws) < 3 || len(ws) > 4 {
		t.Fatalf("%d windows, %v; want 3 or 4", len(ws), err)
	}
	pool := NewDiffPool(e.model.HiddenSize)
	for _, w := range ws {
		h, err := e.model.Hidden(t.Context(), [][]int32{w}, 1)
		if err != nil {
			t.Fatal(err)
		}
		pool.Add(mean(h[0], len(w), e.model.HiddenSize))
	}
	got, err := e.Text(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	if d := testutil.RelativeError(got, pool.Vector()); d > 1e-3 { // float16 values
		t.Errorf("relative error %g", d)
	}
}

// TestDiffBatch checks that vectors do not depend on what is read together.
func TestDiffBatch(t *testing.T) {
	e := newDiffEncoder(t, nil)
	texts := []string{"", code(1, 2), "short", code(2, 60), code(1, 2), code(3, 1)}
	got := make([][]float32, len(texts))
	b := e.Batch()
	for i, text := range texts {
		if err := b.Add(t.Context(), text, func(v []float32) error { got[i] = v; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		want, err := e.Text(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got[i], want) || len(want) != e.Dim() {
			t.Errorf("diff %d: %v in a batch, %v alone", i, got[i], want)
		}
		if isZero(want) != (i == 0 || i == 2) {
			t.Errorf("diff %d: zero %t", i, isZero(want))
		}
	}
}

func TestDiffWindows(t *testing.T) {
	all, err := newDiffEncoder(t, func(o *DiffOptions) { o.MaxWindows = 0 }).windows(code(1, 40))
	if err != nil {
		t.Fatal(err)
	}
	n := len(all)
	for _, tt := range []struct {
		choose string
		want   []int
	}{{SelectFirst, []int{0, 1, 2}}, {SelectSpread, []int{n / 6, 3 * n / 6, 5 * n / 6}}} {
		got, err := newDiffEncoder(t, func(o *DiffOptions) { o.MaxWindows, o.Select = 3, tt.choose }).windows(code(1, 40))
		if err != nil || len(got) != 3 {
			t.Fatalf("%s: %d windows, %v; want 3", tt.choose, len(got), err)
		}
		for i, k := range tt.want {
			if !slices.Equal(got[i], all[k]) {
				t.Errorf("%s: window %d is not that at %d of %d", tt.choose, i, k, n)
			}
		}
	}
	cut := newDiffEncoder(t, func(o *DiffOptions) { o.MaxBytes = 60 })
	got, err1 := cut.Text(t.Context(), code(1, 40))
	want, err2 := cut.Text(t.Context(), code(1, 1))
	if err1 != nil || err2 != nil || !slices.Equal(got, want) {
		t.Errorf("a long diff is not cut behind its last whole line: %v, %v", err1, err2)
	}
}

func TestNewDiffEncoderRefuses(t *testing.T) {
	m, tok := tinyBase(t)
	for _, tt := range []struct {
		change func(*DiffOptions)
		want   string
	}{
		{func(o *DiffOptions) { o.Layer = m.NumHiddenLayers + 1 }, "layer"},
		{func(o *DiffOptions) { o.Chunk = m.MaxContext() + 1 }, "chunk"},
		{func(o *DiffOptions) { o.End = int32(m.VocabSize) }, "end"},
		{func(o *DiffOptions) { o.Select = "last" }, "select"},
		{func(o *DiffOptions) { o.MaxBytes = 0 }, "max_bytes"},
		{func(o *DiffOptions) { o.MaxWindows = -1 }, "max_windows"},
	} {
		o := DefaultDiffOptions()
		o.Layer = 1
		o.Chunk, o.Min = 16, 4
		tt.change(&o)
		if _, err := NewDiffEncoder(o, "base", m, tok, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got error %v, want one that contains %q", err, tt.want)
		}
	}
}

func TestProduction(t *testing.T) {
	for path, want := range map[string]bool{"a.py": true, "docs/x.rst": true, "README.md": true, "tests/a.py": false, "a_test.py": false,
		"a.go": false, "setup.cfg": false, "vendor/a.py": false} {
		if got := Production(path); got != want {
			t.Errorf("%s: %t, want %t", path, got, want)
		}
	}
}

// TestBetweenIncomplete asks for a diff in a clone that lacks what renamed files
// are found with. Its text would give another vector than the diff of the same
// trees elsewhere.
func TestBetweenIncomplete(t *testing.T) {
	e := newDiffEncoder(t, nil)
	cache := newMemory()
	e.cache = cache
	data := strings.Repeat("line of data\n", 30)
	r := history(t, map[string]string{"a.bin": data, "a.py": code(1, 3)}, map[string]string{"a.bin": deleted, "b.py": data + "x\n", "a.py": code(1, 4)})
	var all []gitrepo.Step
	if err := r.History(t.Context(), "HEAD", "", func(s gitrepo.Step) error { all = append(all, s); return nil }); err != nil {
		t.Fatal(err)
	}
	d, err := r.Diffs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	blob := all[0].Changes[0].Blob
	path := filepath.Join(r.GitDir(), "objects", blob[:2], blob[2:])
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if v, err := e.Between(t.Context(), d, all[0].Tree, all[1].Tree); !errors.Is(err, gitrepo.ErrMissingObject) {
		t.Errorf("got %v, %v, want ErrMissingObject", v, err)
	}
	if len(cache.data) != 0 {
		t.Error("a vector of an incomplete diff was cached")
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Between(t.Context(), d, all[0].Tree, all[1].Tree); err != nil || len(cache.data) != 2 {
		t.Errorf("with the object: got %v and %d cached vectors, want those of trees and text", err, len(cache.data))
	}
}
