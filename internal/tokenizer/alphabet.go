package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// The GPT-2 byte alphabet gives each byte a printable character: those of
// Latin-1 that are printable stand for themselves, the other 68 bytes, in
// order, are U+0100 and up.
var (
	byteToRune [256]rune
	runeToByte = make(map[rune]byte, 256)
)

func init() {
	next := rune(0x100)
	for b := range rune(256) {
		r := b
		if b < 0x21 || (b > 0x7E && b < 0xA1) || b == 0xAD {
			r = next
			next++
		}
		byteToRune[b] = r
		runeToByte[r] = byte(b)
	}
}

// toAlphabet spells bytes in the byte alphabet.
func toAlphabet(s string) string {
	return string(appendAlphabet(make([]byte, 0, 2*len(s)), s))
}

func appendAlphabet(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = utf8.AppendRune(dst, byteToRune[s[i]])
	}
	return dst
}

// fromAlphabet is the inverse of toAlphabet. Characters that are not in the
// alphabet stay as they are.
func fromAlphabet(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		if c, ok := runeToByte[r]; ok {
			b.WriteByte(c)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
