package memory

import (
	"errors"
	"math"
	"testing"
)

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{
		"4GiB": 4 << 30, "512MiB": 512 << 20, "1KiB": 1024, "2TiB": 2 << 40, "10MB": 10e6, "1kB": 1000, "3GB": 3e9, "1TB": 1e12,
		"1B": 1, "123456789B": 123456789, "1.5GiB": 3 << 29, "0.5 MiB": 1 << 19, ".5kB": 500, "7.KiB": 7168, "1.9B": 1,
	} {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("%q: got %d, error %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "B", "4", "4G", "4gib", "4GIB", "4Gb", "-4GiB", "+4GiB", "0GiB", "0.5B", "4  GiB", " 4GiB", "4GiB ",
		"1e3MB", "0x10MB", "infGB", "NaNB", "1.2.3MB", ".MB", "1_000MB", "1,5GiB", "9999999TiB", "9223372036854775808B", "4\tGiB"} {
		if got, err := ParseSize(s); !errors.Is(err, ErrSize) {
			t.Errorf("%q: got %d, error %v, want ErrSize", s, got, err)
		}
	}
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1: "1 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB",
		1<<30 - 1: "1.0 GiB", 6657199309: "6.2 GiB", 1 << 40: "1.0 TiB", math.MaxInt64: "8388608.0 TiB",
	} {
		if got := FormatSize(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

// FuzzParseSize checks that what is accepted is a positive size whose written
// form is about the same.
func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"4GiB", "1.5 MB", "1B", "0", "-1GB", "8388607.9TiB", "1e9B"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err != nil {
			return
		}
		if n < 1 {
			t.Fatalf("%q: got %d", s, n)
		}
		back, err := ParseSize(FormatSize(n))
		if err != nil {
			if n > 1<<62 { // rounded up past what an int64 holds
				return
			}
			t.Fatalf("%q is %d, written %q: %v", s, n, FormatSize(n), err)
		}
		if d := math.Abs(float64(back - n)); d > 0.06*float64(n) {
			t.Errorf("%q is %d, written %q, which is %d", s, n, FormatSize(n), back)
		}
	})
}
