package encoder_test

import (
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// naive is the hidden encoder as it is described, one window at a time.
func naive(t *testing.T, o encoder.Options, m *model.Model, tok *tokenizer.Tokenizer, files map[string]string) (v []float64, tokens, n int) {
	t.Helper()
	var all [][]float64
	for _, text := range files {
		ids := tok.Encode(text)
		var windows [][]int32
		for at := 0; ; at += o.Chunk - o.Overlap {
			end := min(at+o.Chunk, len(ids))
			if end-at >= o.Min {
				windows = append(windows, ids[at:end])
			}
			if end == len(ids) {
				break
			}
		}
		if k := o.MaxChunks; k > 0 && len(windows) > k {
			var some [][]int32
			for i := range k { // the middle of each k-th part
				some = append(some, windows[int(math.Floor((float64(i)+0.5)*float64(len(windows))/float64(k)))])
			}
			windows = some
		}
		if len(windows) == 0 {
			continue
		}
		file := make([]float64, m.HiddenSize)
		for _, w := range windows {
			tokens += len(w)
			h, err := m.Hidden(context.Background(), [][]int32{w}, o.Layer)
			if err != nil {
				t.Fatal(err)
			}
			for i, x := range h[0] {
				file[i%m.HiddenSize] += float64(x) / float64(len(w)) / float64(len(windows))
			}
		}
		if o.Lexicon {
			file = append(file, lexicon(t, m, ids)...)
		}
		all = append(all, file)
	}
	d := len(all[0])
	v = make([]float64, 2*d)
	for j := range d {
		v[d+j] = math.Inf(-1)
		for _, file := range all {
			v[j] += file[j] / float64(len(all))
			v[d+j] = max(v[d+j], file[j])
		}
	}
	return v, tokens, len(all)
}

func TestHidden(t *testing.T) {
	m, tok := tiny(t)
	for name, change := range map[string]func(*encoder.Options){
		"overlap":     func(*encoder.Options) {},
		"no overlap":  func(o *encoder.Options) { o.Overlap = 0 },
		"embeddings":  func(o *encoder.Options) { o.Layer = 0 },
		"last layer":  func(o *encoder.Options) { o.Layer = 3 },
		"one token":   func(o *encoder.Options) { o.Chunk, o.Overlap, o.Min, o.MaxChunks = 1, 0, 1, 9 },
		"max chunks":  func(o *encoder.Options) { o.MaxChunks = 3 },
		"one chunk":   func(o *encoder.Options) { o.MaxChunks = 1 },
		"lexicon":     func(o *encoder.Options) { o.Lexicon = true },
		"lexicon too": func(o *encoder.Options) { o.Lexicon, o.MaxChunks = true, 2 },
		"whole files": func(o *encoder.Options) { o.Chunk, o.Overlap, o.Min = 512, 0, 512 },
	} {
		t.Run(name, func(t *testing.T) {
			o := hiddenOptions()
			change(&o)
			e, err := encoder.New(o, m, tok, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := encode(t, e, &tree{files: sources()})
			want, tokens, files := naive(t, o, m, tok, sources())
			v := got.Tensors[embedding.Repository]
			if len(v.Data) != len(want) || len(v.Shape) != 1 || v.Shape[0] != len(want) {
				t.Fatalf("vector of %d values, shape %v, want %d", len(v.Data), v.Shape, len(want))
			}
			for i, x := range v.Data {
				if math.Abs(float64(x)-want[i]) > 1e-4*max(1, math.Abs(want[i])) {
					t.Fatalf("value %d: got %g, want %g", i, x, want[i])
				}
			}
			if got.Tokens != tokens || got.Files != files || got.LeftOut != 0 || got.Encoder != o.ID() {
				t.Errorf("%d tokens, %d files, %d left out by %q; want %d, %d, 0 and %q",
					got.Tokens, got.Files, got.LeftOut, got.Encoder, tokens, files, o.ID())
			}
		})
	}
}

func kinds() map[string]encoder.Options {
	withLexicon := hiddenOptions()
	withLexicon.Lexicon = true
	moments := withLexicon
	moments.Second, moments.Cross = true, 5
	return map[string]encoder.Options{
		"hidden": hiddenOptions(), "lexicon": withLexicon, "moments": moments,
		"lexical": {Kind: encoder.KindLexical, Dim: 64}, "lexical moments": {Kind: encoder.KindLexical, Dim: 16, Second: true, Cross: 3},
	}
}

func TestOrder(t *testing.T) {
	for name, o := range kinds() {
		e := newEncoder(t, o, nil)
		a := encode(t, e, &tree{files: sources()})
		b := encode(t, e, &tree{files: sources(), reversed: true})
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: in another order %+v, want %+v", name, b, a)
		}
		if len(a.Input) != 64 {
			t.Errorf("%s: digest %q, want a SHA-256", name, a.Input)
		}
	}
}

// TestCacheOfArithmetic checks that vectors are kept apart whose bits differ.
func TestCacheOfArithmetic(t *testing.T) {
	defer kernel.SetPrecision(kernel.CurrentPrecision())
	cache := newMemory()
	for n, p := range []kernel.Precision{kernel.Float32, kernel.Int8} {
		if err := kernel.SetPrecision(p); err != nil {
			t.Fatal(err)
		}
		encode(t, newEncoder(t, hiddenOptions(), cache), &tree{files: sources()})
		if want := (n + 1) * len(sources()); len(cache.data) != want {
			t.Errorf("%v: %d vectors, want %d", p, len(cache.data), want)
		}
	}
	named := 0
	for key := range cache.data {
		if strings.HasSuffix(key, " int8 "+kernel.Implementation()) {
			named++
		}
	}
	if named != len(sources()) {
		t.Errorf("%d keys name precision and kernel, want %d", named, len(sources()))
	}
}

func TestCache(t *testing.T) {
	for name, o := range kinds() {
		t.Run(name, func(t *testing.T) {
			cache := newMemory()
			e := newEncoder(t, o, cache)
			want := encode(t, e, &tree{files: sources()})
			factors := 0 // of the base, besides the vectors
			if o.Lexicon {
				factors = 1
			}
			if cache.puts != len(sources())+factors {
				t.Errorf("%d entries kept, want a vector of each of %d files, and %d factors", cache.puts, len(sources()), factors)
			}
			all := map[string]bool{}
			for path := range sources() {
				all[path] = true
			}
			var last encoder.Progress
			got, err := e.Encode(context.Background(), &tree{files: sources(), forbidden: all}, func(p encoder.Progress) { last = p })
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("from the cache: got %+v, want %+v", got, want)
			}
			if last.Cached != len(sources()) || last.Files != last.TotalFiles || last.Tokens != want.Tokens {
				t.Errorf("progress %+v, want all of %d files cached, and %d tokens", last, len(sources()), want.Tokens)
			}

			// A new commit costs what it changed.
			changed := &tree{files: sources(), forbidden: all}
			changed.files["pkg/m3.py"] += "# one more line of comment\n"
			changed.forbidden = map[string]bool{}
			if r := encode(t, e, changed); r.Input == want.Input {
				t.Error("the digest did not change with a file")
			}
			if got := strings.Join(changed.read, " "); got != "pkg/m3.py" {
				t.Errorf("read %s, want pkg/m3.py only", got)
			}

			// Other windows in the same pass change no bit.
			none := encode(t, newEncoder(t, o, nil), &tree{files: changed.files})
			if got := encode(t, e, changed); !reflect.DeepEqual(got, none) {
				t.Errorf("partly from the cache: got %+v, want %+v", got, none)
			}

			// Limits on files do not change file vectors, other options do.
			few := o
			few.MaxFiles, few.Tests = 4, true
			hits := cache.hits
			encode(t, newEncoder(t, few, cache), &tree{files: sources()})
			if cache.hits != hits+4+factors {
				t.Errorf("%d entries reused, want 4 vectors and %d factors", cache.hits-hits, factors)
			}
			other := o
			other.Layer, other.Dim = 1, 65
			fresh := &tree{files: sources()}
			encode(t, newEncoder(t, other, cache), fresh)
			if len(fresh.read) != len(sources()) {
				t.Errorf("read %d files with other options, want all", len(fresh.read))
			}
		})
	}
}

