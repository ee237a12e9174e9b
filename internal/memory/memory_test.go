package memory

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
)

// fixed is a source that always says the same.
func fixed(bytes int64, within string) source {
	return func() (Amount, bool) { return Amount{bytes, within}, true }
}

func TestAvailable(t *testing.T) {
	unknown := func() (Amount, bool) { return Amount{}, false }
	for _, tt := range []struct {
		name       string
		sources    []source
		soft, heap int64
		variable   string
		want       int64
		within     string
	}{
		{"nothing known", nil, math.MaxInt64, 0, "", math.MaxInt64, "no known limit"},
		{"unknown sources", []source{unknown, unknown}, math.MaxInt64, 0, "", math.MaxInt64, "no known limit"},
		{"the least", []source{fixed(7, "a"), unknown, fixed(5, "b"), fixed(6, "c")}, math.MaxInt64, 0, "", 5, "b"},
		{"over a limit", []source{fixed(-3, "a")}, math.MaxInt64, 0, "", 0, "a"},
		{"GOMEMLIMIT", []source{fixed(7000, "a")}, 8192, 2048, "", 6144, "GOMEMLIMIT is 8.0 KiB"},
		{"GOMEMLIMIT is used up", nil, 1000, 1001, "", 0, "GOMEMLIMIT is 1000 B"},
		{"variable", []source{fixed(1<<40, "a")}, math.MaxInt64, 1 << 30, "4GiB", 3 << 30, "CODE2LORA_MEMORY is 4.0 GiB"},
		{"variable above the rest", []source{fixed(7, "a")}, math.MaxInt64, 1 << 30, "4GiB", 7, "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := system{tt.sources, func() int64 { return tt.soft }, func() int64 { return tt.heap }}
			got, err := s.available(tt.variable)
			if want := (Amount{tt.want, tt.within}); err != nil || got != want {
				t.Errorf("got %+v, error %v, want %+v", got, err, want)
			}
		})
	}
}

func TestNeed(t *testing.T) {
	t.Setenv(Variable, "64MiB")
	if err := Need("a bit", 1<<20, ""); err != nil {
		t.Errorf("1 MiB of 64: %v", err)
	}
	err := Need("model qwen.gguf", 6657199309, "take a smaller base")
	var s *Shortage
	if !errors.As(err, &s) {
		t.Fatalf("got error %v, want a Shortage", err)
	}
	if s.Needed != 6657199309 || s.Available <= 1<<20 || s.Available >= 64<<20 {
		t.Errorf("got %+v, want 6657199309 needed and between 1 and 64 MiB available", s)
	}
	s.Available = 3328599654
	want := "model qwen.gguf needs 6.2 GiB of memory, 3.1 GiB are available (CODE2LORA_MEMORY is 64.0 MiB): take a smaller base"
	if got := err.Error(); got != want {
		t.Errorf("got message %q, want %q", got, want)
	}
	t.Setenv(Variable, "lots")
	if err := Need("a bit", 1, ""); !errors.Is(err, ErrSize) || !strings.Contains(err.Error(), Variable) {
		t.Errorf("got error %v, want one about %s", err, Variable)
	}
}

// garbage outlives a test only if the compiler thinks so.
var garbage []byte

// TestNeedCollects checks that memory which is no longer in use is not missed.
func TestNeedCollects(t *testing.T) {
	h := host()
	before := h.goHeap()
	garbage = make([]byte, 64<<20)
	for i := range garbage {
		garbage[i] = 1
	}
	t.Setenv(Variable, strconv.FormatInt(before+80<<20, 10)+"B")
	if err := Need("more", 60<<20, ""); err == nil {
		t.Error("60 MiB of 80, of which 64 are in use: got no error")
	}
	garbage = nil
	if err := Need("more", 60<<20, ""); err != nil {
		t.Errorf("60 MiB of 80, of which 64 are garbage: %v", err)
	}
}

// TestHost checks that this machine says something that can be.
func TestHost(t *testing.T) {
	a, ok := machine()
	if !ok || a.Bytes < 1<<20 || a.Bytes > 1<<50 {
		t.Errorf("machine: got %+v, %t, want between 1 MiB and 1 PiB", a, ok)
	}
	if got := goHeap(); got < 1<<16 || got > 1<<40 {
		t.Errorf("goHeap: got %d bytes, want between 64 KiB and 1 TiB", got)
	}
	t.Setenv(Variable, "")
	got, err := Available()
	if err != nil || got.Bytes <= 0 || got.Bytes > a.Bytes+a.Bytes/2 {
		t.Errorf("Available: got %+v, error %v, want at most about %d bytes", got, err, a.Bytes)
	}
}
