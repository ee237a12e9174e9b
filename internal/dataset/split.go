package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Split is one of the three parts that repositories are divided into.
type Split string

// The splits.
const (
	Train      Split = "train"
	Validation Split = "validation"
	Test       Split = "test"
)

// SplitOf decides which split a repository belongs to, from its name
// (owner/name) alone: the first hexadecimal digit of the SHA-256 of the name in
// lower case, 0 to 2 for test, 3 for validation, the others for training. It is
// the only place where this is decided.
func SplitOf(repository string) Split {
	sum := sha256.Sum256([]byte(strings.ToLower(repository)))
	switch digit := sum[0] >> 4; {
	case digit <= 2:
		return Test
	case digit == 3:
		return Validation
	default:
		return Train
	}
}

// InRepoSplitOf divides the functions of a repository, so that all tasks of a
// function are on one side: by a number from the first 8 bytes of the SHA-256 of
// "side", the repository's name in lower case, file, class and function, each
// with a zero byte behind it. Its last decimal digit is 0 for test and 1 for
// validation; the other eight tenths train. It is the only place where this is
// decided, for benchmarks and for tasks that no benchmark has divided.
func InRepoSplitOf(repository, file, class, function string) Split {
	h := sha256.New()
	for _, s := range []string{"side", strings.ToLower(repository), file, class, function} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	switch binary.BigEndian.Uint64(h.Sum(nil)) % 10 {
	case 0:
		return Test
	case 1:
		return Validation
	}
	return Train
}

// ErrTestRepository is returned when a repository of the test split is about to
// be used for training or for tuning.
var ErrTestRepository = errors.New("repository belongs to the test split, which nothing may be trained or tuned on")

// CheckTraining returns an error if a repository may not be used for the given
// purpose, which is [Train] or [Validation]: ErrTestRepository for those of the
// test split, another error for those of the other split.
func CheckTraining(repository string, purpose Split) error {
	split := SplitOf(repository)
	switch {
	case split == Test:
		return fmt.Errorf("%s: %w", repository, ErrTestRepository)
	case split != purpose:
		return fmt.Errorf("%s: repository belongs to the %s split, want %s", repository, split, purpose)
	}
	return nil
}
