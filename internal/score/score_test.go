package score_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/engine"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/score"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// alphabet is a tokenizer of single characters, which makes exact matches by
// chance likely: some letters, each of what may follow a target, and "//".
func alphabet(t *testing.T, change func(*tokenizer.Spec)) *tokenizer.Tokenizer {
	t.Helper()
	s := tokenizer.Spec{Pre: "gpt-2", BOS: -1, EOS: -1, EOT: -1, EOM: -1,
		FIMPre: -1, FIMSuf: -1, FIMMid: -1, FIMPad: -1, FIMRep: -1, FIMSep: -1}
	s.Tokens = []string{"a", "b", "c", "d", "/", ")", "]", "}", ",", "#", "Ċ", "//", "č", "<eos>", "<bos>", "(", "Ġ"}
	s.Merges = []string{"/ /"}
	for range s.Tokens {
		s.Types = append(s.Types, tokenizer.Normal)
	}
	s.Types[13], s.Types[14] = tokenizer.Control, tokenizer.Control
	s.EOS = 13
	if change != nil {
		change(&s)
	}
	tok, err := tokenizer.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func random(t *testing.T, tok *tokenizer.Tokenizer, seed uint64) (*score.Scorer, *model.Model) {
	t.Helper()
	m, err := model.NewRandom(model.Config{
		ModelType: "llama", HiddenSize: 16, IntermediateSize: 24, NumHiddenLayers: 2, NumAttentionHeads: 2,
		NumKeyValueHeads: 1, HeadDim: 8, VocabSize: tok.VocabSize(), MaxPositionEmbeddings: 48, RMSNormEps: 1e-5,
		RopeTheta: 1000,
	}, seed)
	if err != nil {
		t.Fatal(err)
	}
	return &score.Scorer{Base: &compute.Local{Model: m}, Tokenizer: tok}, m
}

func randomAdapter(m *model.Model) *adapter.Adapter {
	rng := rand.New(rand.NewPCG(5, 6))
	a := adapter.New(m.Config.Dims(), []adapter.Module{adapter.QProj, adapter.VProj, adapter.DownProj}, 2, 4, false)
	for _, e := range a.Pairs() {
		for _, f := range [2][]float32{e.A, e.B} {
			for i := range f {
				f[i] = float32(rng.NormFloat64() * 0.4)
			}
		}
	}
	return a
}

func text(rng *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte("abcd/)]},#\n( "[rng.IntN(13)])
	}
	return b.String()
}

func values(t *testing.T, s *score.Scorer, tasks []score.Task, a *adapter.Adapter) []score.Value {
	t.Helper()
	vs, err := s.Score(context.Background(), tasks, a, nil)
	if err != nil {
		t.Fatal(err)
	}
	return vs
}

