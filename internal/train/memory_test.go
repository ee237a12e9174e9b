package train

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/memory"
)

// TestJobShortage checks that a run which cannot fit says so before it begins.
func TestJobShortage(t *testing.T) {
	c, d := workshop(t)
	j, err := NewJob(context.Background(), c, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(memory.Variable, "1kB")
	if _, err := NewJob(context.Background(), c, d); err == nil || !strings.Contains(err.Error(), "the hypernetwork with its gradients") {
		t.Errorf("1 kB: got error %v, want one about the hypernetwork", err)
	}
	t.Setenv(memory.Variable, "50MiB")
	err = j.Do(context.Background(), func(Progress) { t.Error("a step was taken") })
	var s *memory.Shortage
	if !errors.As(err, &s) || s.Needed < 64<<20 || s.Available > 50<<20 {
		t.Fatalf("got error %v, want a memory.Shortage with 64 MiB needed and less than 50 MiB available", err)
	}
	for _, want := range []string{"tokens, the most of a training step", "train.tokens_per_share"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got message %q, want one with %q", err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(c.Dir(), metricsFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("metrics: got error %v, want that there are none", err)
	}
	t.Setenv(memory.Variable, "")
	if err := j.Do(context.Background(), func(Progress) {}); err != nil {
		t.Errorf("with enough memory: %v", err)
	}
}

// TestLargestPass counts by hand: windows of 4, 6 and 5 tokens up to their last
// label in a repository, and one of 7 in another.
func TestLargestPass(t *testing.T) {
	window := func(tokens, to int) Window { return Window{Tokens: make([]int32, tokens), Tasks: []Span{{to - 1, to}}} }
	repos := []*Repository{
		{Windows: []Window{window(9, 4), window(9, 6), window(9, 5)}},
		{Windows: []Window{window(9, 7)}},
	}
	for _, tt := range []struct {
		tokens, shares, accumulate int
		want                       largest
	}{
		{1, 1, 1, largest{7, 2, 1}},      // a window at a time
		{100, 1, 1, largest{15, 6, 1}},   // a repository at a time
		{100, 2, 1, largest{22, 8, 2}},   // all
		{100, 2, 2, largest{15, 6, 1}},   // all, in two passes
		{100, 9, 100, largest{15, 6, 1}}, // more passes than shares
	} {
		r := Run{Train: repos, Options: Options{Epochs: 2, TokensPerShare: tt.tokens, SharesPerStep: tt.shares, Accumulate: tt.accumulate}}
		if got := r.largestPass(); got != tt.want {
			t.Errorf("%d tokens per share, %d shares, %d passes: got %+v, want %+v", tt.tokens, tt.shares, tt.accumulate, got, tt.want)
		}
	}
}
