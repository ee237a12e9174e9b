package engine

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

const code = "def test_add(self):\n    assert add(1, 2) == "

// TestGreedy compares cached decoding with a fresh pass over the whole text at
// every step.
func TestGreedy(t *testing.T) {
	for _, name := range []string{"tiny-llama", "tiny-qwen2"} {
		e := load(t, name)
		for what, a := range map[string]*adapter.Adapter{"base": nil, "adapter": randomAdapter(e.Model, 0.4)} {
			t.Run(name+" "+what, func(t *testing.T) {
				c := complete(t, e, Prompt{Prefix: code}, a, Options{MaxTokens: 12})
				if len(c.Tokens) == 0 || len(c.LogProbs) != len(c.Tokens) {
					t.Fatalf("%d tokens and %d log-probabilities", len(c.Tokens), len(c.LogProbs))
				}
				ids := e.Tokenizer.Encode(code)
				for i, id := range c.Tokens {
					best, nll := next(t, e.Model, a, ids, id)
					if id != best {
						t.Fatalf("token %d: got %d, a fresh pass gives %d", i, id, best)
					}
					if got, want := float64(c.LogProbs[i]), -nll; math.Abs(got-want) > 1e-4 {
						t.Errorf("token %d: log-probability %g, want %g", i, got, want)
					}
					ids = append(ids, id)
				}
			})
		}
	}
}

