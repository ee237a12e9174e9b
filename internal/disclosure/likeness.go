package disclosure

import (
	"bytes"
	"iter"
	"regexp"
	"slices"
)

// The rule for near copies. Text is compared by its shingles: the distinct runs
// of shingleTokens tokens, without comments and the docstring of a module, so
// that neither white space nor a licence at the top counts. A file is a copy of
// the one that is asked about if it has Overlap of that one's shingles (it
// contains it, as it is or as it was), or if Fragment of its own shingles are from
// there (it is a piece of it) and it is not so short that this means nothing.
//
// Overlap is where most answers would leak: among pairs of a test and another
// file of the same repository, over 45 public repositories, 26 % of the test's
// assertion lines stand in the other file as they are at a share of 0.4 to 0.5,
// 43 % at 0.5 to 0.6, 54 % at 0.6 to 0.7, 82 % at 0.8 to 0.9 and 96 % above. Below
// are the sibling tests that every user has, and that are worth seeing.
const (
	shingleTokens = 5
	// Overlap is the share of the asked file's shingles from which on another
	// file is hidden.
	Overlap = 0.6
	// Fragment is the share of a file's own shingles from which on it is hidden
	// as a piece of the asked file.
	Fragment = 0.8
	// minFragment is the number of shingles below which a file is no piece of
	// anything: an import and a fixture that half of all tests have.
	minFragment = 24
)

// testContent is the part of the paper's rule about content that means a test
// (benchmark.md §2): an import of a test framework, or a test function. Its
// other parts take any mention of "pytest." and any class with "test" in its
// name, such as a TestClient for the users of a framework.
var testContent = regexp.MustCompile(`(?m)^[ \t]*(?:` +
	`import[ \t]+(?:[\w.]+(?:[ \t]+as[ \t]+\w+)?[ \t]*,[ \t]*)*(?:pytest|unittest)\b` +
	`|from[ \t]+(?:pytest|unittest)\b` +
	`|(?:async[ \t]+)?def[ \t]+test_` +
	`)`)

// isTestContent tells by its content whether a Python file is a test.
func isTestContent(text []byte) bool { return testContent.Match(text) }

// code returns the lines that are neither comments nor the docstring of the
// module, in order. What stands behind code on its line stays.
func code(text []byte, language string) iter.Seq[[]byte] {
	sign, block, end := []byte("//"), blockComment, []byte("*/")
	switch language {
	case "python", "python-stub", "cython", "shell", "ruby", "perl", "r", "julia", "elixir":
		sign, block = []byte("#"), docstring
	}
	return func(yield func([]byte) bool) {
		inside, begun := false, false
		for line := range bytes.Lines(text) {
			line = bytes.TrimSpace(line)
			if inside {
				inside = !bytes.Contains(line, end)
				continue
			}
			if len(line) == 0 || bytes.HasPrefix(line, sign) {
				continue
			}
			if m := block.FindSubmatch(line); m != nil && (!begun || len(m) == 1) {
				if len(m) > 1 {
					end = m[1]
				}
				inside, begun = !bytes.Contains(line[len(m[0]):], end), true
				continue
			}
			begun = true
			if !yield(line) {
				return
			}
		}
	}
}

// blockComment and docstring match how a stretch of comment begins. The group is
// what ends it, if that isn't the same everywhere; it then counts only at the
// head of a file, since a string further down is code.
var (
	blockComment = regexp.MustCompile(`^/\*`)
	docstring    = regexp.MustCompile(`^[rRuU]?("""|''')`)
)

// shingles returns the hashes of the distinct runs of shingleTokens tokens, in
// increasing order. A shorter text has one shingle, of all its tokens; one
// without tokens has none.
func shingles(text []byte, language string) []uint32 {
	var tokens []uint64
	for line := range code(text, language) {
		tokens = appendTokens(tokens, line)
	}
	if len(tokens) == 0 {
		return nil
	}
	var hashes []uint32
	for i := range max(1, len(tokens)-shingleTokens+1) {
		h := uint64(fnvOffset)
		for _, t := range tokens[i:min(len(tokens), i+shingleTokens)] {
			h = (h ^ t) * fnvPrime
			h ^= h >> 29
		}
		hashes = append(hashes, uint32(h>>32))
	}
	slices.Sort(hashes)
	return slices.Clip(slices.Compact(hashes))
}

// The constants of FNV-1a with 64 bits.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// appendTokens appends the hash of each token of a line: words (letters, digits
// and all that is not ASCII), and every other character by itself.
func appendTokens(tokens []uint64, line []byte) []uint64 {
	for i := 0; i < len(line); {
		if line[i] == ' ' || line[i] == '\t' {
			i++
			continue
		}
		h, word := uint64(fnvOffset), isWord(line[i])
		for {
			h = (h ^ uint64(line[i])) * fnvPrime
			i++
			if !word || i == len(line) || !isWord(line[i]) {
				break
			}
		}
		tokens = append(tokens, h)
	}
	return tokens
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// probe looks for copies of one file in many.
type probe struct {
	*facts
	set   map[uint32]struct{}
	sieve [1 << 10]uint64 // bit h mod 65536 is set for each h of set: most lookups end here
}

func newProbe(f *facts) *probe {
	p := &probe{facts: f, set: make(map[uint32]struct{}, len(f.shingles))}
	for _, h := range f.shingles {
		p.set[h] = struct{}{}
		p.sieve[h>>6&1023] |= 1 << (h & 63)
	}
	return p
}

// finds tells whether f is a copy.
func (p *probe) finds(f *facts) bool {
	if f.sum == p.sum {
		return true
	}
	if len(p.shingles) == 0 || len(f.shingles) == 0 {
		return false
	}
	both := 0
	for _, h := range f.shingles {
		if p.sieve[h>>6&1023]&(1<<(h&63)) == 0 {
			continue
		}
		if _, ok := p.set[h]; ok {
			both++
		}
	}
	return float64(both) >= Overlap*float64(len(p.shingles)) ||
		len(f.shingles) >= minFragment && float64(both) >= Fragment*float64(len(f.shingles))
}
