package tokenizer

import "unicode/utf8"

// The GPT-2 byte alphabet gives each byte a printable character: those of
// Latin-1 that are printable stand for themselves, the other 68 bytes, in
// order, are U+0100 and up.
var (
	byteToRune [256]rune
	runeToByte [0x100 + 68]int16 // -1 for characters that are not in the alphabet
)

func init() {
	for r := range runeToByte {
		runeToByte[r] = -1
	}
	next := rune(0x100)
	for b := range rune(256) {
		r := b
		if b < 0x21 || (b > 0x7E && b < 0xA1) || b == 0xAD {
			r = next
			next++
		}
		byteToRune[b] = r
		runeToByte[r] = int16(b)
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

// appendBytes appends what a text in the byte alphabet spells: the inverse of
// appendAlphabet. Characters that are not in the alphabet stay as they are.
func appendBytes(dst []byte, s string) []byte {
	for _, r := range s {
		if r < rune(len(runeToByte)) && runeToByte[r] >= 0 {
			dst = append(dst, byte(runeToByte[r]))
		} else {
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}