func TestDamagedCache(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"empty":    func([]byte) []byte { return nil },
		"cut":      func(b []byte) []byte { return b[:max(0, len(b)-1)] },
		"too long": func(b []byte) []byte { return append(b, 0, 0, 0, 0) },
	} {
		cache := newMemory()
		e := newEncoder(t, hiddenOptions(), cache)
		want := encode(t, e, &tree{files: sources()})
		for key, data := range cache.data {
			cache.data[key] = damage(data)
		}
		again := &tree{files: sources()}
		if got := encode(t, e, again); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
		if len(again.read) != len(sources()) {
			t.Errorf("%s: read %d files, want all", name, len(again.read))
		}
	}
	broken := errors.New("disk on fire")
	cache := newMemory()
	cache.err = broken
	e := newEncoder(t, hiddenOptions(), cache)
	if _, err := e.Encode(context.Background(), &tree{files: sources()}, nil); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

func TestMaxFiles(t *testing.T) {
	o := encoder.Options{Kind: encoder.KindLexical, Dim: 64, MaxFiles: 3}
	e := newEncoder(t, o, nil)
	src := &tree{files: sources()}
	delete(src.files, "empty.py")
	got := encode(t, e, src)
	if got.Files != 3 || got.LeftOut != 5 || len(src.read) != 3 {
		t.Errorf("%d files, %d left out, %d read; want 3, 5, 3", got.Files, got.LeftOut, len(src.read))
	}
	// The lowest blob ids are chosen, so a rename changes nothing but the digest.
	renamed := &tree{files: map[string]string{}}
	for path, text := range src.files {
		renamed.files["src/"+path] = text
	}
	again := encode(t, e, renamed)
	if !reflect.DeepEqual(again.Tensors, got.Tensors) {
		t.Error("other names, another vector")
	}
	if again.Input == got.Input {
		t.Error("other names, the same digest")
	}
}

