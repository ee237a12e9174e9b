package tokenizer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
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

func TestNewErrors(t *testing.T) {
	for _, c := range []struct {
		change func(*Spec)
		want   string
	}{
		{func(s *Spec) { s.Pre = "bert" }, `unknown pre-tokenizer "bert"`},
		{func(s *Spec) { s.Pre = "" }, `unknown pre-tokenizer ""`},
		{func(s *Spec) { s.Tokens = nil }, "the vocabulary is empty"},
		{func(s *Spec) { s.Tokens[260] = "a" }, `same text "a"`},
		{func(s *Spec) { s.Tokens[3] = "" }, "token 3 has no text"},
		{func(s *Spec) { s.Types = s.Types[1:] }, "token types for"},
		{func(s *Spec) { s.Types[7] = 0 }, "type 0, want 1 to 6"},
		{func(s *Spec) { s.Types[7] = 7 }, "type 7, want 1 to 6"},
		{func(s *Spec) { s.Merges[2] = "hel" }, `merge 2 ("hel") is not a pair`},
		{func(s *Spec) { s.Merges[2] = "" }, `merge 2 ("") is not a pair`},
		{func(s *Spec) { s.Merges[2] = "h " }, `merge 2 ("h ") is not a pair`},
		{func(s *Spec) { s.Merges[2] = " h" }, `merge 2 (" h") is not a pair`},
		{func(s *Spec) { s.Merges[0] = "x y" }, `"xy" in the vocabulary`},
		{func(s *Spec) { s.EOS = int32(len(s.Tokens)) }, "EOS token id 271 is out of range"},
		{func(s *Spec) { s.BOS = -2 }, "BOS token id -2 is out of range"},
		{func(s *Spec) { s.FIMMid = 1000 }, "FIM middle token id 1000 is out of range"},
		{func(s *Spec) { s.AddBOS = true }, "BOS token, but there is none"},
	} {
		spec := toySpec()
		c.change(&spec)
		if _, err := New(spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got error %v, want one with %q", err, c.want)
		}
	}
}

func TestSpecialTokens(t *testing.T) {
	tok := realTokenizer(t, "qwen2")
	if pre, suf, mid, ok := tok.FIM(); pre != 151659 || suf != 151661 || mid != 151660 || !ok {
		t.Errorf("qwen2: FIM %d, %d, %d, %v: want 151659, 151661, 151660, true", pre, suf, mid, ok)
	}
	for id, want := range map[int32]bool{
		151643: true, 151645: true, 151662: true, 151663: true, 151664: true, // endoftext, im_end, pad, repository, separator
		151644: false, 151659: false, 0: false, 128247: false, // im_start, prefix, "!", "</s>" (text of HTML)
		-1: false, 1 << 30: false,
	} {
		if got := tok.IsEOG(id); got != want {
			t.Errorf("qwen2: IsEOG(%d) of %q is %v, want %v", id, tok.Bytes(id), got, want)
		}
	}
	for id, want := range map[int32]bool{0: false, 151643: true, 151657: true, 151700: false, -1: false, 1 << 30: false} {
		if got := tok.Special(id); got != want {
			t.Errorf("qwen2: Special(%d) of %q is %v, want %v", id, tok.Bytes(id), got, want)
		}
	}
	for text, want := range map[string]int32{"<|im_end|>": 151645, " the": 279, "\n": 198, "</s>": 128247, "[PAD151700]": -1, "Ġthe": -1, "": -1} {
		if got, ok := tok.ID(text); ok != (want >= 0) || ok && got != want {
			t.Errorf("qwen2: ID(%q) is %d, %v: want %d", text, got, ok, want)
		}
	}
	if got := tok.Bytes(151700); len(got) != 0 {
		t.Errorf("qwen2: unused token stands for %q, want nothing", got)
	}
	if tok.VocabSize() != 151936 || tok.BOS() != 151643 || tok.EOS() != 151645 || tok.AddBOS() {
		t.Errorf("qwen2: size %d, BOS %d, EOS %d, AddBOS %v", tok.VocabSize(), tok.BOS(), tok.EOS(), tok.AddBOS())
	}

	tok = realTokenizer(t, "smollm")
	if pre, suf, mid, ok := tok.FIM(); ok {
		t.Errorf("smollm: FIM %d, %d, %d: want none", pre, suf, mid)
	}
	if !tok.IsEOG(0) || tok.IsEOG(1) || !tok.IsEOG(2) {
		t.Errorf("smollm: IsEOG of 0, 1, 2 is %v, %v, %v: want true, false, true", tok.IsEOG(0), tok.IsEOG(1), tok.IsEOG(2))
	}
}

