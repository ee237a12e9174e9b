package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Bytes returns what a token stands for: not necessarily whole characters.
// Special tokens stand for their texts; unused and unknown ids for nothing.
func (t *Tokenizer) Bytes(id int32) []byte { return []byte(t.text(id)) }

func (t *Tokenizer) text(id int32) string {
	if id < 0 || int(id) >= len(t.bytes) {
		return ""
	}
	return t.bytes[id]
}

// Decode joins what the tokens stand for. The result need not be UTF-8: the
// text may not have been, or the tokens end within a character.
func (t *Tokenizer) Decode(ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(t.text(id))
	}
	return b.String()
}

// Stream decodes tokens one at a time into valid UTF-8. It holds back the
// beginning of a character until the rest has arrived; bytes that can't be
// part of one become U+FFFD each.
type Stream struct {
	t    *Tokenizer
	held []byte
}

// NewStream returns a decoder for one sequence of tokens.
func (t *Tokenizer) NewStream() *Stream { return &Stream{t: t} }

// Write adds a token and returns the characters that are complete now.
func (s *Stream) Write(id int32) string {
	s.held = append(s.held, s.t.text(id)...)
	return s.take(false)
}

// Flush returns what is held back, as U+FFFD for each byte. After it the stream
// is empty and can be used again.
func (s *Stream) Flush() string { return s.take(true) }

func (s *Stream) take(all bool) string {
	var out []byte
	held := s.held
	for len(held) > 0 && (all || utf8.FullRune(held)) {
		r, n := utf8.DecodeRune(held)
		out = utf8.AppendRune(out, r)
		held = held[n:]
	}
	s.held = s.held[:copy(s.held, held)]
	return string(out)
}
