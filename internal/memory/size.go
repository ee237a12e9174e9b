package memory

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ErrSize is returned for a size that cannot be understood.
var ErrSize = errors.New("want a size such as 4GiB, 512MiB or 10MB")

// units of sizes. B is last, as the others end in it.
var units = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"B", 1},
}

// ParseSize reads a positive size: a decimal number and one of the units B, kB,
// MB, GB, TB (powers of 1000) and KiB, MiB, GiB, TiB (powers of 1024), written
// like this, with at most one blank between them.
func ParseSize(s string) (int64, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		digits = strings.TrimSuffix(digits, " ")
		if strings.Trim(digits, "0123456789.") != "" {
			break // ParseFloat takes signs, exponents and more
		}
		v, err := strconv.ParseFloat(digits, 64)
		if v *= u.bytes; err != nil || v < 1 || v >= math.MaxInt64 {
			break
		}
		return int64(v), nil
	}
	return 0, fmt.Errorf("size %q: %w", s, ErrSize)
}

// FormatSize writes a number of bytes with a unit of which there is at least
// one, as in "6.2 GiB".
func FormatSize(n int64) string {
	for i := 3; i >= 0; i-- {
		// What would be rounded to 1024.0 of a unit is 1.0 of the next.
		if v := float64(n) / units[i].bytes; v >= 1-1.0/2048 {
			return fmt.Sprintf("%.1f %s", v, units[i].name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
