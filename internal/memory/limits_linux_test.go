package memory

import (
	"errors"
	"math"
	"syscall"
	"testing"
)

func TestProcessLimits(t *testing.T) {
	const none = math.MaxUint64
	for _, tt := range []struct {
		name     string
		statm    string
		as, data uint64
		want     int64 // -1: unknown
		within   string
	}{
		{"no limits", "100 50 10 5 0 40 0\n", none, none, -1, ""},
		{"address space", "100 50 10 5 0 40 0\n", 1 << 20, none, 1<<20 - 100*4096, "ulimit -v is 1.0 MiB"},
		{"data", "100 50 10 5 0 40 0\n", none, 1 << 20, 1<<20 - 40*4096, "ulimit -d is 1.0 MiB"},
		{"both", "100 50 10 5 0 40 0\n", 2 << 20, 1 << 20, 1<<20 - 40*4096, "ulimit -d is 1.0 MiB"},
		{"used up", "1000 50 10 5 0 40 0\n", 1 << 20, none, 1<<20 - 1000*4096, "ulimit -v is 1.0 MiB"},
		{"short", "100 50\n", 1 << 20, 1 << 20, 1<<20 - 100*4096, "ulimit -v is 1.0 MiB"},
		{"nonsense", "x 50 10 5 0 -4 0\n", 1 << 20, 1 << 20, -1, ""},
		{"overflow", "9223372036854775807 50 10 5 0 40 0\n", 1 << 20, none, -1, ""},
		{"empty", "", 1 << 20, 1 << 20, -1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rlimit := func(resource int, r *syscall.Rlimit) error {
				r.Cur = tt.as
				if resource == syscall.RLIMIT_DATA {
					r.Cur = tt.data
				}
				return nil
			}
			got, ok := processLimits(tree(map[string]string{"proc/self/statm": tt.statm}), rlimit, 4096)
			if ok != (tt.want != -1) || ok && got != (Amount{tt.want, tt.within}) {
				t.Errorf("got %+v, %t, want %d, %q", got, ok, tt.want, tt.within)
			}
		})
	}
	if got, ok := processLimits(tree(nil), syscall.Getrlimit, 4096); ok {
		t.Errorf("without /proc: got %+v", got)
	}
	fails := func(int, *syscall.Rlimit) error { return errors.New("no") }
	if got, ok := processLimits(tree(map[string]string{"proc/self/statm": "1 1 1 1 1 1 1"}), fails, 4096); ok {
		t.Errorf("without limits: got %+v", got)
	}
}