func TestNothing(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no files":  nil,
		"too short": {"a.py": "x\n", "b.py": ""},
	} {
		cache := newMemory()
		e := newEncoder(t, hiddenOptions(), cache)
		for range 2 { // from files, then from the cache
			if _, err := e.Encode(context.Background(), &tree{files: files}, nil); !errors.Is(err, encoder.ErrNothing) {
				t.Errorf("%s: got %v, want %v", name, err, encoder.ErrNothing)
			}
		}
	}
	// Short files count neither as files nor in the mean.
	one := map[string]string{"a.py": sources()["pkg/m1.py"]}
	e := newEncoder(t, hiddenOptions(), nil)
	want := encode(t, e, &tree{files: one})
	one["b.py"] = "x\n"
	if got := encode(t, e, &tree{files: one}); !reflect.DeepEqual(got, want) {
		t.Errorf("with a short file: got %+v, want %+v", got, want)
	}
}

// TestAfterFailure checks that windows of a repository that could not be read
// to the end do not leak into the next.
func TestAfterFailure(t *testing.T) {
	e := newEncoder(t, hiddenOptions(), nil)
	want := encode(t, e, &tree{files: sources()})
	failed := false
	_, err := e.Encode(context.Background(), &tree{files: sources(), forbidden: map[string]bool{"pkg/m5.py": true}},
		func(encoder.Progress) {
			if failed {
				t.Error("a run that has failed reports progress")
			}
		})
	if failed = true; !errors.Is(err, errForbidden) {
		t.Fatalf("got %v, want %v", err, errForbidden)
	}
	if got := encode(t, e, &tree{files: sources()}); !reflect.DeepEqual(got, want) {
		t.Error("after a failure the same repository gives another representation")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.Encode(ctx, &tree{files: sources()}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestConcurrent(t *testing.T) {
	e := newEncoder(t, hiddenOptions(), nil)
	want := encode(t, e, &tree{files: sources()})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			got, err := e.Encode(context.Background(), &tree{files: sources()}, nil)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("error %v, or another representation", err)
			}
		})
	}
	wg.Wait()
}

