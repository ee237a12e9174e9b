package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// class is a set of the character classes that pre-tokenizers ask for. They
// are those of package unicode, and so of its Unicode version: the regular
// expression engines of other programs may know later characters, and agree on
// all others.
type class uint8

const (
	letter  class = 1 << iota // \p{L}
	number                    // \p{N}
	space                     // \s: the property White_Space
	mark                      // \p{M}
	punct                     // \p{P}
	newline                   // \r and \n
)

var classTables = []struct {
	c class
	t *unicode.RangeTable
}{
	{letter, unicode.L}, {number, unicode.N}, {space, unicode.White_Space}, {mark, unicode.M}, {punct, unicode.P},
}

// bmp holds the classes of the characters below U+10000.
var bmp = func() *[1 << 16]class {
	var table [1 << 16]class
	for _, ct := range classTables {
		for _, r := range ct.t.R16 {
			for c := int(r.Lo); c <= int(r.Hi); c += int(r.Stride) {
				table[c] |= ct.c
			}
		}
	}
	table['\r'] |= newline
	table['\n'] |= newline
	return &table
}()

func classOf(r rune) class {
	if r < 1<<16 {
		return bmp[r]
	}
	var c class
	for _, ct := range classTables {
		if unicode.Is(ct.t, r) {
			c |= ct.c
		}
	}
	return c
}

// classAt returns the class of the character at s[i] and its length in bytes.
// A byte that is not UTF-8 is a character without a class, like U+FFFD.
func classAt(s string, i int) (class, int) {
	if c := s[i]; c < utf8.RuneSelf {
		return bmp[c], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return classOf(r), n
}

// runOf returns the end of the run, from i on, of characters in any of the
// classes.
func runOf(s string, i int, any class) int {
	for i < len(s) {
		c, n := classAt(s, i)
		if c&any == 0 {
			break
		}
		i += n
	}
	return i
}

// runWithout returns the end of the run, from i on, of characters in none of
// the classes.
func runWithout(s string, i int, none class) int {
	for i < len(s) {
		c, n := classAt(s, i)
		if c&none != 0 {
			break
		}
		i += n
	}
	return i
}
