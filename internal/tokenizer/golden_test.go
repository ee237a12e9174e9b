package tokenizer

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"unicode/utf8"
)

// The files in testdata are written by reference/tokenizer_golden.py.

// vocabFile is NAME.vocab.json.gz.
type vocabFile struct {
	Pre    string
	Tokens []string
	Types  []int32
	Merges []string
	BOS    int32
	EOS    int32
}

// goldenLine is a line of golden.jsonl.gz. Ids that are nil are those of the
// line without the suffix.
type goldenLine struct {
	Text          string
	Smollm        []int32
	SmollmSpecial []int32 `json:"smollm_special"`
	Qwen2         []int32
	Qwen2Special  []int32          `json:"qwen2_special"`
	Qwen2NFC      []int32          `json:"qwen2_nfc"`
	Pieces        map[string][]int // length in bytes of the pieces, by pre-tokenizer
}

func openGzip(t testing.TB, name string) io.Reader {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	return z
}

var (
	specsMu sync.Mutex
	specs   = map[string]Spec{}
)

// realSpec is the vocabulary of SmolLM2 ("smollm") or Qwen2.5-Coder ("qwen2").
func realSpec(t testing.TB, name string) Spec {
	t.Helper()
	specsMu.Lock()
	defer specsMu.Unlock()
	if spec, ok := specs[name]; ok {
		return spec
	}
	var v vocabFile
	if err := json.NewDecoder(openGzip(t, name+".vocab.json.gz")).Decode(&v); err != nil {
		t.Fatal(err)
	}
	spec := Spec{
		Pre: v.Pre, Tokens: v.Tokens, Types: v.Types, Merges: v.Merges, BOS: v.BOS, EOS: v.EOS, EOT: -1, EOM: -1,
		FIMPre: -1, FIMSuf: -1, FIMMid: -1, FIMPad: -1, FIMRep: -1, FIMSep: -1,
	}
	specs[name] = spec
	return spec
}

func realTokenizer(t testing.TB, name string) *Tokenizer {
	t.Helper()
	tok, err := New(realSpec(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func goldenLines(t testing.TB) []goldenLine {
	t.Helper()
	var lines []goldenLine
	d := json.NewDecoder(openGzip(t, "golden.jsonl.gz"))
	for {
		var l goldenLine
		if err := d.Decode(&l); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	if len(lines) < 2000 {
		t.Fatalf("%d golden lines, want at least 2000", len(lines))
	}
	return lines
}

// or returns the first ids that are given.
func or(a, b []int32) []int32 {
	if a != nil {
		return a
	}
	return b
}

func TestGolden(t *testing.T) {
	lines := goldenLines(t)
	smollm, qwen2 := realTokenizer(t, "smollm"), realTokenizer(t, "qwen2")
	spec := realSpec(t, "qwen2")
	spec.NFC = true
	nfc, err := New(spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		encode func(string) []int32
		want   func(l goldenLine) []int32
		decode func([]int32) string // nil if the text does not come back
	}{
		{"smollm", smollm.Encode, func(l goldenLine) []int32 { return l.Smollm }, smollm.Decode},
		{"smollm special", smollm.EncodeSpecial, func(l goldenLine) []int32 { return or(l.SmollmSpecial, l.Smollm) }, smollm.Decode},
		{"qwen2", qwen2.Encode, func(l goldenLine) []int32 { return l.Qwen2 }, qwen2.Decode},
		{"qwen2 special", qwen2.EncodeSpecial, func(l goldenLine) []int32 { return or(l.Qwen2Special, l.Qwen2) }, qwen2.Decode},
		{"qwen2 NFC", nfc.Encode, func(l goldenLine) []int32 { return or(l.Qwen2NFC, l.Qwen2) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			differ := 0
			for _, l := range lines {
				got, want := c.encode(l.Text), c.want(l)
				if !slices.Equal(got, want) {
					if differ++; differ <= 10 {
						t.Errorf("%q:\ngot  %v %q\nwant %v %q", l.Text, got, pieces(qwen2, got), want, pieces(qwen2, want))
					}
				}
				if c.decode != nil && utf8.ValidString(l.Text) && c.decode(want) != l.Text {
					t.Errorf("decoding %v: got %q, want %q", want, c.decode(want), l.Text)
				}
			}
			if differ > 0 {
				t.Errorf("%d of %d lines differ", differ, len(lines))
			}
		})
	}
}

// cuts returns the length of each piece of a text.
func cuts(text string, passes []scanner) []int {
	if len(passes) == 0 {
		return []int{len(text)}
	}
	var lengths []int
	for text != "" {
		n := passes[0](text, 0)
		lengths = append(lengths, cuts(text[:n], passes[1:])...)
		text = text[n:]
	}
	return lengths
}

func TestGoldenPieces(t *testing.T) {
	compared := map[string]int{}
	for _, l := range goldenLines(t) {
		for name, want := range l.Pieces {
			compared[name]++
			if got := cuts(l.Text, pretokenizers[name].passes); !slices.Equal(got, want) {
				t.Errorf("%s: %q:\ngot  %v\nwant %v", name, l.Text, got, want)
			}
		}
	}
	for _, name := range []string{"gpt-2", "default", "llama-bpe", "qwen35"} {
		if compared[name] < 1000 {
			t.Errorf("%s: %d lines, want at least 1000", name, compared[name])
		}
	}
}