func TestLexical(t *testing.T) {
	e := newEncoder(t, encoder.Options{Kind: encoder.KindLexical, Dim: 256}, nil)
	vector := func(text string) []float32 {
		v := encode(t, e, &tree{files: map[string]string{"a.py": text}}).Tensors[embedding.Repository].Data
		if len(v) != 512 {
			t.Fatalf("%d values, want 512", len(v))
		}
		return v[:256]
	}
	const http = "def open_connection(host, port):\n    return HTTPConnection(host, port, timeout=DEFAULT_TIMEOUT)\n"
	const close = "class ConnectionPool:\n    def connect(self, host, port, timeout):\n        self.openConnection(host)\n"
	const far = "def matrix_product(left, right):\n    return numpy.einsum('ij,jk->ik', left, right)\n"
	a, b, c := vector(http), vector(close), vector(far)
	if ab, ac := dot(a, b), dot(a, c); ab <= ac+0.1 {
		t.Errorf("cosine %g with a similar file, %g with another: want a clear difference", ab, ac)
	}
	for _, v := range [][]float32{a, b, c} {
		if n := dot(v, v); math.Abs(n-1) > 1e-6 {
			t.Errorf("squared length %g, want 1", n)
		}
	}
	for range 5 {
		if again := vector(http); !reflect.DeepEqual(again, a) {
			t.Fatal("the same file gives another vector")
		}
	}
	// Words are what counts, not how they are joined.
	if got := dot(a, vector("open connection host port return httpconnection host port timeout default timeout def")); got < 0.99 {
		t.Errorf("cosine of the bare words: %g, want 1", got)
	}
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func TestNew(t *testing.T) {
	m, tok := tiny(t)
	for name, change := range map[string]func(*encoder.Options){
		"kind":          func(o *encoder.Options) { o.Kind = "other" },
		"layer 4":       func(o *encoder.Options) { o.Layer = 4 },
		"layer -1":      func(o *encoder.Options) { o.Layer = -1 },
		"chunk 0":       func(o *encoder.Options) { o.Chunk = 0 },
		"chunk 513":     func(o *encoder.Options) { o.Chunk = 513 }, // the context has 512
		"overlap 32":    func(o *encoder.Options) { o.Overlap = 32 },
		"min 33":        func(o *encoder.Options) { o.Min = 33 },
		"max_chunks -1": func(o *encoder.Options) { o.MaxChunks = -1 },
		"max_files -1":  func(o *encoder.Options) { o.MaxFiles = -1 },
		"dim 15":        func(o *encoder.Options) { *o = encoder.Options{Kind: encoder.KindLexical, Dim: 15} },
	} {
		o := hiddenOptions()
		change(&o)
		if _, err := encoder.New(o, m, tok, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want an error about %s", err, name)
		}
	}
	if _, err := encoder.New(hiddenOptions(), nil, nil, nil); err == nil {
		t.Error("hidden states without a model: want an error")
	}
	if _, err := encoder.New(encoder.DefaultOptions(encoder.KindLexical), nil, nil, nil); err != nil {
		t.Errorf("lexical without a model: %v", err)
	}
}

// TestFromSnapshot encodes a plain tree and the same files in a git repository.
func TestFromSnapshot(t *testing.T) {
	files := sources()
	delete(files, "empty.py") // not a file worth reading for a snapshot
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e := newEncoder(t, hiddenOptions(), nil)
	read := func() *embedding.Representation {
		t.Helper()
		repo, err := gitrepo.Open(context.Background(), dir, gitrepo.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer repo.Close()
		snap, err := repo.Snapshot(context.Background(), "", gitrepo.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		return encode(t, e, encoder.FromSnapshot(snap))
	}
	plain := read()
	want := encode(t, e, &tree{files: files})
	if plain.Files != want.Files || plain.Tokens != want.Tokens {
		t.Errorf("%d files and %d tokens, want %d and %d", plain.Files, plain.Tokens, want.Files, want.Tokens)
	}
	for i, x := range plain.Tensors[embedding.Repository].Data {
		if y := want.Tensors[embedding.Repository].Data[i]; math.Abs(float64(x-y)) > 1e-5 {
			t.Fatalf("value %d: got %g, want %g", i, x, y)
		}
	}
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("the rest needs git")
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."},
		{"-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false", "commit", "-qm", "all"}} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	if git := read(); !reflect.DeepEqual(git, plain) {
		t.Errorf("in git: got %+v, want %+v", git, plain)
	}
}
