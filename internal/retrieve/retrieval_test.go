package retrieve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/code2lora/code2lora/internal/disclosure"
)

// zoo has functions and tests that are told apart by their words.
var zoo = map[string]string{
	"zoo/cats.py": "def cat(name):\n    return purr(name)\n\n\ndef lion(name):\n    return roar(name, name)\n",
	"zoo/dogs.py": "def dog(name):\n    return bark(name)\n",
	"zoo/fish.py": "class Fish:\n    def swim(self):\n        return bubbles\n",
	"tests/test_cats.py": "from zoo import cat, lion\n\n\ndef test_cat():\n    assert cat('Tom') == 'purr Tom'\n\n\n" +
		"def test_lion():\n    assert lion('Leo') == 'roar Leo'\n",
	"tests/test_dogs.py": "from zoo import dog\n\n\nclass TestDog:\n    def test_dog(self):\n        assert dog('Rex') == 'bark Rex'\n",
	"tests/test_fish.py": "def test_fish():\n    assert Fish().swim() == ASKED\n",
}

const zooAsked = "tests/test_fish.py"

// heads returns the symbols of the chunks in a context, in order.
func heads(text string) string {
	var all []string
	for line := range strings.Lines(text) {
		if s, ok := strings.CutPrefix(line, "# Symbol: "); ok {
			all = append(all, strings.TrimSpace(s))
		}
	}
	return strings.Join(all, " ")
}

func TestRetrievalBM25(t *testing.T) {
	production := newView(t, disclosure.Production, zooAsked, zoo)
	tree := newView(t, disclosure.Tree, zooAsked, zoo)
	tests := []struct {
		name   string
		v      *disclosure.View
		o      RetrievalOptions
		prefix string
		want   string
	}{
		{"one", production, RetrievalOptions{K: 1}, "assert bark == ", "dog"},
		{"two, the best first", production, RetrievalOptions{K: 2, Whole: true}, "roar roar purr", "lion cat"},
		{"nearest last", production, RetrievalOptions{K: 2, Whole: true, NearestLast: true}, "roar roar purr", "cat lion"},
		{"what the prefix uses first", production, RetrievalOptions{K: 2}, "roar roar purr cat()", "cat lion"},
		{"only what shares a word", production, RetrievalOptions{K: 9}, "assert bubbles", "Fish"},
		{"nothing shares a word", production, RetrievalOptions{K: 9}, "unheard", ""},
		{"no prefix", production, RetrievalOptions{}, "", ""},
		{"the end of the prefix counts", production, RetrievalOptions{K: 1, QueryChars: 6}, "roar roar roar roar purr()", "cat"},
		{"tests too, where they may be seen", tree, RetrievalOptions{K: 9, Whole: true}, "Rex", "TestDog"},
		{"the first chunks only", production, RetrievalOptions{K: 9, MaxChunks: 1}, "purr bark", "cat"},
	}
	for _, tt := range tests {
		got := contextOf(t, must(NewRetrieval(tt.o)), tt.v, python(zooAsked, tt.prefix), plenty)
		if heads(got) != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, heads(got), tt.want)
		}
	}
}

func TestExamples(t *testing.T) {
	q := python(zooAsked, "def test_fish():\n    assert dog('Rex') == Leo")
	tests := []struct {
		name  string
		level disclosure.Level
		o     RetrievalOptions
		want  string
	}{
		{"the most similar is the nearest", disclosure.Tree, RetrievalOptions{}, "test_cat test_lion TestDog.test_dog"},
		{"k", disclosure.Tree, RetrievalOptions{K: 1}, "TestDog.test_dog"},
		{"production has none", disclosure.Production, RetrievalOptions{}, ""},
	}
	for _, tt := range tests {
		got := contextOf(t, must(NewExamples(tt.o)), newView(t, tt.level, zooAsked, zoo), q, plenty)
		if heads(got) != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, heads(got), tt.want)
		}
	}
	shots := must(NewExamples(RetrievalOptions{K: 2, Chunker: Assertions{Before: 30}, Layout: Shots}))
	got := contextOf(t, shots, newView(t, disclosure.Tree, zooAsked, zoo), q, plenty)
	want := "# Examples of assertions of this repository:\n\n():\n    assert lion('Leo') == 'roar Leo'\n\n# ---\n\n" +
		"        assert dog('Rex') == 'bark Rex'\n\n# Complete the following one:"
	if got != want {
		t.Errorf("shots: got\n%s\nwant\n%s", got, want)
	}
}

