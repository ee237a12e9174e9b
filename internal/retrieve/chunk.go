package retrieve

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/syntax"
)

// Chunk is a piece of a file that can be retrieved.
type Chunk struct {
	Path   string
	Symbol string // what it defines, or ""
	Head   string // comment lines that say where it is from, each with its newline
	Code   string
}

// Text is a chunk as it is searched, and as it stands in a context.
func (c *Chunk) Text() string { return c.Head + c.Code }

// Chunker cuts a file into chunks. Its methods may be called concurrently.
type Chunker interface {
	Name() string // with its settings; part of the keys of caches
	Chunks(path string, source []byte) []Chunk
}

// Tokenizer is what [Windows] needs of one. A [tokenizer.Tokenizer] is one.
type Tokenizer interface {
	Encode(text string) []int32
	Decode(ids []int32) string
}

// Windows cuts a file into windows of tokens, as the paper's first generation
// does, under a line "# File: <path>".
type Windows struct {
	Tokenizer Tokenizer
	Size      int // tokens in a window; 0: 512
	Overlap   int // tokens that neighbours share; of size 0: 64
	Min       int // shorter windows are dropped; 0: 16
}

// NewWindows checks the numbers, and puts the defaults in place of zeros.
func NewWindows(w Windows) (Windows, error) {
	if w.Tokenizer == nil {
		return w, errors.New("windows of tokens: no tokenizer")
	}
	if w.Size == 0 {
		w.Size, w.Overlap = 512, 64
	}
	if w.Min == 0 {
		w.Min = min(16, w.Size)
	}
	if w.Size < 1 || w.Overlap < 0 || w.Overlap >= w.Size || w.Min < 1 || w.Min > w.Size {
		return w, fmt.Errorf("windows of %d tokens with an overlap of %d, at least %d: want 0 <= overlap < size and 1 <= min <= size", w.Size, w.Overlap, w.Min)
	}
	return w, nil
}

// Name implements [Chunker].
func (w Windows) Name() string { return fmt.Sprintf("windows=%d/%d/%d", w.Size, w.Overlap, w.Min) }

// Chunks implements [Chunker].
func (w Windows) Chunks(path string, source []byte) []Chunk {
	ids := w.Tokenizer.Encode(string(source))
	head := comment(gitrepo.Language(path)) + "File: " + path + "\n"
	var chunks []Chunk
	for at := 0; at < len(ids); at += w.Size - w.Overlap {
		end := min(len(ids), at+w.Size)
		if end-at >= w.Min {
			chunks = append(chunks, Chunk{Path: path, Head: head, Code: strings.ToValidUTF8(w.Tokenizer.Decode(ids[at:end]), "")})
		}
		if end == len(ids) {
			break
		}
	}
	return chunks
}

// maxChars is the length of a unit in characters, as in the paper's code.
const maxChars = 12_000

// Units cuts a file into its top-level functions and classes, as the paper's
// second generation does, under the lines "# File: <path>" and "# Symbol:
// <name>". What stands outside of them is left out. A file without any that can
// be read is one unit, "<module>", if it can't be parsed. Unlike there, a
// definition has its decorators, and in other languages its comment.
type Units struct{}

// Name implements [Chunker].
func (Units) Name() string { return "units" }

// Chunks implements [Chunker].
func (Units) Chunks(path string, source []byte) []Chunk {
	o, err := syntax.ParseFile(path, source)
	if err != nil || o.Errors > 0 && len(o.Definitions) == 0 {
		return []Chunk{newChunk(path, "<module>", strings.TrimSpace(string(source)))}
	}
	var chunks []Chunk
	for i := range o.Definitions {
		if d := &o.Definitions[i]; d.Parent == syntax.None && d.Name != "" {
			chunks = append(chunks, newChunk(path, symbol(o, i), definition(source, d)))
		}
	}
	return chunks
}

// Tests cuts out the test functions of a file, whole.
type Tests struct{}

// Name implements [Chunker].
func (Tests) Name() string { return "tests" }

// Chunks implements [Chunker].
func (Tests) Chunks(path string, source []byte) []Chunk {
	o, err := syntax.ParseFile(path, source)
	if err != nil {
		return nil
	}
	var chunks []Chunk
	end := 0
	for i := range o.Definitions {
		d := &o.Definitions[i]
		if d.Test && d.Start >= end { // a test in a test is in its chunk
			chunks = append(chunks, newChunk(path, symbol(o, i), definition(source, d)))
			end = d.End
		}
	}
	return chunks
}

// Assertions gives each assertion with what comes before it in its file, as the
// examples in the authors' logs do: the last Before characters and the answer.
type Assertions struct {
	Before int // 0: 1000
}

// Name implements [Chunker].
func (a Assertions) Name() string { return fmt.Sprintf("assertions=%d", a.before()) }

func (a Assertions) before() int {
	if a.Before <= 0 {
		return 1000
	}
	return a.Before
}

// Chunks implements [Chunker].
func (a Assertions) Chunks(path string, source []byte) []Chunk {
	o, err := syntax.ParseFile(path, source)
	if err != nil {
		return nil
	}
	var chunks []Chunk
	for _, s := range o.Sites {
		if s.Flaw == "" && s.Start >= 0 && s.Start <= s.End && s.End <= len(source) {
			before := string(source[max(0, s.Start-4*a.before()):s.Start]) // 4 bytes are at least a character
			code := strings.TrimLeft(lastRunes(before, a.before()), "\r\n") + string(source[s.Start:s.End])
			chunks = append(chunks, Chunk{Path: path, Code: code})
		}
	}
	return chunks
}

// newChunk makes a chunk with a head, cut to maxChars.
func newChunk(path, symbol, code string) Chunk {
	sign := comment(gitrepo.Language(path))
	if short := firstRunes(code, maxChars); len(short) < len(code) {
		code = short + "\n" + sign + "... truncated ..."
	}
	return Chunk{Path: path, Symbol: symbol, Head: sign + "File: " + path + "\n" + sign + "Symbol: " + symbol + "\n", Code: code}
}

// symbol is the name of a definition with those around it.
func symbol(o *syntax.Outline, i int) string {
	d := &o.Definitions[i]
	names := []string{d.Name}
	if d.Receiver != "" {
		names = append(names, d.Receiver)
	}
	for p := d.Parent; p != syntax.None; p = o.Definitions[p].Parent {
		names = append(names, o.Definitions[p].Name)
	}
	slices.Reverse(names)
	return strings.Join(names, ".")
}

// definition returns the text of a definition from the beginning of its first
// line on: with decorators, and with the comment above where that is its
// documentation.
func definition(source []byte, d *syntax.Definition) string {
	return string(source[definitionStart(source, d):d.End])
}

func definitionStart(source []byte, d *syntax.Definition) int {
	start, line := d.Start, d.Line
	for start > 0 && (line > d.DecoratorLine || source[start-1] != '\n') {
		start--
		if source[start] == '\n' {
			line--
		}
	}
	if d.Doc.Start < d.Doc.End && d.Doc.Start < start {
		start = d.Doc.Start
	}
	return start
}