// next returns the most likely token after ids, and the negative
// log-likelihood of id there.
func next(t *testing.T, m *model.Model, a *adapter.Adapter, ids []int32, id int32) (best int32, nll float64) {
	t.Helper()
	s := model.Sequence{Tokens: ids, Labels: []model.Label{{Pos: len(ids) - 1, Target: id}}, Adapter: -1}
	b := model.Batch{Sequences: []model.Sequence{s}}
	if a != nil {
		b.Adapters, b.Sequences[0].Adapter = []*adapter.Adapter{a}, 0
	}
	r, err := m.Score(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	return r.Argmax[0][0], float64(r.NLL[0][0])
}

func TestStreaming(t *testing.T) {
	e := load(t, "tiny-llama")
	for seed := range uint64(8) {
		var pieces []string
		c, err := e.Complete(context.Background(), Prompt{Prefix: "x = "}, nil,
			Options{MaxTokens: 40, Temperature: 3, Seed: seed, Stop: []string{"aba", "\n\n"}},
			func(s string) error { pieces = append(pieces, s); return nil })
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(pieces, ""); got != c.Text {
			t.Errorf("seed %d: pieces make %q, text is %q", seed, got, c.Text)
		}
		for _, p := range pieces {
			if p == "" || !utf8.ValidString(p) {
				t.Errorf("seed %d: piece %q: want whole characters", seed, p)
			}
		}
		stream, want := e.Tokenizer.NewStream(), ""
		for _, id := range c.Tokens {
			want += stream.Write(id)
		}
		if want += stream.Flush(); c.FinishReason == FinishLength && c.Text != want {
			t.Errorf("seed %d: text %q, tokens decode to %q", seed, c.Text, want)
		}
	}
}

// TestStop stops a known completion at every one of its substrings of one to
// four bytes.
func TestStop(t *testing.T) {
	e := random(t, letters(t, nil))
	o := Options{MaxTokens: 24, Temperature: 1.5, Seed: 3}
	whole := complete(t, e, Prompt{Prefix: code}, nil, o)
	if len(whole.Text) != 24 || whole.FinishReason != FinishLength {
		t.Fatalf("got %q (%s), want 24 characters", whole.Text, whole.FinishReason)
	}
	for n := 1; n <= 4; n++ {
		for i := 0; i+n <= len(whole.Text); i++ {
			stop := whole.Text[i : i+n]
			o.Stop = []string{"\x00never", stop}
			c := complete(t, e, Prompt{Prefix: code}, nil, o)
			first := strings.Index(whole.Text, stop)
			if c.Text != whole.Text[:first] || c.FinishReason != FinishStop {
				t.Errorf("stop %q: got %q (%s), want %q", stop, c.Text, c.FinishReason, whole.Text[:first])
			}
			if got, want := len(c.Tokens), first+n; got != want {
				t.Errorf("stop %q: %d tokens, want %d, those that spell it included", stop, got, want)
			}
		}
	}
	// What only begins a stop sequence at the end of the answer belongs to it.
	o.Stop = []string{whole.Text[20:] + "\x00"}
	if c := complete(t, e, Prompt{Prefix: code}, nil, o); c.Text != whole.Text || c.FinishReason != FinishLength {
		t.Errorf("partial stop at the end: got %q (%s), want %q", c.Text, c.FinishReason, whole.Text)
	}
}

// TestOutput checks what is passed on when, since a stop sequence may be spread
// over tokens.
func TestOutput(t *testing.T) {
	for name, tt := range map[string]struct {
		stops, in, want []string
		stopped         bool
	}{
		"none":                  {nil, []string{"a", "", "bc"}, []string{"a", "bc"}, false},
		"inside a token":        {[]string{"\n"}, []string{"a", "b\nc"}, []string{"a", "b"}, true},
		"over three":            {[]string{"END"}, []string{"xE", "N", "Dy"}, []string{"x"}, true},
		"released":              {[]string{"END"}, []string{"xE", "Nx", "z"}, []string{"x", "ENx", "z"}, false},
		"partly released":       {[]string{"aab"}, []string{"a", "a", "a", "b"}, []string{"a"}, true},
		"held to the end":       {[]string{"END"}, []string{"x", "EN"}, []string{"x", "EN"}, false},
		"the first of several":  {[]string{"c", "b"}, []string{"abc"}, []string{"a"}, true},
		"longest partial":       {[]string{"xyz", "z1"}, []string{"axy", "z"}, []string{"a"}, true},
		"nothing before":        {[]string{"\n"}, []string{"\n"}, nil, true},
		"one within another":    {[]string{"abcd", "bc"}, []string{"ab", "c"}, []string{"a"}, true},
		"several bytes a token": {[]string{"é"}, []string{"aé", "b"}, []string{"a"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			o := &output{stops: tt.stops, emit: func(s string) error { got = append(got, s); return nil }}
			stopped := false
			for _, s := range tt.in {
				var err error
				if stopped, err = o.write(s); err != nil {
					t.Fatal(err)
				}
				if stopped {
					break
				}
			}
			if !stopped {
				if err := o.flush(); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(got, tt.want) || stopped != tt.stopped {
				t.Errorf("got %q, stopped %t; want %q, %t", got, stopped, tt.want, tt.stopped)
			}
			if o.text() != strings.Join(tt.want, "") {
				t.Errorf("text %q, want %q", o.text(), strings.Join(tt.want, ""))
			}
		})
	}
}

func TestEndOfGeneration(t *testing.T) {
	o := Options{MaxTokens: 10, Temperature: 2, Seed: 9}
	whole := complete(t, random(t, letters(t, nil)), Prompt{Prefix: "a b"}, nil, o)
	end := whole.Tokens[4]
	at := slices.Index(whole.Tokens, end)
	e := random(t, letters(t, func(s *tokenizer.Spec, _ int32) { s.EOS = end }))
	c := complete(t, e, Prompt{Prefix: "a b"}, nil, o)
	if c.FinishReason != FinishStop || !slices.Equal(c.Tokens, whole.Tokens[:at]) {
		t.Errorf("got %v (%s), want %v before token %d", c.Tokens, c.FinishReason, whole.Tokens[:at], end)
	}
	// A text that ends at once has empty lists in JSON, not null.
	first := whole.Tokens[0]
	e = random(t, letters(t, func(s *tokenizer.Spec, _ int32) { s.EOS = first }))
	data, err := json.Marshal(complete(t, e, Prompt{Prefix: "a b"}, nil, o))
	if err != nil {
		t.Fatal(err)
	}
	if want := `"text":"","tokens":[],"log_probs":[],"finish_reason":"stop"`; !strings.Contains(string(data), want) {
		t.Errorf("got %s, want it to contain %s", data, want)
	}
}

func TestMaxTokens(t *testing.T) {
	e := random(t, letters(t, nil))
	for _, n := range []int{1, 2, 7} {
		c := complete(t, e, Prompt{Prefix: code}, nil, Options{MaxTokens: n})
		if len(c.Tokens) != n || c.FinishReason != FinishLength {
			t.Errorf("%d tokens (%s), want %d (%s)", len(c.Tokens), c.FinishReason, n, FinishLength)
		}
	}
	if _, err := e.Complete(context.Background(), Prompt{Prefix: "a"}, nil, Options{MaxTokens: 60}, nil); err == nil {
		t.Error("60 tokens in a context of 64: want an error that there is no room for a prompt")
	}
}

func TestTruncation(t *testing.T) {
	tok := letters(t, nil)
	e := random(t, tok)
	long := strings.Repeat("abcdefghij", 20)
	o := Options{MaxTokens: 14}
	c := complete(t, e, Prompt{Prefix: long}, nil, o)
	if !c.Truncated || c.PromptTokens != 50 || len(c.Tokens) != 14 {
		t.Errorf("truncated %t, %d tokens of prompt, %d of answer; want 50 and 14", c.Truncated, c.PromptTokens, len(c.Tokens))
	}
	short := complete(t, e, Prompt{Prefix: long[len(long)-50:]}, nil, o)
	if short.Truncated || short.Text != c.Text {
		t.Errorf("the prompt's last 50 tokens: got %q, truncated %t; want %q", short.Text, short.Truncated, c.Text)
	}
}

func TestPromptTokens(t *testing.T) {
	const pre, suf, mid = 1, 2, 3 // the letters " # $, which stand for themselves elsewhere
	fim := func(s *tokenizer.Spec, _ int32) { s.FIMPre, s.FIMSuf, s.FIMMid = pre, suf, mid }
	withBOS := func(s *tokenizer.Spec, bos int32) { s.BOS, s.AddBOS = bos, true }
	both := func(s *tokenizer.Spec, bos int32) { fim(s, bos); withBOS(s, bos) }
	for name, tt := range map[string]struct {
		spec           func(*tokenizer.Spec, int32)
		prefix, suffix string
		room           int    // of the prompt
		want           string // B for BOS, PSM for the markers
		truncated      bool
		ignored        bool
	}{
		"plain":               {nil, "abc", "", 10, "abc", false, false},
		"cut at the left":     {nil, "abcdefghijkl", "", 10, "cdefghijkl", true, false},
		"exactly fits":        {nil, "abcdefghij", "", 10, "abcdefghij", false, false},
		"suffix ignored":      {nil, "abc", "xyz", 10, "abc", false, true},
		"bos":                 {withBOS, "abc", "", 10, "Babc", false, false},
		"bos stays":           {withBOS, "abcdefghijkl", "", 10, "Bdefghijkl", true, false},
		"bos alone":           {withBOS, "", "", 10, "B", false, false},
		"empty":               {func(s *tokenizer.Spec, bos int32) { s.BOS = bos }, "", "", 10, "B", false, false},
		"empty, end token":    {func(s *tokenizer.Spec, bos int32) { s.EOS = bos }, "", "", 10, "B", false, false},
		"middle":              {fim, "abc", "xyz", 20, "PabcSxyzM", false, false},
		"no suffix, no FIM":   {fim, "abc", "", 20, "abc", false, false},
		"no prefix":           {fim, "", "xyz", 20, "PSxyzM", false, false},
		"middle, bos":         {both, "abc", "xyz", 20, "BPabcSxyzM", false, false},
		"middle, both long":   {fim, "abcdefghijklmnop", "qrstuvwxyz", 11, "PklmnopSqrM", true, false},
		"middle, long prefix": {fim, "abcdefghijklmnop", "z", 11, "PjklmnopSzM", true, false},
		"middle, long suffix": {fim, "ab", "qrstuvwxyz", 11, "PabSqrstuvM", true, false},
		"middle, bos, long":   {both, "abcdefghijklmnop", "qrstuvwxyz", 12, "BPklmnopSqrM", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			tok := letters(t, tt.spec)
			e := random(t, tok)
			c := &Completion{}
			ids, err := e.promptTokens(Prompt{Prefix: tt.prefix, Suffix: tt.suffix}, e.Model.MaxContext()-tt.room, c)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, id := range ids {
				if s, ok := map[int32]string{pre: "P", suf: "S", mid: "M", int32(tok.VocabSize() - 1): "B"}[id]; ok {
					got.WriteString(s)
				} else {
					got.Write(tok.Bytes(id))
				}
			}
			if got.String() != tt.want || c.Truncated != tt.truncated || c.SuffixIgnored != tt.ignored {
				t.Errorf("got %s, truncated %t, ignored %t; want %s, %t, %t",
					&got, c.Truncated, c.SuffixIgnored, tt.want, tt.truncated, tt.ignored)
			}
		})
	}
	e := random(t, letters(t, nil))
	if _, err := e.promptTokens(Prompt{}, 4, &Completion{}); err == nil {
		t.Error("an empty prompt without a token to start from: want an error")
	}
}

func TestSuffix(t *testing.T) {
	for name, ignored := range map[string]bool{"tiny-llama": true, "tiny-qwen2": false} {
		e := load(t, name)
		without := complete(t, e, Prompt{Prefix: code}, nil, Options{MaxTokens: 8})
		with := complete(t, e, Prompt{Prefix: code, Suffix: "\n    return 1\n"}, nil, Options{MaxTokens: 8})
		if without.SuffixIgnored || with.SuffixIgnored != ignored {
			t.Errorf("%s: suffix ignored %t, want %t", name, with.SuffixIgnored, ignored)
		}
		if same := slices.Equal(with.LogProbs, without.LogProbs); same != ignored {
			t.Errorf("%s: same answer with a suffix: %t, want %t", name, same, ignored)
		}
	}
}

func TestAdapter(t *testing.T) {
	e := load(t, "tiny-llama")
	o := Options{MaxTokens: 10}
	base := complete(t, e, Prompt{Prefix: code}, nil, o)
	zero := complete(t, e, Prompt{Prefix: code}, randomAdapter(e.Model, 0), o)
	if !slices.Equal(zero.Tokens, base.Tokens) || !slices.Equal(zero.LogProbs, base.LogProbs) {
		t.Errorf("a zero adapter gives %v %v, the base %v %v", zero.Tokens, zero.LogProbs, base.Tokens, base.LogProbs)
	}
	adapted := complete(t, e, Prompt{Prefix: code}, randomAdapter(e.Model, 0.4), o)
	if slices.Equal(adapted.LogProbs, base.LogProbs) {
		t.Error("an adapter changes nothing")
	}
	// The base is as it was: adapters leave nothing behind.
	if again := complete(t, e, Prompt{Prefix: code}, nil, o); !slices.Equal(again.LogProbs, base.LogProbs) {
		t.Error("the base answers otherwise after an adapter")
	}
	other := load(t, "tiny-qwen2")
	if _, err := e.Complete(context.Background(), Prompt{Prefix: code}, randomAdapter(other.Model, 0.1), o, nil); err == nil {
		t.Error("an adapter for other shapes: want an error")
	}
}

func TestValidate(t *testing.T) {
	nan := math.NaN()
	for name, tt := range map[string]struct {
		o    Options
		want string // "" if it is fine
	}{
		"least":                {Options{MaxTokens: 1}, ""},
		"all":                  {Options{MaxTokens: 1, Temperature: 1, TopK: 5, TopP: 1, Stop: []string{"a"}}, ""},
		"no tokens":            {Options{}, "max tokens 0"},
		"negative temperature": {Options{MaxTokens: 1, Temperature: -1}, "temperature -1"},
		"no temperature":       {Options{MaxTokens: 1, Temperature: nan}, "temperature NaN"},
		"infinite temperature": {Options{MaxTokens: 1, Temperature: math.Inf(1)}, "temperature +Inf"},
		"top-k":                {Options{MaxTokens: 1, TopK: -1}, "top-k -1"},
		"top-p":                {Options{MaxTokens: 1, TopP: 1.5}, "top-p 1.5"},
		"no top-p":             {Options{MaxTokens: 1, TopP: nan}, "top-p NaN"},
		"empty stop":           {Options{MaxTokens: 1, Stop: []string{"a", ""}}, "stop sequence is empty"},
	} {
		err := tt.o.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	bad := Options{TopK: -1, TopP: 2}
	for _, want := range []string{"max tokens", "top-k", "top-p"} {
		if err := bad.Validate(); !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q too", err, want)
		}
	}
	e := random(t, letters(t, nil))
	if _, err := e.Complete(context.Background(), Prompt{Prefix: "a"}, nil, bad, nil); err == nil {
		t.Error("Complete took bad options")
	}
}

func TestInterrupted(t *testing.T) {
	e := random(t, letters(t, nil))
	ctx, cancel := context.WithCancel(context.Background())
	pieces := 0
	_, err := e.Complete(ctx, Prompt{Prefix: "abc"}, nil, Options{MaxTokens: 20}, func(string) error {
		if pieces++; pieces == 3 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || pieces != 3 {
		t.Errorf("got %v after %d pieces, want %v after 3", err, pieces, context.Canceled)
	}
	if _, err := e.Complete(ctx, Prompt{Prefix: "abc"}, nil, Options{MaxTokens: 1}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	closed, pieces := errors.New("closed"), 0
	_, err = e.Complete(context.Background(), Prompt{Prefix: "abc"}, nil, Options{MaxTokens: 20}, func(string) error {
		pieces++
		return closed
	})
	if !errors.Is(err, closed) || pieces != 1 {
		t.Errorf("got %v after %d pieces, want %v after 1", err, pieces, closed)
	}
}

// TestUntil has the caller end a completion by its text, and lay out a prompt
// by its tokens.
func TestUntil(t *testing.T) {
	e := load(t, "tiny-llama")
	whole := complete(t, e, Prompt{Prefix: code}, nil, Options{MaxTokens: 12})
	ids := e.Tokenizer.Encode(code)
	c := complete(t, e, Prompt{Tokens: ids}, nil, Options{MaxTokens: 12,
		Until: func(text string) bool { return len(text) >= 4 }})
	if n := len(c.Tokens); n >= 12 || !slices.Equal(c.Tokens, whole.Tokens[:n]) || c.FinishReason != FinishStop {
		t.Errorf("got %d tokens %v, ended by %q; want fewer than 12, the first of %v", n, c.Tokens, c.FinishReason, whole.Tokens)
	}
	if len(c.Text) < 4 || !strings.HasPrefix(whole.Text, c.Text) {
		t.Errorf("text %q, want the beginning of %q", c.Text, whole.Text)
	}
	long := make([]int32, e.Model.MaxContext())
	if _, err := e.Complete(context.Background(), Prompt{Tokens: long}, nil, Options{MaxTokens: 1}, nil); err == nil {
		t.Error("a prompt of tokens as long as the context was accepted, or cut")
	}
}
