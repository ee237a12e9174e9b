package model_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/model"
)

func newCache(t *testing.T, m *model.Model, a *adapter.Adapter) *model.Cache {
	t.Helper()
	c, err := m.NewCache(a)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// extend appends tokens and returns the logits.
func extend(t *testing.T, m *model.Model, c *model.Cache, tokens []int32) []float32 {
	t.Helper()
	rows, err := m.Extend(context.Background(), []model.Extension{{Cache: c, Tokens: tokens}})
	if err != nil {
		t.Fatal(err)
	}
	return rows[0]
}

// countdown is a context that ends after its error was asked for n times.
type countdown struct {
	context.Context
	n int
}

func (c *countdown) Err() error {
	if c.n--; c.n < 0 {
		return context.Canceled
	}
	return nil
}

// TestTruncate goes back in a sequence, and on in another way.
func TestTruncate(t *testing.T) {
	m := tiny(t, "llama")
	a := randomAdapter(m, 1, false)
	ids := randomTokens(8, 11, 23)
	c := newCache(t, m, a)
	extend(t, m, c, ids)
	c.Truncate(20)
	if got := c.Len(); got != 11 {
		t.Errorf("truncated to more than there is: %d tokens, want 11", got)
	}
	c.Truncate(4)
	if got := c.Len(); got != 4 {
		t.Fatalf("%d tokens, want 4", got)
	}
	other := randomTokens(9, 3, 23)
	got := extend(t, m, c, other)
	want := extend(t, m, newCache(t, m, a), slices.Concat(ids[:4], other))
	for v := range want {
		if d := got[v] - want[v]; d > 1e-4 || d < -1e-4 {
			t.Fatalf("logit %d: %g after truncation, %g from the beginning", v, got[v], want[v])
		}
	}
	c.Truncate(-1)
	if got := c.Len(); got != 0 {
		t.Errorf("truncated to less than nothing: %d tokens, want 0", got)
	}
}

func TestExtendRefuses(t *testing.T) {
	m, other := tiny(t, "llama"), tiny(t, "llama")
	c, full := newCache(t, m, nil), newCache(t, m, nil)
	extend(t, m, full, make([]int32, m.MaxContext()))
	ok := model.Extension{Cache: newCache(t, m, nil), Tokens: []int32{1}}
	for _, tt := range []struct {
		name string
		exts []model.Extension
		want string
	}{
		{"no cache", []model.Extension{{Tokens: []int32{1}}}, "extension 0"},
		{"foreign cache", []model.Extension{ok, {Cache: newCache(t, other, nil), Tokens: []int32{1}}}, "another model"},
		{"twice", []model.Extension{{Cache: c, Tokens: []int32{1}}, {Cache: c, Tokens: []int32{2}}}, "used twice"},
		{"no tokens", []model.Extension{ok, {Cache: c}}, "extension 1 has no tokens"},
		{"no such token", []model.Extension{{Cache: c, Tokens: []int32{1, 23}}}, "token 23 at position 1"},
		{"too long", []model.Extension{{Cache: full, Tokens: []int32{1}}}, "sequence of 129 tokens"},
	} {
		if _, err := m.Extend(context.Background(), tt.exts); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one that contains %q", tt.name, err, tt.want)
		}
	}
	if c.Len() != 0 || ok.Cache.Len() != 0 {
		t.Errorf("caches of refused extensions hold %d and %d tokens, want none", c.Len(), ok.Cache.Len())
	}
	if rows, err := m.Extend(context.Background(), nil); len(rows) != 0 || err != nil {
		t.Errorf("nothing to extend: got %d rows and error %v", len(rows), err)
	}
	if _, err := m.NewCache(randomAdapter(tiny(t, "qwen2"), 1, false)); err == nil {
		t.Error("a cache for an adapter of another base: no error")
	}
}