// TestWrongTypes: files that call a control token normal, and merges that lead
// to one, must not let text control the model.
func TestWrongTypes(t *testing.T) {
	spec := toySpec()
	eot := slices.Index(spec.Tokens, "<|endoftext|>")
	spec.Types[eot] = Normal
	spec.Tokens, spec.Types = append(spec.Tokens, "xy", "</s>", "/s", "/s>"), append(spec.Types, Control, Normal, Normal, Normal)
	spec.Merges = append(spec.Merges, "x y", "/ s", "/s >", "< /s>")
	spec.Pre = "gpt-2"
	tok, err := New(spec)
	if err != nil {
		t.Fatal(err)
	}
	if !tok.Special(int32(eot)) || !tok.IsEOG(int32(eot)) {
		t.Errorf("<|endoftext|> of type normal: Special %v, IsEOG %v: want true, true", tok.Special(int32(eot)), tok.IsEOG(int32(eot)))
	}
	if got, want := pieces(tok, tok.Encode("xy")), []string{"x", "y"}; !slices.Equal(got, want) {
		t.Errorf("merge to a control token: got %q, want %q", got, want)
	}
	if id, _ := tok.ID("</s>"); tok.Special(id) || tok.IsEOG(id) {
		t.Errorf("</s> that merges make: Special %v, IsEOG %v: want false, false", tok.Special(id), tok.IsEOG(id))
	}
}

func TestIgnoreMerges(t *testing.T) {
	spec := toySpec()
	spec.Tokens, spec.Types = append(spec.Tokens, "abc", "abcd"), append(spec.Types, Normal, Control)
	for pre, want := range map[string][]string{"qwen2": {"a", "b", "c"}, "llama-bpe": {"abc"}} {
		spec.Pre = pre
		tok, err := New(spec)
		if err != nil {
			t.Fatal(err)
		}
		if got := pieces(tok, tok.Encode("abc")); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", pre, got, want)
		}
		if got, want := pieces(tok, tok.Encode("abcd")), []string{"a", "b", "c", "d"}; !slices.Equal(got, want) {
			t.Errorf("%s, control token: got %q, want %q", pre, got, want)
		}
	}
}

// TestMissingBytes: SmolLM2 has no token for byte 4. As in llama.cpp it
// is dropped and keeps its neighbours apart.
func TestMissingBytes(t *testing.T) {
	tok := realTokenizer(t, "smollm")
	got, want := pieces(tok, tok.Encode("=\x04=")), []string{"=", "="}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := tok.Encode("\x04"); len(got) != 0 {
		t.Errorf("got %v, want nothing", got)
	}
}

func TestStream(t *testing.T) {
	tok := toy(t)
	write := func(text string) []string {
		s := tok.NewStream()
		var out []string
		for _, id := range tok.Encode(text) {
			out = append(out, s.Write(id))
		}
		return append(out, s.Flush(), s.Flush())
	}
	for _, c := range []struct {
		text string
		want []string
	}{
		{"a", []string{"a", "", ""}},
		{"é", []string{"", "é", "", ""}},
		{"🚀!", []string{"", "", "", "🚀", "!", "", ""}},
		{"\xf0\x9fx", []string{"", "", "\ufffd\ufffdx", "", ""}},
		{"\xffx", []string{"\ufffd", "x", "", ""}},
		{"x\xe4\xb8", []string{"x", "", "", "\ufffd\ufffd", ""}},
	} {
		if got := write(c.text); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}

// TestConcurrent has goroutines share one tokenizer; the race detector
// watches.
func TestConcurrent(t *testing.T) {
	tok := realTokenizer(t, "smollm")
	lines := goldenLines(t)[:1000]
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range lines {
				l := lines[(i+g*250)%len(lines)]
				if got := tok.Encode(l.Text); !slices.Equal(got, l.Smollm) {
					t.Errorf("%q: got %v, want %v", l.Text, got, l.Smollm)
				}
			}
		})
	}
	wg.Wait()
}

// mergeNaively is the definition of byte-pair encoding, with the whole list of
// merges searched at each step.
func mergeNaively(merges []string, text string) []string {
	rank := map[string]int{}
	for i, m := range merges {
		rank[m] = i
	}
	parts := strings.Split(toAlphabet(text), "")
	for {
		best, at := len(merges), -1
		for i := range len(parts) - 1 {
			if r, ok := rank[parts[i]+" "+parts[i+1]]; ok && r < best {
				best, at = r, i
			}
		}
		if at < 0 {
			return parts
		}
		parts = slices.Replace(parts, at, at+2, parts[at]+parts[at+1])
	}
}