func TestDense(t *testing.T) {
	v := newView(t, disclosure.Production, zooAsked, zoo)
	prefix := "def dog(name): return bark(name)"
	for _, o := range []RetrievalOptions{
		{Ranking: Dense, K: 1}, {Ranking: Fused, K: 1}, {Ranking: Dense, K: 1, Center: true}, {Ranking: Fused, K: 1, Pool: 2, Center: true},
	} {
		e := &letters{}
		o.Embedder, o.Vectors = e, &memory{kept: map[string][]byte{}}
		c := must(NewRetrieval(o))
		if got := heads(contextOf(t, c, v, python(zooAsked, prefix), plenty)); got != "dog" {
			t.Errorf("%s: got %q, want dog", c.Name(), got)
		}
		want := 5 // four units and the query
		if o.Pool > 0 {
			want = o.Pool + 1
		}
		if len(e.asked) != want {
			t.Errorf("%s: embedded %d texts, want %d", c.Name(), len(e.asked), want)
		}
		contextOf(t, c, v, python(zooAsked, prefix+" "), plenty)
		if n := len(e.asked) - want; n != 1 {
			t.Errorf("%s: embedded %d texts for a second query, want that one", c.Name(), n)
		}
		again := must(NewRetrieval(o)) // with nothing in memory
		contextOf(t, again, v, python(zooAsked, prefix), plenty)
		if n := len(e.asked) - want; n != 1 {
			t.Errorf("%s: embedded %d texts that were on disk", c.Name(), n-1)
		}
	}
}

// TestCenter has vectors with a large common part, which hides the small one that
// tells them apart until it is taken off.
func TestCenter(t *testing.T) {
	vectors := [][]float32{{10, 1, 0}, {10, 0, 1}, {10, -1, -1}}
	query := []float32{10, 1, 0.1}
	plain, centred := cosines(query, vectors, false), cosines(query, vectors, true)
	if order([]int{0, 1, 2}, centred)[0] != 0 {
		t.Errorf("centred: got %v, want the first vector", centred)
	}
	if plain[2] < 0.9 || centred[2] > 0 {
		t.Errorf("got %v plain and %v centred", plain, centred)
	}
	if got := cosines([]float32{0, 0}, [][]float32{{1, 0}, {0, 0}}, false); got[0] != 0 || got[1] != 0 {
		t.Errorf("zeros: got %v, want 0", got)
	}
}

func TestDenseErrors(t *testing.T) {
	v := newView(t, disclosure.Production, zooAsked, zoo)
	broken := errors.New("out of ink")
	c := must(NewRetrieval(RetrievalOptions{Ranking: Dense, Embedder: &letters{fail: broken}}))
	if _, err := c.Context(t.Context(), v, python(zooAsked, "x"), plenty, countBytes); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	for name, vectors := range map[string][][]float32{"too few": {{1}}, "unequal": {{1}, {1}, {1, 2}, {1}, {1}}, "empty": {{}, {}, {}, {}, {}}} {
		c := must(NewRetrieval(RetrievalOptions{Ranking: Dense, Embedder: fixed(vectors)}))
		if _, err := c.Context(t.Context(), v, python(zooAsked, "x"), plenty, countBytes); err == nil || !strings.Contains(err.Error(), "fixed") {
			t.Errorf("%s: got %v, want an error that names the embedder", name, err)
		}
	}
}

type fixed [][]float32

func (fixed) Name() string { return "fixed" }

func (f fixed) Embed(context.Context, []string) ([][]float32, error) { return f, nil }

func TestRetrievalOptions(t *testing.T) {
	for _, o := range []RetrievalOptions{
		{Ranking: "best"}, {Ranking: Dense}, {Ranking: Fused}, {K: -1}, {QueryChars: -1}, {Candidates: -1}, {Fusion: -1},
		{MaxTokens: -1}, {MaxChunks: -1}, {Pool: -1}, {Layout: "round"}, {Chunker: Windows{}},
	} {
		if _, err := NewRetrieval(o); err == nil {
			t.Errorf("%+v: want an error", o)
		}
	}
	for name, o := range map[string]RetrievalOptions{
		"retrieval bm25 units k=3 query=2000 tokens=1536": {},
		"retrieval fused windows=512/64/16 k=5 query=9 embedder=(letters) center=true pool=7 candidates=30 fusion=60 chunks=300 tokens=9 whole nearest-last shots": {
			Ranking: Fused, Chunker: Windows{Tokenizer: bytesTokenizer{}}, K: 5, QueryChars: 9, Embedder: &letters{}, Center: true, Pool: 7,
			MaxChunks: 300, MaxTokens: 9, Whole: true, NearestLast: true, Layout: Shots},
	} {
		if got := must(NewRetrieval(o)).Name(); got != name {
			t.Errorf("got name %q, want %q", got, name)
		}
	}
	if got, want := must(NewExamples(RetrievalOptions{})).Name(), "examples bm25 tests k=4 query=2000 whole nearest-last"; got != want {
		t.Errorf("got name %q, want %q", got, want)
	}
}

