package tokenizer

import (
	"hash/maphash"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// The cache remembers the tokens of pieces: source code repeats its words. It
// is a table of fixed size in which a new piece replaces the one in its
// place, so it needs no lock and stays below about 10 MB.
const (
	cacheSize  = 1 << 16
	cachePiece = 48 // the longest piece in bytes that is kept
)

type cached struct {
	piece string
	ids   []int32
}

// Encode returns the tokens of a text. Texts of special tokens in it are
// ordinary text, so it is safe for text that others wrote. (llama.cpp and
// transformers recognise user-defined tokens even then.)
func (t *Tokenizer) Encode(text string) []int32 {
	return t.AppendEncode(make([]int32, 0, len(text)/3+1), text)
}

// AppendEncode appends the tokens that [Tokenizer.Encode] returns to dst.
// Unless pieces are new or dst is short, it allocates nothing.
func (t *Tokenizer) AppendEncode(dst []int32, text string) []int32 {
	if t.spec.NFC && !norm.NFC.IsNormalString(text) {
		text = norm.NFC.String(text)
	}
	return t.split(dst, text, t.pre.passes)
}

// EncodeSpecial is Encode, but tokens of the types [Control], [UserDefined] and
// [Unknown] are recognised by their texts, the longest first. Use it for text
// that we wrote ourselves.
func (t *Tokenizer) EncodeSpecial(text string) []int32 {
	dst := make([]int32, 0, len(text)/3+1)
	for text != "" {
		start, id := t.special.next(text)
		dst = t.AppendEncode(dst, text[:start])
		if id < 0 {
			break
		}
		dst = append(dst, id)
		text = text[start+len(t.bytes[id]):]
	}
	return dst
}

// split applies the passes to a text and appends the tokens of its pieces.
func (t *Tokenizer) split(dst []int32, text string, passes []scanner) []int32 {
	scan := passes[0]
	for i := 0; i < len(text); {
		end := scan(text, i)
		if len(passes) > 1 {
			dst = t.split(dst, text[i:end], passes[1:])
		} else {
			dst = t.appendPiece(dst, text[i:end])
		}
		i = end
	}
	return dst
}

// appendPiece appends the tokens of one piece, from the cache if they are
// there.
func (t *Tokenizer) appendPiece(dst []int32, piece string) []int32 {
	if len(piece) == 1 {
		if id := t.byteID[piece[0]]; id >= 0 {
			dst = append(dst, id)
		}
		return dst
	}
	if len(piece) > cachePiece {
		return t.appendMerged(dst, piece)
	}
	slot := &t.cache[maphash.String(t.seed, piece)%cacheSize]
	if c := slot.Load(); c != nil && c.piece == piece {
		return append(dst, c.ids...)
	}
	start := len(dst)
	dst = t.appendMerged(dst, piece)
	// A clone, since the piece would keep the whole text in memory.
	slot.Store(&cached{strings.Clone(piece), slices.Clone(dst[start:])})
	return dst
}