// TestMerge compares the merging of short and of long pieces with the definition, on
// random vocabularies.
func TestMerge(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		spec := toySpec()
		spec.Merges = nil
		parts := []string{"p", "q", "r"}
		for range 30 {
			a, b := parts[rng.IntN(len(parts))], parts[rng.IntN(len(parts))]
			if slices.Contains(spec.Merges, a+" "+b) {
				continue
			}
			spec.Merges = append(spec.Merges, a+" "+b)
			if !slices.Contains(spec.Tokens, a+b) {
				spec.Tokens, spec.Types = append(spec.Tokens, a+b), append(spec.Types, Normal)
				parts = append(parts, a+b)
			}
		}
		rng.Shuffle(len(spec.Merges), func(i, j int) { spec.Merges[i], spec.Merges[j] = spec.Merges[j], spec.Merges[i] })
		tok, err := New(spec)
		if err != nil {
			t.Fatal(err)
		}
		for n := 1; n <= 3*shortPiece; n += 1 + rng.IntN(7) {
			text := strings.Map(func(rune) rune { return rune("pqr"[rng.IntN(3)]) }, strings.Repeat("x", n))
			want := mergeNaively(spec.Merges, text)
			if got := pieces(tok, tok.mergeLong(nil, text)); !slices.Equal(got, want) {
				t.Fatalf("mergeLong of %q with %q: got %q, want %q", text, spec.Merges, got, want)
			}
			if n > shortPiece {
				continue
			}
			if got := pieces(tok, tok.mergeShort(nil, text)); !slices.Equal(got, want) {
				t.Fatalf("mergeShort of %q with %q: got %q, want %q", text, spec.Merges, got, want)
			}
		}
	}
}

// FuzzRoundTrip: whatever the bytes, decoding gives them back, special tokens
// or not, at once or as a stream, for every pre-tokenizer.
func FuzzRoundTrip(f *testing.F) {
	for _, s := range []string{
		"", "def f(x):\n\treturn x\r\n", "it's  '\t x 12345½", "\xff\xfe\xc3", "é\u0301🚀 \u2028\u3000x", "<|endoftext|><think>>",
		"\x00\x04\x1f", strings.Repeat(" ", 100), strings.Repeat("a\xe4", 40), "'", "'r", " ", "\n", "x\r", "12$$1234",
	} {
		f.Add(s)
	}
	toks := []*Tokenizer{realTokenizer(f, "qwen2")}
	for _, pre := range Pretokenizers() {
		spec := toySpec()
		spec.Pre = pre
		tok, err := New(spec)
		if err != nil {
			f.Fatal(err)
		}
		toks = append(toks, tok)
	}
	smollm := realTokenizer(f, "smollm")
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range toks {
			ids := tok.Encode(text)
			if got := tok.Decode(ids); got != text {
				t.Errorf("%s: got %q, want %q", tok.spec.Pre, got, text)
			}
			if i := slices.IndexFunc(ids, tok.Special); i >= 0 {
				t.Errorf("%s: %q gave the special token %q", tok.spec.Pre, text, tok.Bytes(ids[i]))
			}
			if got := tok.Decode(tok.EncodeSpecial(text)); got != text {
				t.Errorf("%s, special: got %q, want %q", tok.spec.Pre, got, text)
			}
			s := tok.NewStream()
			var streamed strings.Builder
			for _, id := range ids {
				part := s.Write(id)
				if !utf8.ValidString(part) {
					t.Errorf("%s: stream gave %q", tok.spec.Pre, part)
				}
				streamed.WriteString(part)
			}
			streamed.WriteString(s.Flush())
			if got, want := streamed.String(), string([]rune(text)); got != want {
				t.Errorf("%s, stream: got %q, want %q", tok.spec.Pre, got, want)
			}
		}
		var known []byte // SmolLM2 drops the bytes for which it has no token
		for i := range len(text) {
			if smollm.byteID[text[i]] >= 0 {
				known = append(known, text[i])
			}
		}
		if got := smollm.Decode(smollm.Encode(text)); got != string(known) {
			t.Errorf("smollm: got %q, want %q", got, known)
		}
	})
}

// FuzzNew: no description makes New or the tokenizer panic.
func FuzzNew(f *testing.F) {
	f.Add("a\nb\nab\n<|endoftext|>", "a b", "qwen2", "ab", int32(0))
	f.Add("a\n a\n  a", "  a", "default", "aa", int32(-1))
	f.Add("Ā\nÿ\n\xff", "Ā ÿ", "llama-bpe", "\x00", int32(3))
	f.Fuzz(func(t *testing.T, tokens, merges, pre, text string, id int32) {
		spec := Spec{Pre: pre, Tokens: strings.Split(tokens, "\n"), BOS: id, EOS: id, EOT: -1, EOM: -1, FIMPre: -1, FIMSuf: -1, FIMMid: -1, FIMPad: -1, FIMRep: -1, FIMSep: -1}
		if merges != "" {
			spec.Merges = strings.Split(merges, "\n")
		}
		tok, err := New(spec)
		if err != nil {
			return
		}
		for _, id := range append(tok.Encode(text), tok.EncodeSpecial(text)...) {
			if id < 0 || int(id) >= tok.VocabSize() {
				t.Errorf("id %d of %d", id, tok.VocabSize())
			}
		}
	})
}