func TestHiddenRefuses(t *testing.T) {
	m := tiny(t, "llama")
	for _, tt := range []struct {
		name   string
		seqs   [][]int32
		blocks int
		want   string
	}{
		{"no tokens", [][]int32{{1}, nil}, 1, "sequence 1 has no tokens"},
		{"no such token", [][]int32{{-1}}, 1, "token -1"},
		{"too deep", [][]int32{{1}}, 4, "after 4 blocks"},
		{"negative", [][]int32{{1}}, -1, "after -1 blocks"},
	} {
		if _, err := m.Hidden(context.Background(), tt.seqs, tt.blocks); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one that contains %q", tt.name, err, tt.want)
		}
	}
	if got, err := m.Hidden(context.Background(), nil, 1); len(got) != 0 || err != nil {
		t.Errorf("no sequences: got %d and error %v", len(got), err)
	}
}

// TestCancel ends the context at every point where a pass looks at it.
func TestCancel(t *testing.T) {
	m := tiny(t, "llama")
	L := m.NumHiddenLayers
	c := newCache(t, m, nil)
	ids := randomTokens(8, 5, 23)
	for name, tt := range map[string]struct {
		looks int // at the beginning, and before each layer
		run   func(ctx context.Context) error
	}{
		"extend": {1 + L, func(ctx context.Context) error {
			_, err := m.Extend(ctx, []model.Extension{{Cache: c, Tokens: ids}})
			return err
		}},
		"hidden": {1 + 2, func(ctx context.Context) error {
			_, err := m.Hidden(ctx, [][]int32{ids}, 2)
			return err
		}},
		"score": {1 + L, func(ctx context.Context) error {
			_, err := m.Score(ctx, testBatch(m))
			return err
		}},
		"gradient": {1 + 2*L, func(ctx context.Context) error {
			_, err := m.Gradient(ctx, testBatch(m), model.GradientOptions{})
			return err
		}},
	} {
		for n := range tt.looks {
			if err := tt.run(&countdown{context.Background(), n}); !errors.Is(err, context.Canceled) {
				t.Errorf("%s, cancelled after %d looks: got error %v", name, n, err)
			}
		}
		if c.Len() != 0 {
			t.Fatalf("%s: the cache holds %d tokens of cancelled passes", name, c.Len())
		}
		if err := tt.run(&countdown{context.Background(), tt.looks}); err != nil {
			t.Errorf("%s, not cancelled: %v", name, err)
		}
		c.Truncate(0)
	}
	// What cancelled passes left in a cache does not show.
	got, want := extend(t, m, c, ids), extend(t, m, newCache(t, m, nil), ids)
	if !slices.Equal(got, want) {
		t.Error("logits differ after cancelled passes")
	}
}

// TestOutputRow checks that a token's logit is the product of its row with the
// normalised hidden state.
func TestOutputRow(t *testing.T) {
	for _, arch := range []string{"llama", "qwen2"} { // tied, and not
		m := tiny(t, arch)
		ids := randomTokens(8, 5, 23)
		h, err := m.Hidden(context.Background(), [][]int32{ids}, m.NumHiddenLayers)
		if err != nil {
			t.Fatal(err)
		}
		D := m.HiddenSize
		x, sumsq := h[0][4*D:], 0.0
		for _, v := range x {
			sumsq += float64(v) * float64(v)
		}
		row := make([]float32, D)
		for v, want := range extend(t, m, newCache(t, m, nil), ids) {
			m.OutputRow(row, int32(v))
			var logit float64
			for d, w := range m.OutputNorm() {
				logit += float64(x[d]) * float64(w) * float64(row[d])
			}
			logit /= math.Sqrt(sumsq/float64(D) + m.RMSNormEps)
			if d := logit - float64(want); d > 1e-4 || d < -1e-4 {
				t.Errorf("%s: logit %d is %g, want %g", arch, v, logit, want)
			}
		}
	}
}

