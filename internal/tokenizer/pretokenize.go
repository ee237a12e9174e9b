package tokenizer

import (
	"maps"
	"slices"
	"unicode/utf8"
)

// A scanner returns the end of the piece that begins at s[i], with i < len(s).
// It is one regular expression written out by hand: both what the
// expression matches and the gaps between matches are pieces. Package regexp
// has no look-ahead, which \s+(?!\S) needs.
type scanner func(s string, i int) int

// A pretokenizer applies its passes in order, each one to the pieces of the
// one before.
type pretokenizer struct {
	passes       []scanner
	ignoreMerges bool // a piece that is a token is not taken apart
}

// pretokenizers follows the table of llama.cpp (llm_tokenizer_bpe in
// src/llama-vocab.cpp), whose expressions are quoted at each scanner.
var pretokenizers = func() map[string]pretokenizer {
	gpt2 := pretokenizer{passes: []scanner{scanGPT2}}
	digits := pretokenizer{passes: []scanner{scanDigit, scanGPT2}}
	qwen2 := pretokenizer{passes: []scanner{scanQwen2}}
	llama3 := pretokenizer{passes: []scanner{scanLlama3}, ignoreMerges: true}
	return map[string]pretokenizer{
		"default":   {passes: []scanner{scanDefaultPunct, scanGPT2, scanNumber, scanThreeDigits}},
		"gpt-2":     gpt2,
		"phi-2":     gpt2,
		"mpt":       gpt2,
		"olmo":      gpt2,
		"smollm":    digits,
		"starcoder": digits,
		"refact":    digits,
		"command-r": digits,
		"codeshell": digits,
		"qwen2":     qwen2,
		"stablelm2": qwen2,
		"qwen35":    {passes: []scanner{scanQwen35}},
		"llama3":    llama3,
		"llama-v3":  llama3,
		"llama-bpe": llama3,
	}
}()

// Pretokenizers returns the names that [Spec.Pre] may have.
func Pretokenizers() []string { return slices.Sorted(maps.Keys(pretokenizers)) }

// scanGPT2 is
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)
func scanGPT2(s string, i int) int {
	if s[i] == '\'' {
		if n := contraction(s[i:], 0); n > 0 {
			return i + n
		}
	}
	j := i
	c, n := classAt(s, j)
	if s[i] == ' ' && i+1 < len(s) {
		if c2, n2 := classAt(s, i+1); c2&space == 0 {
			j, c, n = i+1, c2, n2
		}
	}
	switch {
	case c&letter != 0:
		return runOf(s, j+n, letter)
	case c&number != 0:
		return runOf(s, j+n, number)
	case c&space == 0:
		return runWithout(s, j+n, letter|number|space)
	}
	return scanSpace(s, i)
}

// scanQwen2 is
//
//	(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|
//	 ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//
// Qwen's own file says (?i:'s|...), which differs only in that it takes the
// long s (U+017F) for an s.
func scanQwen2(s string, i int) int { return scanCased(s, i, letter, 1) }

// scanLlama3 is the expression of scanQwen2 with \p{N}{1,3} for \p{N}.
func scanLlama3(s string, i int) int { return scanCased(s, i, letter, 3) }

// scanQwen35 is the expression of scanQwen2 with marks taken for letters:
// [\p{L}\p{M}]+ and [^\s\p{L}\p{M}\p{N}]+.
func scanQwen35(s string, i int) int { return scanCased(s, i, letter|mark, 1) }

// scanCased is scanQwen2 for other sets of letters and groups of digits.
func scanCased(s string, i int, letters class, digits int) int {
	if s[i] == '\'' {
		if n := contraction(s[i:], 0x20); n > 0 {
			return i + n
		}
	}
	c, n := classAt(s, i)
	if c&letters != 0 {
		return runOf(s, i+n, letters)
	}
	var next class
	var nextLen int
	if i+n < len(s) {
		next, nextLen = classAt(s, i+n)
	}
	switch {
	case c&(newline|number) == 0 && next&letters != 0:
		return runOf(s, i+n+nextLen, letters)
	case c&number != 0:
		end := i + n
		for range digits - 1 {
			if end == len(s) {
				break
			}
			c, n := classAt(s, end)
			if c&number == 0 {
				break
			}
			end += n
		}
		return end
	}
	others := letters | number | space
	if c&space == 0 {
		return runOf(s, runWithout(s, i+n, others), newline)
	}
	if s[i] == ' ' && nextLen > 0 && next&others == 0 {
		return runOf(s, runWithout(s, i+n+nextLen, others), newline)
	}
	// \s*[\r\n]+ ends behind the last line break of the white space.
	end := i
	for j := i; j < len(s); {
		c, n := classAt(s, j)
		if c&space == 0 {
			break
		}
		j += n
		if c&newline != 0 {
			end = j
		}
	}
	if end > i {
		return end
	}
	return scanSpace(s, i)
}

// scanSpace is \s+(?!\S)|\s+: white space before something else leaves
// its last character to the next piece, unless it is the only one.
func scanSpace(s string, i int) int {
	end := runOf(s, i, space)
	if end == len(s) {
		return end
	}
	_, last := utf8.DecodeLastRuneInString(s[i:end])
	if end-last > i {
		return end - last
	}
	return end
}

// contraction returns the length of the English contraction that s, which
// begins with an apostrophe, begins with: 0, 2 or 3. fold is 0x20 to ignore
// the case of ASCII letters, otherwise 0.
func contraction(s string, fold byte) int {
	if len(s) < 2 {
		return 0
	}
	a := s[1] | fold
	switch a {
	case 's', 't', 'm', 'd':
		return 2
	}
	if len(s) < 3 {
		return 0
	}
	switch b := s[2] | fold; {
	case a == 'r' && b == 'e', a == 'v' && b == 'e', a == 'l' && b == 'l':
		return 3
	}
	return 0
}

// scanDigit is \p{N}: each digit is a piece.
func scanDigit(s string, i int) int {
	if c, n := classAt(s, i); c&number != 0 {
		return i + n
	}
	return runWithout(s, i, number)
}

// scanNumber is \p{N}+.
func scanNumber(s string, i int) int {
	if end := runOf(s, i, number); end > i {
		return end
	}
	return runWithout(s, i, number)
}

// scanThreeDigits is [0-9][0-9][0-9].
func scanThreeDigits(s string, i int) int {
	three := func(i int) bool {
		return i+3 <= len(s) && isDigit(s[i]) && isDigit(s[i+1]) && isDigit(s[i+2])
	}
	if three(i) {
		return i + 3
	}
	for i++; i < len(s) && !three(i); i++ {
	}
	return i
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// scanDefaultPunct is [\p{P}\$\+<=>\^~\|]+.
func scanDefaultPunct(s string, i int) int {
	in := func(i int) (bool, int) {
		c, n := classAt(s, i)
		if c&punct != 0 {
			return true, n
		}
		switch s[i] {
		case '$', '+', '<', '=', '>', '^', '~', '|':
			return true, 1
		}
		return false, n
	}
	first, n := in(i)
	for i += n; i < len(s); i += n {
		var same bool
		if same, n = in(i); same != first {
			break
		}
	}
	return i
}
