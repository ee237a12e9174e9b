// Package memory knows how much memory this process may still use, and refuses
// work that needs more, before anything is allocated for it.
//
// What is available is the least of
//
//   - what the machine has available: free memory, and what the system would
//     take from its file cache;
//   - of each control group that the process is in (Linux, versions 1 and 2),
//     and of those above it, the limit minus what is used without file cache;
//   - the process's own limits, "ulimit -v" and "ulimit -d", minus its use (Linux);
//   - GOMEMLIMIT and [Variable], minus what Go's heap holds.
//
// Swap counts for nothing: arithmetic on swapped weights would not end. Where
// nothing can be found out, nothing is refused.
package memory

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Variable is the environment variable with a limit on the memory of the
// process, such as 4GiB; see [ParseSize].
const Variable = "CODE2LORA_MEMORY"

// Shortage is the error of work that needs more memory than there is.
type Shortage struct {
	What      string // what needs the memory, as the subject of a sentence
	Needed    int64  // bytes
	Available int64  // bytes
	Within    string // the limit that is nearest
	Remedy    string // what to do
}

func (s *Shortage) Error() string {
	msg := fmt.Sprintf("%s needs %s of memory, %s are available (%s)", s.What, FormatSize(s.Needed), FormatSize(s.Available), s.Within)
	if s.Remedy != "" {
		msg += ": " + s.Remedy
	}
	return msg
}

// Need returns a [Shortage] if fewer bytes are available than what is about to
// use, and an error if [Variable] cannot be understood. remedy says what the
// user can do about a shortage.
func Need(what string, bytes int64, remedy string) error {
	a, err := Available()
	if err != nil || a.Bytes >= bytes {
		return err
	}
	// Memory that is no longer in use still counts as used until it is
	// collected: twice, as pools keep their contents for one collection.
	runtime.GC()
	debug.FreeOSMemory()
	if a, err = Available(); err != nil || a.Bytes >= bytes {
		return err
	}
	return &Shortage{What: what, Needed: bytes, Available: a.Bytes, Within: a.Within, Remedy: remedy}
}

// Amount is how much memory is available.
type Amount struct {
	Bytes  int64  // at least 0; math.MaxInt64 if unknown
	Within string // the limit that is nearest, for messages
}

// Available returns how much memory the process may still use. The error is
// one in [Variable].
func Available() (Amount, error) {
	h := host()
	return h.available(os.Getenv(Variable))
}

// source tells how much memory one limit leaves; ok is false if it does not
// know, or sets none.
type source func() (a Amount, ok bool)

// system is where limits come from.
type system struct {
	sources   []source
	softLimit func() int64 // GOMEMLIMIT; math.MaxInt64 if there is none
	goHeap    func() int64 // bytes that Go's runtime holds and uses
}

// host is the system that the process runs on.
func host() system {
	return system{
		sources:   append([]source{machine}, limits()...),
		softLimit: func() int64 { return debug.SetMemoryLimit(-1) },
		goHeap:    goHeap,
	}
}

// available is the least of all sources; variable is the value of [Variable].
func (s *system) available(variable string) (Amount, error) {
	least := Amount{Bytes: math.MaxInt64, Within: "no known limit"}
	take := func(a Amount) {
		if a.Bytes = max(0, a.Bytes); a.Bytes < least.Bytes {
			least = a
		}
	}
	for _, src := range s.sources {
		if a, ok := src(); ok {
			take(a)
		}
	}
	if limit := s.softLimit(); limit != math.MaxInt64 {
		take(Amount{limit - s.goHeap(), "GOMEMLIMIT is " + FormatSize(limit)})
	}
	if variable != "" {
		limit, err := ParseSize(variable)
		if err != nil {
			return Amount{}, fmt.Errorf("%s: %w", Variable, err)
		}
		take(Amount{limit - s.goHeap(), Variable + " is " + FormatSize(limit)})
	}
	return least, nil
}

// goHeap returns the bytes that the runtime has from the system, without those
// that it would use for a new allocation or has given back.
func goHeap() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	var v [3]int64
	for i, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			v[i] = int64(s.Value.Uint64())
		}
	}
	return v[0] - v[1] - v[2]
}