// TestExtendAll demands the same logits, to the bit, of tokens one by one, of
// all of them at once, in pieces, and beside other sequences.
func TestExtendAll(t *testing.T) {
	for _, arch := range []string{"llama", "qwen2", "qwen3"} {
		m := tiny(t, arch)
		a := randomAdapter(m, 1, false)
		ids := randomTokens(8, 90, 23) // over a page
		one := newCache(t, m, a)
		var want []float32
		for i := range ids {
			want = append(want, extend(t, m, one, ids[i:i+1])...)
		}
		rows := func(c *model.Cache, ids []int32, which model.Rows) []float32 {
			exts := []model.Extension{
				{Cache: newCache(t, m, nil), Tokens: ids[:1]},
				{Cache: c, Tokens: ids, Logits: which},
				{Cache: newCache(t, m, randomAdapter(m, 2, true)), Tokens: []int32{3, 4}, Logits: model.NoRows},
			}
			got, err := m.Extend(context.Background(), exts)
			if err != nil {
				t.Fatal(err)
			}
			if len(got[0]) != 23 || len(got[2]) != 0 {
				t.Fatalf("%d and %d logits, want 23 and none", len(got[0]), len(got[2]))
			}
			return got[1]
		}
		if got := rows(newCache(t, m, a), ids, model.AllRows); !slices.Equal(got, want) {
			t.Errorf("%s: all at once differ from one by one", arch)
		}
		c := newCache(t, m, a)
		rows(c, ids[:31], model.NoRows)
		rows(c, ids[31:80], model.NoRows)
		if got := rows(c, ids[80:], model.AllRows); !slices.Equal(got, want[80*23:]) {
			t.Errorf("%s: pieces differ from one by one", arch)
		}
	}
}

// TestFork continues a sequence in several ways, from places in and between
// pages; each way must go as if it were alone.
func TestFork(t *testing.T) {
	m := tiny(t, "llama")
	a := randomAdapter(m, 1, false)
	ids := randomTokens(8, 128, 23)
	c := newCache(t, m, a)
	extend(t, m, c, ids[:127])
	for _, n := range []int{-1, 0, 1, 63, 64, 65, 126, 127, 200} {
		f := c.Fork(n)
		held := min(127, max(0, n))
		if f.Len() != held {
			t.Fatalf("a fork of %d tokens has %d", n, f.Len())
		}
		tail := []int32{int32(n+2) % 23}
		want := extend(t, m, newCache(t, m, a), slices.Concat(ids[:held], tail))
		if got := extend(t, m, f, tail); !slices.Equal(got, want) {
			t.Errorf("a fork of %d tokens goes on in another way", n)
		}
	}
	// Going back into a shared page must not change it for others.
	f := c.Fork(126)
	c.Truncate(10)
	extend(t, m, c, []int32{1, 2, 3})
	want := extend(t, m, newCache(t, m, a), ids)
	if got := extend(t, m, f, ids[126:]); !slices.Equal(got, want) {
		t.Error("a fork changed with the cache that it came from")
	}
	if got, want := c.Bytes(), m.CacheBytes(13); got != want {
		t.Errorf("a cache of 13 tokens takes %d bytes, want %d", got, want)
	}
}

// TestPackedIsACopy changes an adapter after it was packed.
func TestPackedIsACopy(t *testing.T) {
	m := tiny(t, "llama")
	a := randomAdapter(m, 1, true)
	p, err := m.Pack(a)
	if err != nil {
		t.Fatal(err)
	}
	ids := randomTokens(8, 5, 23)
	want := extend(t, m, newCache(t, m, a), ids)
	clear(a.Pairs()[0].A)
	if got := extend(t, m, m.NewCacheOf(p), ids); !slices.Equal(got, want) {
		t.Error("a packed adapter changed with the adapter")
	}
	if unshared, err := m.Pack(randomAdapter(m, 1, false)); err != nil || unshared.Bytes() != 3*p.Bytes() {
		t.Errorf("factors of 3 layers take %d bytes, shared ones %d; error %v", unshared.Bytes(), p.Bytes(), err)
	}
}
