package memory

import (
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// limits returns the sources of this platform beside the whole machine.
func limits() []source {
	root := os.DirFS("/")
	return []source{
		func() (Amount, bool) { return controlGroups(root) },
		func() (Amount, bool) { return processLimits(root, syscall.Getrlimit, int64(os.Getpagesize())) },
	}
}

// processLimits returns the least of what the limits on the address space and
// on the data of the process leave.
func processLimits(root fs.FS, getrlimit func(int, *syscall.Rlimit) error, page int64) (least Amount, ok bool) {
	// size resident shared text lib data dt, in pages; see proc_pid_statm(5)
	text, err := fs.ReadFile(root, "proc/self/statm")
	if err != nil {
		return Amount{}, false
	}
	fields := strings.Fields(string(text))
	for _, limit := range []struct {
		resource, field int
		name            string
	}{
		{syscall.RLIMIT_AS, 0, "ulimit -v is "}, {syscall.RLIMIT_DATA, 5, "ulimit -d is "},
	} {
		var r syscall.Rlimit
		if getrlimit(limit.resource, &r) != nil || r.Cur > math.MaxInt64 || limit.field >= len(fields) {
			continue
		}
		used, err := strconv.ParseInt(fields[limit.field], 10, 64)
		if err != nil || used < 0 || used > math.MaxInt64/page {
			continue
		}
		a := Amount{int64(r.Cur) - used*page, limit.name + FormatSize(int64(r.Cur))}
		if !ok || a.Bytes < least.Bytes {
			least, ok = a, true
		}
	}
	return least, ok
}
