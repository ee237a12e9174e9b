package evolve

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/code2lora/code2lora/internal/half"
)

// Tokenizer is what [DiffTokens] needs of the encoder's tokenizer. A
// [tokenizer.Tokenizer] is one.
type Tokenizer interface {
	// EncodeSpecial finds special tokens by their texts, and adds none.
	EncodeSpecial(text string) []int32
	Decode(ids []int32) string
	// Control reports whether a token has a meaning but no text.
	Control(id int32) bool
}

// WindowOptions say how a diff is cut into windows.
type WindowOptions struct {
	Chunk   int   `json:"chunk" yaml:"chunk"`     // tokens in a window, End included
	Overlap int   `json:"overlap" yaml:"overlap"` // tokens that a window shares with the next
	Min     int   `json:"min" yaml:"min"`         // shorter windows are dropped
	End     int32 `json:"end" yaml:"end"`         // token behind every window; negative: none
}

// DefaultWindowOptions are those of the released checkpoint (recipe C of the
// authors' code), whose encoder ends every sequence with <|endoftext|>.
func DefaultWindowOptions() WindowOptions {
	return WindowOptions{Chunk: 512, Overlap: 64, Min: 16, End: 151643}
}

// Validate reports every option that cannot work.
func (o WindowOptions) Validate() error {
	var errs []error
	if o.Chunk < 2 {
		errs = append(errs, fmt.Errorf("chunk %d: want at least 2", o.Chunk))
	}
	if o.Overlap < 0 || o.Overlap >= o.Chunk {
		errs = append(errs, fmt.Errorf("overlap %d: want 0 to below the chunk, %d", o.Overlap, o.Chunk))
	}
	if o.Min < 1 || o.Min > o.Chunk {
		errs = append(errs, fmt.Errorf("min %d: want 1 to the chunk, %d", o.Min, o.Chunk))
	}
	return errors.Join(errs...)
}

// DiffTokens calls f with the tokens of each window of a diff, in order; an
// encoder reads them as a sequence of its own, and the mean over all its
// positions, End included, is the window's vector. f may keep the tokens; an
// error of it ends the call. A diff that is empty, blank or too short has no
// window.
//
// The text is that of the production diff: the chunks of the unified diff since
// the previous kept commit, headers included, whose files are no tests and end
// in .py, .md or .rst. There is no limit on its size: the first diff of a
// repository is all of its tree.
//
// The rules are those of the authors' code, in which a window is decoded and
// encoded again: control tokens of the text vanish, a character that the cut
// divides becomes U+FFFD, tokens at the edges merge in other ways, and a
// full window loses what End has no room beside.
func DiffTokens(text string, t Tokenizer, o WindowOptions, f func(tokens []int32) error) error {
	if err := o.Validate(); err != nil {
		return fmt.Errorf("windows of a diff: %w", err)
	}
	if strings.TrimSpace(text) == "" {
		return nil
	}
	ids := t.EncodeSpecial(text)
	for at := 0; at < len(ids); at += o.Chunk - o.Overlap {
		end := min(len(ids), at+o.Chunk)
		if end-at >= o.Min {
			if tokens := again(ids[at:end], t, o); len(tokens) > 0 {
				if err := f(tokens); err != nil {
					return err
				}
			}
		}
		if end == len(ids) {
			break
		}
	}
	return nil
}

// again decodes a window and encodes its text, at most Chunk tokens with End.
func again(window []int32, t Tokenizer, o WindowOptions) []int32 {
	kept := make([]int32, 0, len(window))
	for _, id := range window {
		if !t.Control(id) {
			kept = append(kept, id)
		}
	}
	tokens, room := t.EncodeSpecial(validUTF8(t.Decode(kept))), o.Chunk
	if o.End >= 0 {
		room--
	}
	tokens = tokens[:min(len(tokens), room)]
	if o.End >= 0 {
		tokens = append(tokens, o.End)
	}
	return tokens
}

// validUTF8 replaces each maximal beginning of a character, and each byte that
// begins none, by U+FFFD, as the Unicode standard recommends and the authors'
// tokenizer does. (The standard library replaces bytes or whole runs.)
func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			n = beginning(s)
		}
		b.WriteRune(r)
		s = s[n:]
	}
	return b.String()
}

// beginning returns how many bytes of s, which begins with no whole character,
// begin one: those after which more bytes could complete it; at least 1.
func beginning(s string) int {
	n := 1
	for n < min(len(s), 3) && !utf8.FullRuneInString(s[:n+1]) {
		n++
	}
	return n
}

// DiffPool makes the vector of a diff from the vectors of its windows.
type DiffPool struct {
	n    int
	most []float32 // (d)
	sum  []float64 // (d)
}

// NewDiffPool returns a pool of vectors of d values.
func NewDiffPool(d int) *DiffPool {
	return &DiffPool{most: make([]float32, d), sum: make([]float64, d)}
}

// Add adds the vector of a window. It panics if v has another length.
func (p *DiffPool) Add(v []float32) {
	if len(v) != len(p.most) {
		panic(fmt.Sprintf("evolve: window vector of %d values, want %d", len(v), len(p.most)))
	}
	for i, x := range v {
		p.sum[i] += float64(x)
		if p.n == 0 || x > p.most[i] {
			p.most[i] = x
		}
	}
	p.n++
}

// Vector returns the maximum over windows followed by the mean, (2d), each
// rounded to float16 as the authors store it: the other way round than the
// vector of a repository, and not normalised. Without a window it is zero.
func (p *DiffPool) Vector() []float32 {
	out := make([]float32, 0, 2*len(p.most))
	out = append(out, p.most...)
	for _, s := range p.sum {
		out = append(out, float32(s/float64(max(1, p.n))))
	}
	for i, x := range out {
		out[i] = half.FromF16(half.ToF16(x))
	}
	return out
}
