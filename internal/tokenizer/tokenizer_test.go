package tokenizer

import (
	"slices"
	"strings"
	"testing"
)

// toySpec has all bytes, a few merges and special tokens.
func toySpec() Spec {
	spec := Spec{Pre: "qwen2", BOS: -1, EOS: -1, EOT: -1, EOM: -1, FIMPre: -1, FIMSuf: -1, FIMMid: -1, FIMPad: -1, FIMRep: -1, FIMSep: -1}
	for b := range 256 {
		spec.Tokens = append(spec.Tokens, string(byteToRune[b]))
	}
	spec.Merges = []string{"e l", "l o", "h el", "hel lo", "Ġ hello", "a a", "aa aa"}
	for _, m := range spec.Merges {
		spec.Tokens = append(spec.Tokens, strings.Replace(m, " ", "", 1))
	}
	for range spec.Tokens {
		spec.Types = append(spec.Types, Normal)
	}
	for _, s := range []struct {
		text string
		typ  int32
	}{
		{"<|endoftext|>", Control}, {"<|fim_prefix|>", Control}, {"<|fim_suffix|>", Control}, {"<|fim_middle|>", Control},
		{"<|file_sep|>", Control}, {"<think>", UserDefined}, {"<think>>", UserDefined}, {"[PAD1]", Unused},
	} {
		spec.Tokens, spec.Types = append(spec.Tokens, s.text), append(spec.Types, s.typ)
	}
	return spec
}

func toy(t *testing.T) *Tokenizer {
	t.Helper()
	tok, err := New(toySpec())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// pieces spells out what each token stands for.
func pieces(t *Tokenizer, ids []int32) []string {
	var texts []string
	for _, id := range ids {
		texts = append(texts, string(t.Bytes(id)))
	}
	return texts
}

func TestEncode(t *testing.T) {
	tok := toy(t)
	for _, c := range []struct {
		text    string
		special bool
		want    []string
	}{
		{"", false, nil},
		{"hello hello", false, []string{"hello", " hello"}},
		{"helo", false, []string{"hel", "o"}},
		{"aaaaaaa", false, []string{"aaaa", "aa", "a"}}, // leftmost first
		{"<|endoftext|>", false, strings.Split("<|endoftext|>", "")},
		{"<|endoftext|>", true, []string{"<|endoftext|>"}},
		{"hello<think>>x", true, []string{"hello", "<think>>", "x"}},
		{"<think> hello", true, []string{"<think>", " hello"}},
		{"[PAD1]", true, strings.Split("[PAD1]", "")},
		{"\xff\xc3hello", true, []string{"\xff", "\xc3", "hello"}},
	} {
		encode := tok.Encode
		if c.special {
			encode = tok.EncodeSpecial
		}
		if got := pieces(tok, encode(c.text)); !slices.Equal(got, c.want) {
			t.Errorf("%q (special %v): got %q, want %q", c.text, c.special, got, c.want)
		}
	}
}