// TestExactMatchIsGreedy decodes greedily where Score only asks for the most
// likely tokens. Half of the targets are what the model would say, cut
// somewhere, so that both outcomes are frequent.
func TestExactMatchIsGreedy(t *testing.T) {
	withBOS := func(s *tokenizer.Spec) { s.BOS, s.AddBOS = 14, true }
	matches, misses, left := 0, 0, 0
	for seed, change := range []func(*tokenizer.Spec){nil, withBOS, nil, nil} {
		tok := alphabet(t, change)
		s, m := random(t, tok, uint64(seed)+1)
		e := &engine.Engine{Model: m, Tokenizer: tok}
		var a *adapter.Adapter
		if seed > 1 {
			a = randomAdapter(m)
		}
		rng := rand.New(rand.NewPCG(uint64(seed), 7))
		greedy := func(prefix string, n int) *engine.Completion {
			c, err := e.Complete(context.Background(), engine.Prompt{Prefix: prefix}, a, engine.Options{MaxTokens: n}, nil)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		for range 60 {
			task := score.Task{Prefix: text(rng, rng.IntN(20)), Target: text(rng, 1+rng.IntN(4))}
			if c := greedy(task.Prefix, 6); rng.IntN(4) > 0 && len(c.Tokens) > 0 {
				task.Target = tok.Decode(c.Tokens[:1+rng.IntN(len(c.Tokens))])
				if task.Target == "" {
					continue
				}
			}
			target := tok.Encode(task.Target)
			c := greedy(task.Prefix, len(target)+1)
			want := len(c.Tokens) >= len(target) && slices.Equal(c.Tokens[:len(target)], target)
			if want {
				ends := c.FinishReason == engine.FinishStop // an end-of-generation token
				if want = ends || score.Leaves(tok, c.Tokens[len(target)]); !want {
					left++
				}
			}
			got := values(t, s, []score.Task{task}, a)[0]
			if got.ExactMatch != want {
				t.Errorf("prefix %q, target %q: exact match %t, but greedy decoding gives %q (%s)",
					task.Prefix, task.Target, got.ExactMatch, c.Text, c.FinishReason)
			}
			if want {
				matches++
			} else {
				misses++
			}
		}
	}
	if matches < 10 || misses < 10 || left < 10 {
		t.Errorf("%d matches, %d misses, %d of them because the target goes on: too few to say anything", matches, misses, left)
	}
}

// TestCrossEntropy compares with the labels of a pass over prefix and target.
func TestCrossEntropy(t *testing.T) {
	m, tok, err := model.Load("../model/testdata/tiny-llama.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	s := &score.Scorer{Base: &compute.Local{Model: m}, Tokenizer: tok}
	for _, a := range []*adapter.Adapter{nil, randomAdapter(m)} {
		task := score.Task{Prefix: "def test(x):\n    assert f(x) == ", Target: "[1, 'ünï', None]"}
		got := values(t, s, []score.Task{task}, a)[0]
		prefix, target := tok.Encode(task.Prefix), tok.Encode(task.Target)
		want := 0.0
		for i, id := range target {
			seq := model.Sequence{Tokens: append(slices.Clone(prefix), target[:i]...), Adapter: -1}
			seq.Labels = []model.Label{{Pos: len(seq.Tokens) - 1, Target: id}}
			b := model.Batch{}
			if a != nil {
				b.Adapters, seq.Adapter = []*adapter.Adapter{a}, 0
			}
			b.Sequences = []model.Sequence{seq}
			r, err := m.Score(context.Background(), b)
			if err != nil {
				t.Fatal(err)
			}
			want += float64(r.NLL[0][0])
		}
		want /= float64(len(target))
		if math.Abs(got.CrossEntropy-want) > 1e-4 {
			t.Errorf("cross-entropy %g, want %g", got.CrossEntropy, want)
		}
		if got.Tokens != len(target) || got.PrefixTokens != len(prefix) {
			t.Errorf("%d and %d tokens, want %d and %d", got.PrefixTokens, got.Tokens, len(prefix), len(target))
		}
	}
}

// TestBatching checks that tasks don't depend on those they are scored with,
// over more than one batch.
func TestBatching(t *testing.T) {
	tok := alphabet(t, nil)
	s, _ := random(t, tok, 3)
	rng := rand.New(rand.NewPCG(1, 1))
	tasks := make([]score.Task, 120)
	for i := range tasks {
		tasks[i] = score.Task{Prefix: text(rng, rng.IntN(30)), Target: text(rng, 1+rng.IntN(8))}
	}
	for i := 2; i < len(tasks); i += 3 { // some continue others far away
		tasks[i].Prefix = tasks[(i*7)%len(tasks)].Prefix + "a"
	}
	var reports []int
	all, err := s.Score(context.Background(), tasks, nil, func(done int) { reports = append(reports, done) })
	if err != nil {
		t.Fatal(err)
	}
	if len(reports) < 2 || !slices.IsSorted(reports) || reports[len(reports)-1] != len(tasks) {
		t.Errorf("reported %v, want at least two batches, up to %d", reports, len(tasks))
	}
	for i := range tasks {
		one := values(t, s, tasks[i:i+1], nil)[0]
		if math.Abs(one.CrossEntropy-all[i].CrossEntropy) > 1e-5 {
			t.Errorf("task %d: cross-entropy %g alone, %g among others", i, one.CrossEntropy, all[i].CrossEntropy)
		}
		one.CrossEntropy = all[i].CrossEntropy
		if one != all[i] {
			t.Errorf("task %d: %+v alone, %+v among others", i, one, all[i])
		}
	}
}

func TestPrefix(t *testing.T) {
	tok := alphabet(t, nil)
	s, m := random(t, tok, 3)
	long := text(rand.New(rand.NewPCG(2, 2)), 200)
	ids := tok.Encode(long)
	same := func(what string, a, b score.Task, most int) {
		t.Helper()
		s.MaxPrefixTokens = most
		va := values(t, s, []score.Task{a}, nil)[0]
		s.MaxPrefixTokens = 0
		if vb := values(t, s, []score.Task{b}, nil)[0]; va != vb {
			t.Errorf("%s: %+v, want %+v", what, va, vb)
		}
	}
	// 48 positions less three of the target leave 45.
	same("too long", score.Task{Prefix: long, Target: "abc"}, score.Task{Prefix: tok.Decode(ids[len(ids)-45:]), Target: "abc"}, 0)
	same("limited", score.Task{Prefix: long, Target: "abc"}, score.Task{Prefix: tok.Decode(ids[len(ids)-5:]), Target: "abc"}, 5)

	// Without a prefix the model starts from the end token.
	v := values(t, s, []score.Task{{Target: "ab"}}, nil)[0]
	r, err := m.Score(context.Background(), model.Batch{Sequences: []model.Sequence{{
		Tokens: []int32{tok.EOS(), 0, 1}, Adapter: -1, Labels: []model.Label{{Pos: 0, Target: 0}, {Pos: 1, Target: 1}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if want := float64(r.NLL[0][0]+r.NLL[0][1]) / 2; math.Abs(v.CrossEntropy-want) > 1e-6 || v.PrefixTokens != 1 {
		t.Errorf("empty prefix: got %+v, want a cross-entropy of %g after one token", v, want)
	}
}

func TestScoreErrors(t *testing.T) {
	tok := alphabet(t, nil)
	random := func(t *testing.T, tok *tokenizer.Tokenizer, seed uint64) *score.Scorer {
		s, _ := random(t, tok, seed)
		return s
	}
	for name, tt := range map[string]struct {
		s    *score.Scorer
		task score.Task
		want string
	}{
		"no room":              {random(t, tok, 1), score.Task{Prefix: "a", Target: strings.Repeat("a", 48)}, "does not fit a context of 48"},
		"target not in vocab":  {random(t, tok, 1), score.Task{Prefix: "a", Target: "xyz"}, `target "xyz" has no tokens`},
		"no token to start at": {random(t, alphabet(t, func(s *tokenizer.Spec) { s.EOS = -1 }), 1), score.Task{Target: "a"}, "empty prefix"},
	} {
		_, err := tt.s.Score(context.Background(), []score.Task{{Prefix: "a", Target: "b"}, tt.task}, nil, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "task 2") {
			t.Errorf("%s: got %v, want %q of task 2", name, err, tt.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := random(t, tok, 1).Score(ctx, []score.Task{{Prefix: "a", Target: "b"}}, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestReadTasks(t *testing.T) {
	got, err := score.ReadTasks(strings.NewReader(
		"{\"prefix\": \"a\", \"target\": \"b\", \"line\": 3}\r\n\n  \n" + `{"prefix": "", "target": "é\n", "repository": "o/n"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []score.Task{{Prefix: "a", Target: "b"}, {Prefix: "", Target: "é\n", Repository: "o/n"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	const good = `{"prefix": "a", "target": "b"}` + "\n"
	for name, tt := range map[string]struct{ in, want string }{
		"nothing":         {"", "no tasks"},
		"blank":           {"\n \n", "no tasks"},
		"not JSON":        {good + "\nx\n", "line 3"},
		"cut":             {good + `{"prefix": "a"`, "line 2"},
		"two on one line": {good + good + `{"prefix": "a", "target": "b"} {}`, "line 3"},
		"no prefix":       {good + `{"target": "b"}`, `line 2: want an object with "prefix"`},
		"no target":       {`{"prefix": "b"}`, `line 1: want an object with "prefix" and a non-empty "target"`},
		"empty target":    {`{"prefix": "b", "target": ""}`, `non-empty "target"`},
		"null":            {"null", "line 1: want an object"},
		"array":           {"[]", "line 1"},
		"wrong type":      {`{"prefix": 1, "target": "a"}`, "line 1"},
	} {
		if _, err := score.ReadTasks(strings.NewReader(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	broken := errors.New("broken")
	if _, err := score.ReadTasks(&failing{good + `{"pre`, broken}); !errors.Is(err, broken) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("got %v, want %v in line 2", err, broken)
	}
}

// failing gives some text and then an error.
type failing struct {
	text string
	err  error
}

func (f *failing) Read(p []byte) (int, error) {
	if f.text == "" {
		return 0, f.err
	}
	n := copy(p, f.text)
	f.text = f.text[n:]
	return n, nil
}

// FuzzReadTasks checks that what is accepted can be scored.
func FuzzReadTasks(f *testing.F) {
	f.Add(`{"prefix": "a", "target": "b"}`)
	f.Add("{\"prefix\": \"\\ud800\", \"target\": \"\\u0000\"}\n\n[")
	f.Fuzz(func(t *testing.T, in string) {
		tasks, err := score.ReadTasks(strings.NewReader(in))
		if (err == nil) != (len(tasks) > 0) {
			t.Errorf("%d tasks and error %v", len(tasks), err)
		}
		for _, task := range tasks {
			if task.Target == "" {
				t.Error("an empty target was accepted")
			}
		}
	})
}

func TestLeaves(t *testing.T) {
	tok := alphabet(t, nil)
	for text, want := range map[string]bool{
		"a": false, "/": false, "(": false, " ": false, "//": false, ")": true, "]": true, "}": true, ",": true,
		"#": true, "\n": true, "\r": true, "<eos>": true, "<bos>": false,
	} {
		id, ok := tok.ID(text)
		if !ok {
			t.Fatalf("no token %q", text)
		}
		if got := score.Leaves(tok, id); got != want {
			t.Errorf("%q: got %t, want %t", text, got, want)
		}
	}
	for _, id := range []int32{-1, 1 << 20} {
		if score.Leaves(tok, id) {
			t.Errorf("token %d, which is none, leaves", id)
		}
	}
}

func TestSummarize(t *testing.T) {
	got := score.Summarize([]score.Value{
		{ExactMatch: true, CrossEntropy: 1, Tokens: 1}, {CrossEntropy: 2, Tokens: 3}, {CrossEntropy: 4, Tokens: 4}, {CrossEntropy: 0, Tokens: 2}})
	want := score.Summary{Tasks: 4, ExactMatch: 0.25, CrossEntropy: (1 + 6 + 16 + 0) / 10.}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := score.Summarize(nil); got != (score.Summary{}) {
		t.Errorf("of nothing: got %+v", got)
	}
}

// counting counts requests and their sequences.
type counting struct {
	compute.Backend
	requests, sequences int
}

func (c *counting) Do(ctx context.Context, r *compute.Request) (*compute.Response, error) {
	c.requests++
	c.sequences += len(r.Sequences)
	return c.Backend.Do(ctx, r)
}

// TestRequests scores the tasks of files, in turn, through bytes: to the bit as
// in process, and a file's tasks together although each is long.
func TestRequests(t *testing.T) {
	tok := alphabet(t, nil)
	s, m := random(t, tok, 3)
	a := randomAdapter(m)
	rng := rand.New(rand.NewPCG(4, 4))
	var files []string
	for range 40 {
		files = append(files, text(rng, 60)[:36])
	}
	var tasks []score.Task
	for i := range 20 {
		for _, f := range files {
			tasks = append(tasks, score.Task{Prefix: f[:16+i], Target: f[16+i : 17+i]})
		}
	}
	want := values(t, s, tasks, a)
	c := &counting{Backend: compute.RoundTrip{Backend: s.Base}}
	s.Base = c
	if got := values(t, s, tasks, a); !slices.Equal(got, want) {
		t.Error("through bytes: other values")
	}
	// All tasks have 21,000 tokens, the files 1,440.
	if c.sequences != len(tasks) || c.requests > 4 {
		t.Errorf("%d sequences in %d requests, want %d in at most 4", c.sequences, c.requests, len(tasks))
	}
}