// everything is all kinds of contexts, over one index.
func everything() []Context {
	x := NewIndex()
	e := &letters{}
	return []Context{
		must(NewRetrieval(RetrievalOptions{Index: x, K: 9})),
		must(NewRetrieval(RetrievalOptions{Index: x, K: 9, Whole: true, NearestLast: true})),
		must(NewRetrieval(RetrievalOptions{Index: x, K: 9, Ranking: Dense, Embedder: e})),
		must(NewRetrieval(RetrievalOptions{Index: x, K: 9, Ranking: Fused, Embedder: e, Chunker: Windows{Tokenizer: bytesTokenizer{}, Size: 40, Overlap: 5, Min: 5}})),
		must(NewExamples(RetrievalOptions{Index: x, K: 9})),
		must(NewExamples(RetrievalOptions{Index: x, K: 9, Ranking: Dense, Embedder: e})),
		must(NewExamples(RetrievalOptions{Index: x, K: 9, Chunker: Assertions{}, Layout: Shots})),
		must(NewDependencies(DependencyOptions{Index: x})),
		must(NewDependencies(DependencyOptions{Index: x, Aliases: true, Whole: true})),
	}
}

// TestBudget: a context fits, whatever the budget.
func TestBudget(t *testing.T) {
	files := maps.Clone(zoo)
	maps.Copy(files, shop)
	v := newView(t, disclosure.Tree, zooAsked, files)
	q := python(zooAsked, shopTest+"    cat(dog(lion(Fish().swim(Cart(convert(rate(m.Money(hammer())))))))) == ")
	for _, c := range everything() {
		largest := 0
		for budget := -1; budget < 400; budget += 3 {
			text := contextOf(t, c, v, q, budget)
			if n := countBytes(text + Separator); text != "" && n > budget {
				t.Errorf("%s: %d tokens, want at most %d", c.Name(), n, budget)
			}
			if text != strings.TrimSpace(text) && c.Name()[:4] == "depe" {
				t.Errorf("%s: white space around %q", c.Name(), text)
			}
			largest = max(largest, len(text))
		}
		if largest == 0 {
			t.Errorf("%s: no context at all", c.Name())
		}
	}
}

// TestNothingHidden asks about each file of a repository in turn, with a marker
// on each of its lines, and looks for the marker in every context.
func TestNothingHidden(t *testing.T) {
	files := maps.Clone(zoo)
	maps.Copy(files, shop)
	prefix := shopTest + "    cat(dog(lion(Fish().swim(Cart(convert(rate(m.Money(hammer()))))))))\n    HIDDEN_1 = HIDDEN_2 == "
	for _, level := range disclosure.Levels {
		contexts := everything()
		for _, asked := range slices.Sorted(maps.Keys(files)) {
			if strings.Contains(asked, "__init__") {
				continue // others need their lines as they are
			}
			marked := maps.Clone(files)
			n := 0
			for line := range strings.Lines(files[asked]) {
				n++
				line = strings.TrimRight(line, "\n")
				if strings.HasSuffix(line, `"`) || strings.HasSuffix(line, ",") || strings.TrimSpace(line) == "" {
					continue
				}
				marked[asked] = strings.Replace(marked[asked], line+"\n", fmt.Sprintf("%s # HIDDEN_%d\n", line, n), 1)
			}
			marked["copy_of_"+strings.ReplaceAll(asked, "/", "_")] = marked[asked]
			v := newView(t, level, asked, marked)
			for _, c := range contexts {
				if text := contextOf(t, c, v, python(asked, prefix), plenty); strings.Contains(text, "HIDDEN_") || strings.Contains(text, "File: "+asked+"\n") {
					t.Errorf("%s, %s, asked about %s: got\n%s", c.Name(), level, asked, text)
				}
			}
		}
	}
}

// TestSharedIndex: contexts that share an index, for several views at once, give
// what each gives by itself.
func TestSharedIndex(t *testing.T) {
	files := maps.Clone(zoo)
	maps.Copy(files, shop)
	var views []*disclosure.View
	for _, asked := range []string{zooAsked, "zoo/cats.py", "shop/cart.py"} {
		views = append(views, newView(t, disclosure.Tree, asked, files))
	}
	prefix := shopTest + "    cat(dog(lion(Cart(convert("
	var alone []string
	for i := range everything() {
		for _, v := range views {
			alone = append(alone, contextOf(t, everything()[i], v, python(v.Asked(), prefix), 300))
		}
	}
	shared := everything()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for i, c := range shared {
				for j, v := range views {
					got, err := c.Context(t.Context(), v, python(v.Asked(), prefix), 300, countBytes)
					if want := alone[i*len(views)+j]; err != nil || got != want {
						t.Errorf("%s, view %d: got %q, %v, want %q", c.Name(), j, got, err, want)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestCancelled(t *testing.T) {
	v := newView(t, disclosure.Tree, zooAsked, zoo)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := must(NewRetrieval(RetrievalOptions{}))
	if _, err := c.Context(ctx, v, python(zooAsked, "cat"), plenty, countBytes); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if got := heads(contextOf(t, c, v, python(zooAsked, "bark"), plenty)); got != "dog TestDog" && got != "TestDog dog" {
		t.Errorf("afterwards: got %q, want dog and its test", got)
	}
}
