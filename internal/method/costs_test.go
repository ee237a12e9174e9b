package method

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/retrieve"
	"github.com/code2lora/code2lora/internal/tune"
)

// meter measures with a tiny model.
func meter(t *testing.T) (*Meter, []*repopeft.Task) {
	t.Helper()
	r, tasks := runner(t, disclosure.Tree)
	m, tok := r.Engine.Model, r.Engine.Tokenizer
	dims := m.Config.Dims()
	return &Meter{Runner: r, Builder: func() *Builder {
		return &Builder{
			Dims:    dims,
			Adapter: func(path string) (*adapter.Adapter, error) { return adapter.Read(path, &dims) },
			Contexts: &Contexts{Tokenizer: tok, Embedder: func(layer int) (retrieve.Embedder, error) {
				return retrieve.NewHidden(m, tok, retrieve.HiddenOptions{Base: "tiny", Layer: layer})
			}},
		}
	}}, tasks
}

func specs(t *testing.T, texts ...string) (all []Spec) {
	t.Helper()
	for _, text := range texts {
		s, err := ParseSpec(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// saved writes an adapter, and the record of its fit beside it.
func saved(t *testing.T, m *model.Model, dir, record string) string {
	t.Helper()
	path := filepath.Join(dir, "adapter")
	if err := adapter.WriteNative(path, randomAdapter(m, 1), adapter.Options{}); err != nil {
		t.Fatal(err)
	}
	if record != "" {
		if err := os.WriteFile(filepath.Join(dir, "tune.json"), []byte(record), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestMeasure(t *testing.T) {
	m, tasks := meter(t)
	m.Runner.Layout.ContextTokens = 100
	c := &m.Runner.Engine.Model.Config
	fitted := saved(t, m.Runner.Engine.Model, t.TempDir(), `{"seconds": 12, "tokens": 1000, "labels": 100, "parameters": 50, "options": {"method": "lora"}}`)
	plain := saved(t, m.Runner.Engine.Model, t.TempDir(), "")
	names := []string{"base", "bm25:k=1,unit=test", "dense:k=1", "adapter:dir=" + fitted, "adapter:dir=" + plain, "adapter:dir=" + fitted + "+bm25:k=1"}
	all, err := m.Measure(t.Context(), specs(t, names...), tasks)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range all {
		if got.Name != names[i] || got.Level != disclosure.Tree || got.Queries != len(tasks) || got.Repositories != 1 || !(got.QuerySeconds > 0) {
			t.Errorf("%s: got %+v, want %d queries of one repository that take time", names[i], got, len(tasks))
		}
	}
	base, bm25, dense, tuned, unknown, both := all[0], all[1], all[2], all[3], all[4], all[5]
	value := func(x *float64) float64 {
		if x == nil {
			return math.NaN()
		}
		return *x
	}
	if value(base.AdaptSeconds) != 0 || value(base.AdaptFLOP) != 0 || value(base.StoredBytes) != 0 || base.ExtraTokens != 0 {
		t.Errorf("base: got %+v, want nothing but its queries", base)
	}
	if !(value(bm25.StoredBytes) > 0) || value(bm25.AdaptFLOP) != 0 || !(bm25.ExtraTokens > 0) || !(bm25.QueryFLOP > base.QueryFLOP) {
		t.Errorf("bm25: got %+v, want an index, no FLOP to adapt, and tokens that cost FLOP beyond the base's %g", bm25, base.QueryFLOP)
	}
	if !(value(dense.AdaptFLOP) > 0) || !(value(dense.StoredBytes) > 0) {
		t.Errorf("dense: got %+v, want FLOP of vectors, and bytes", dense)
	}
	// A shared adapter's fit is counted once, and not for each repository.
	want := sizesOf(c).fit(&tune.Result{Tokens: 1000, Labels: 100, Parameters: 50})
	if got := value(tuned.OnceFLOP); value(tuned.OnceSeconds) != 12 || got != want || !(value(tuned.OnceBytes) > 1000) {
		t.Errorf("a fitted adapter: got %g s, %g FLOP, %g bytes once, want 12, %g and those of its files", value(tuned.OnceSeconds), got, value(tuned.OnceBytes), want)
	}
	if value(tuned.AdaptSeconds) != 0 || value(tuned.AdaptFLOP) != 0 || value(tuned.StoredBytes) != 0 {
		t.Errorf("a fitted adapter: got %+v, want nothing for each repository", tuned)
	}
	if unknown.AdaptSeconds != nil || unknown.AdaptFLOP != nil || !strings.Contains(strings.Join(unknown.Notes, ""), "no tune.json") {
		t.Errorf("an adapter without a record: got %+v, want no costs, and a note", unknown)
	}
	if value(both.StoredBytes) <= 0 || value(both.OnceSeconds) != 12 || value(both.OnceBytes) != value(tuned.OnceBytes) {
		t.Errorf("adapter and bm25: got %+v, want the index for each repository, and the adapter once", both)
	}
}

func TestMeasureRefuses(t *testing.T) {
	m, tasks := meter(t)
	if _, err := m.Measure(t.Context(), specs(t, "dependencies-past-cut"), tasks); !errors.As(err, new(SettingError)) {
		t.Errorf("a method that reads the answer: got %v, want a SettingError", err)
	}
	broken := saved(t, m.Runner.Engine.Model, t.TempDir(), "{")
	if _, err := m.Measure(t.Context(), specs(t, "adapter:dir="+broken), tasks); err == nil || !strings.Contains(err.Error(), "tune.json") {
		t.Errorf("a broken record: got %v, want an error that names it", err)
	}
}

// TestFitFLOP compares the formula with a sum over matrices: which gradients each
// needs.
func TestFitFLOP(t *testing.T) {
	c := &model.Config{HiddenSize: 4, IntermediateSize: 6, NumHiddenLayers: 3, NumAttentionHeads: 2, NumKeyValueHeads: 1, HeadDim: 2, VocabSize: 10}
	const block, head, tokens, labels = 4*4 + 2*4*2 + 4*4 + 3*4*6, 40, 100, 7
	lora := 0.0
	for layer := range 3 {
		lora += 2 * block * tokens // forward
		if layer > 0 {
			lora += 2 * block * tokens // the input's gradient
		}
	}
	lora += (2 + 2) * head * labels
	all := 3.0*(2+2+2)*block*tokens + (2+2)*head*labels
	for name, tt := range map[string]struct {
		result tune.Result
		want   float64
	}{
		"LoRA of two layers":      {tune.Result{Tokens: tokens, Labels: labels, Parameters: 11, Options: tune.Options{Method: tune.LoRA, Layers: 2}}, lora + (2+2+2)*11*tokens},
		"all weights":             {tune.Result{Tokens: tokens, Labels: labels, Parameters: 3 * block, Options: tune.Options{Method: tune.Full}}, all},
		"a record without labels": {tune.Result{Tokens: tokens, Parameters: 11, Options: tune.Options{Method: tune.LoRA, Layers: 2}}, lora + 6*11*tokens + 4*head*(tokens-labels)},
	} {
		if got := sizesOf(c).fit(&tt.result); got != tt.want {
			t.Errorf("%s: got %g FLOP, want %g", name, got, tt.want)
		}
	}
}

// TestSizes compares the formulas with sums over tokens and matrices.
func TestSizes(t *testing.T) {
	c := &model.Config{HiddenSize: 4, IntermediateSize: 6, NumHiddenLayers: 3, NumAttentionHeads: 2, NumKeyValueHeads: 1, HeadDim: 2, VocabSize: 10}
	s := sizesOf(c)
	const block = 4*4 + 2*4*2 + 4*4 + 3*4*6
	if got, want := Parameters(c), float64(3*block+40); got != want {
		t.Errorf("got %g parameters, want %g", got, want)
	}
	pass := func(n, blocks int) (sum float64) {
		for i := range n {
			sum += float64(blocks * (2*block + 4*4*(i+1)))
		}
		return sum
	}
	for _, n := range []int{0, 1, 5} {
		if got, want := s.pass(n, 2), pass(n, 2); got != want {
			t.Errorf("%d tokens: got %g FLOP, want %g", n, got, want)
		}
	}
	for _, tt := range []struct{ tokens, window int }{{3, 4}, {4, 4}, {8, 4}, {10, 4}, {10, 0}} {
		want := 0.0
		for left := tt.tokens; left > 0; {
			n := left
			if tt.window > 0 {
				n = min(n, tt.window)
			}
			want += pass(n, 2)
			left -= n
		}
		if got := s.windows(tt.tokens, tt.window, 2); got != want {
			t.Errorf("%d tokens in windows of %d: got %g FLOP, want %g", tt.tokens, tt.window, got, want)
		}
	}
	if got, want := s.query(5, 2, 7), pass(6, 3)+2*7*6+2*40*2; got != want {
		t.Errorf("a query: got %g FLOP, want %g", got, want)
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		of   []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}} {
		if got := median(tt.of); got != tt.want {
			t.Errorf("median of %g: got %g, want %g", tt.of, got, tt.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing: got %g, want NaN", got)
	}
}

func TestTargetDigest(t *testing.T) {
	grade := func(repository, target string) string {
		task := &repopeft.Task{ID: "1", Repository: repository, Language: "python", Kind: repopeft.Assertion, Target: target}
		s, err := Grade(task, &repopeft.Prediction{Task: "1", Text: "x"})
		if err != nil {
			t.Fatal(err)
		}
		return s.TargetDigest
	}
	same := grade("o/a", "f( 1,2)")
	if len(same) != 16 || grade("o/a", "f(1, 2)") != same {
		t.Errorf("got %q, want 16 digits, whatever the white space", same)
	}
	if others := []string{grade("o/b", "f(1, 2)"), grade("o/a", "f(1, 3)")}; slices.Contains(others, same) {
		t.Errorf("another repository, another target: got %q, want none of them %q", others, same)
	}
}
