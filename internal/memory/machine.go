package memory

import (
	"math"

	"github.com/shirou/gopsutil/v4/mem"
)

// machine returns what the whole machine has available.
func machine() (Amount, bool) {
	v, err := mem.VirtualMemory()
	if err != nil || v.Total == 0 || v.Available > math.MaxInt64 {
		return Amount{}, false
	}
	return Amount{int64(v.Available), "this machine has " + FormatSize(int64(min(v.Total, math.MaxInt64)))}, true
}
