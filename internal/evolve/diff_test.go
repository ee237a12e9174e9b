package evolve

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/code2lora/code2lora/internal/tokenizer"
)

var _ Tokenizer = (*tokenizer.Tokenizer)(nil)

// byteTokenizer has a token for each byte, and 256 for "<eot>", a control
// token.
type byteTokenizer struct{}

func (byteTokenizer) EncodeSpecial(text string) (ids []int32) {
	for text != "" {
		if rest, ok := strings.CutPrefix(text, "<eot>"); ok {
			ids, text = append(ids, 256), rest
			continue
		}
		ids, text = append(ids, int32(text[0])), text[1:]
	}
	return ids
}

func (byteTokenizer) Decode(ids []int32) string {
	var b []byte
	for _, id := range ids {
		b = append(b, byte(id))
	}
	return string(b)
}

func (byteTokenizer) Control(id int32) bool { return id == 256 }

// windows returns the texts of windows, with "$" for the end token.
func windows(t *testing.T, text string, o WindowOptions) []string {
	t.Helper()
	var all []string
	err := DiffTokens(text, byteTokenizer{}, o, func(tokens []int32) error {
		s := byteTokenizer{}.Decode(tokens)
		if o.End >= 0 && tokens[len(tokens)-1] == o.End {
			s = s[:len(s)-1] + "$"
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDiffTokens(t *testing.T) {
	o := WindowOptions{Chunk: 6, Overlap: 2, Min: 3, End: 300}
	open := o
	open.End = -1
	tests := []struct {
		name, text string
		o          WindowOptions
		want       []string
	}{
		{"empty", "", o, nil},
		{"blank", " \n\t \n ", o, nil},
		{"too short", "ab", o, nil},
		{"shortest", "abc", o, []string{"abc$"}},
		{"the end takes a place", "abcdef", o, []string{"abcde$"}},
		{"no end token", "abcdef", open, []string{"abcdef"}},
		{"overlap", "abcdefgh", open, []string{"abcdef", "efgh"}},
		{"two, the last is full", "abcdefghij", open, []string{"abcdef", "efghij"}},
		{"the last one is too short to add anything", "abcdefg", WindowOptions{Chunk: 6, Overlap: 1, Min: 3, End: -1}, []string{"abcdef"}},
		{"control tokens vanish but count", "ab<eot>cdefgh", open, []string{"abcde", "defgh"}},
		{"only control tokens", "<eot><eot><eot>", o, []string{"$"}},
		{"only control tokens, no end token", "<eot><eot><eot>", open, nil},
		// Of U+FFFD, which has three bytes, one finds room.
		{"character cut at both sides", "abcde€fgh", open, []string{"abcde\xef", "e€fg", "fgh"}},
	}
	for _, tt := range tests {
		got := windows(t, tt.text, tt.o)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestDiffTokensErrors(t *testing.T) {
	stop := errors.New("stop")
	err := DiffTokens(strings.Repeat("x", 2000), byteTokenizer{}, DefaultWindowOptions(), func([]int32) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("error of f: got %v, want %v", err, stop)
	}
	for _, o := range []WindowOptions{{}, {Chunk: 8, Overlap: 8, Min: 1}, {Chunk: 8, Min: 9}, {Chunk: 8, Overlap: -1, Min: 1}} {
		if err := DiffTokens("text", byteTokenizer{}, o, nil); err == nil {
			t.Errorf("options %+v: got no error", o)
		}
	}
}

// TestDefaultWindows checks the places of the released windows: 0, 448, 896, …
func TestDefaultWindows(t *testing.T) {
	text := strings.Repeat("x", 448*2+64+15)
	n := 0
	if err := DiffTokens(text, byteTokenizer{}, DefaultWindowOptions(), func(tokens []int32) error {
		want := 512
		if n == 2 {
			want = 64 + 15 + 1
		}
		if len(tokens) != want || tokens[len(tokens)-1] != 151643 {
			t.Errorf("window %d: %d tokens, the last %d, want %d and 151643", n, len(tokens), tokens[len(tokens)-1], want)
		}
		n++
		return nil
	}); err != nil || n != 3 {
		t.Errorf("got %d windows, error %v, want 3", n, err)
	}
}

func TestValidUTF8(t *testing.T) {
	const r = "\uFFFD"
	for _, tt := range []struct{ in, want string }{
		{"a€b", "a€b"},
		{"a\xe2\x82", "a" + r},      // the beginning of a character
		{"\x82\xacb", r + r + "b"},  // its end
		{"\xf0\x9f\x98", r},         // three bytes of four
		{"\xf0\x9f\x98x", r + "x"},  // and then another
		{"\xf0\x80\x80", r + r + r}, // overlong: no beginning
		{"\xed\xa0\x80", r + r + r}, // a surrogate
		{"\xffa\xc3", r + "a" + r},
		{"\xe2\xe2\x82\xac", r + "€"},
	} {
		if got := validUTF8(tt.in); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzDiffTokens(f *testing.F) {
	f.Add("diff --git a/x.py b/x.py\n+é<eot>\n", 9, 2, 3)
	f.Fuzz(func(t *testing.T, text string, chunk, overlap, least int) {
		o := WindowOptions{Chunk: chunk, Overlap: overlap, Min: least, End: 300}
		if o.Validate() != nil || len(text) > 1<<12 {
			return
		}
		if err := DiffTokens(text, byteTokenizer{}, o, func(tokens []int32) error {
			if len(tokens) == 0 || len(tokens) > chunk || tokens[len(tokens)-1] != 300 {
				t.Errorf("window %v: want 1 to %d tokens, the last 300", tokens, chunk)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if got := validUTF8(text); !utf8.ValidString(got) {
			t.Errorf("%q: got %q, which is not UTF-8", text, got)
		}
	})
}

func TestDiffPool(t *testing.T) {
	p := NewDiffPool(2)
	if got, want := p.Vector(), []float32{0, 0, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("no window: got %v, want %v", got, want)
	}
	p.Add([]float32{-1, 2})
	p.Add([]float32{-3, 0.00048828125 + 1})
	want := []float32{-1, 2, -2, 1.5} // 1.500244 rounds to 1.5 in float16
	if got := p.Vector(); !slices.Equal(got, want) {
		t.Errorf("two windows: got %v, want %v", got, want)
	}
}
