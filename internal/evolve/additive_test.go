package evolve

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/aggregate"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/lru"
	"github.com/code2lora/code2lora/internal/model"
)

var _ Follower = (*Additive)(nil)

// TestAdditiveHistory goes over a history with merges, reverts and renames on
// each branch, from branch to branch, and compares each state with the one begun
// at its commit, bit for bit.
func TestAdditiveHistory(t *testing.T) {
	for seed, o := range []encoder.Options{{}, {MaxFiles: 3}, {Second: true}, {Second: true, Cross: 4}} {
		rng := rand.New(rand.NewPCG(uint64(seed), 7))
		r := newRepo(t, randomHistory(rng, 60))
		o.Kind, o.Dim = encoder.KindLexical, 16
		enc := newLexical(t, o, nil)
		f := newAdditive(t, enc)
		var all []gitrepo.Step
		var states []State
		commits, read := 0, map[int]bool{}
		var err error
		for _, branch := range []string{"main", "branch1", "branch2"} {
			var s State
			tree := ""
			err = r.History(t.Context(), branch, "", func(step gitrepo.Step) error {
				var err error
				if s == nil {
					s, err = f.Begin(t.Context(), r, step.ID, nil)
				} else {
					s, err = f.Advance(t.Context(), r, s, step, tree)
				}
				if err != nil {
					return err
				}
				tree = step.Tree
				// Another follower, so that nothing is remembered.
				if got, want := marshal(t, s), marshal(t, begin(t, newAdditive(t, enc), r, step.ID)); !bytes.Equal(got, want) {
					t.Errorf("seed %d, %s: the state that followed is not the one from scratch", seed, step.ID)
				}
				back, err := f.Decode(marshal(t, s))
				if err != nil || !reflect.DeepEqual(back, s) {
					t.Errorf("seed %d, %s: decoded %v, %v; want %v", seed, step.ID, back, err, s)
				}
				if commits%3 == 0 {
					compareWithEncode(t, f, r, step.ID, s)
				}
				all, states = append(all, step), append(states, s)
				read[s.(*sums).set.Sums().Count()] = true
				commits++
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if commits < 60 || len(read) < 3 {
			t.Errorf("seed %d: %d commits with %d different numbers of files", seed, commits, len(read))
		}
		// From any commit to any other, as after a forced push: by what is between,
		// and by what there is.
		for i := range 30 {
			from, to := rng.IntN(commits), rng.IntN(commits)
			step, tree := all[to], ""
			if i%2 == 0 {
				tree = all[from].Tree
				if step.Changes, err = r.Changes(t.Context(), tree, step.Tree); err != nil {
					t.Fatal(err)
				}
			}
			s, err := f.Advance(t.Context(), r, states[from], step, tree)
			if err != nil || !bytes.Equal(marshal(t, s), marshal(t, states[to])) {
				t.Errorf("seed %d: from %s to %s: another state, %v", seed, all[from].ID, all[to].ID, err)
			}
		}
	}
}

// compareWithEncode compares a state with what the encoder makes of the commit,
// and its adapter with the one of that.
func compareWithEncode(t *testing.T, f *Additive, r *gitrepo.Repo, ref string, s State) {
	t.Helper()
	snap, err := r.Snapshot(t.Context(), ref, f.filter)
	if err != nil {
		t.Fatal(err)
	}
	want, err := f.enc.Encode(t.Context(), encoder.FromSnapshot(snap), nil)
	got, gotErr := f.Representation(s)
	if err != nil || gotErr != nil {
		if !errors.Is(err, encoder.ErrNothing) || !errors.Is(gotErr, encoder.ErrNothing) {
			t.Fatalf("%s: got %v, want %v", ref, gotErr, err)
		}
		return
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, want %+v", ref, got, want)
	}
	a, err := f.Adapter(s)
	if err != nil {
		t.Fatal(err)
	}
	provenance := adapter.Provenance{Base: f.checkpoint.Base, Encoder: want.Encoder, EncoderInput: want.Input,
		Checkpoint: "tiny", Files: want.Files, Tokens: want.Tokens}
	if a.Provenance != provenance || a.Rank != 2 {
		t.Errorf("%s: provenance %+v, want %+v", ref, a.Provenance, provenance)
	}
}

// TestAdditiveProperty finds short histories that fail, if there are any.
func TestAdditiveProperty(t *testing.T) {
	if testing.Short() {
		t.Skip("makes many repositories")
	}
	enc := lexical(t, 0, nil)
	seen := 0
	rapid.Check(t, func(rt *rapid.T) {
		if seen++; seen > 10 {
			return // each makes a repository
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		r := newRepo(t, randomHistory(rng, rapid.IntRange(1, 12).Draw(rt, "commits")))
		f := newAdditive(t, enc)
		s, tree := State(nil), ""
		err := r.History(t.Context(), "main", "", func(step gitrepo.Step) (err error) {
			if s == nil {
				s, err = f.Begin(t.Context(), r, step.ID, nil)
			} else {
				s, err = f.Advance(t.Context(), r, s, step, tree)
			}
			tree = step.Tree
			return err
		})
		if err != nil || !bytes.Equal(marshal(t, s), marshal(t, begin(t, f, r, "main"))) {
			rt.Fatal("another state than from scratch", err)
		}
	})
}

// TestAdditiveHidden follows with vectors of a language model, which is given
// files in other batches when a state follows than when it is begun.
func TestAdditiveHidden(t *testing.T) {
	m, tok, err := model.Load("../model/testdata/tiny-llama.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	e, err := encoder.New(encoder.Options{Kind: encoder.KindHidden, Base: "b179", Layer: 2, Chunk: 32, Overlap: 8, Min: 6, Lexicon: true, Second: true, Cross: 3}, m, tok, nil)
	if err != nil {
		t.Fatal(err)
	}
	enc := e.(encoder.Filewise)
	f, err := NewAdditive(&hypernet.Checkpoint{Info: hypernet.Info{Encoder: enc.ID()}}, enc, smallFiles)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(f.ID(), "kernel="+kernel.Implementation()) {
		t.Errorf("id %s: want the arithmetic in it", f.ID())
	}
	r := newRepo(t, randomHistory(rand.New(rand.NewPCG(14, 15)), 15))
	s, tree := State(nil), ""
	err = r.History(t.Context(), "main", "", func(step gitrepo.Step) (err error) {
		if s == nil {
			s, err = f.Begin(t.Context(), r, step.ID, nil)
		} else {
			s, err = f.Advance(t.Context(), r, s, step, tree)
		}
		tree = step.Tree
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f.vectors = lru.New[string, aggregate.Vector](0)
	if !bytes.Equal(marshal(t, s), marshal(t, begin(t, f, r, "main"))) {
		t.Error("another state than from scratch")
	}
	got, err := f.Representation(s)
	if err != nil {
		t.Fatal(err)
	}
	snap, err := r.Snapshot(t.Context(), "main", f.filter)
	if err != nil {
		t.Fatal(err)
	}
	want, err := e.Encode(t.Context(), encoder.FromSnapshot(snap), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestAdditiveCost holds that a commit costs what it changed.
func TestAdditiveCost(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	files := map[string]string{"README.md": "text"}
	for _, p := range strings.Fields("a b c d e f g h") {
		files[p+".py"] = source(rng)
	}
	one, two, three := map[string]string{}, map[string]string{}, map[string]string{}
	for p, data := range files {
		one[p], two[p], three[p] = data, data, data
	}
	one["README.md"] = "other text"
	two["c.py"], two["README.md"] = source(rng), "other text"
	delete(three, "d.py")
	three["moved.py"], three["c.py"], three["README.md"] = files["d.py"], two["c.py"], "other text"
	r := newRepo(t, []commit{{files: files}, {files: one}, {files: two}, {files: three}})
	cache := newMemory()
	enc := &counting{Filewise: lexical(t, 0, cache)}
	var last encoder.Progress
	f := newAdditive(t, enc)
	s, err := f.Begin(t.Context(), r, "main~3", func(p encoder.Progress) { last = p })
	if err != nil || len(enc.asked) != 8 || last.Files != 8 || last.TotalFiles != 8 || last.Cached != 0 || last.Tokens == 0 {
		t.Fatalf("from nothing: asked for %v, progress %+v, %v", enc.asked, last, err)
	}
	want := map[string]string{"main~2": "", "main~1": "c.py", "main": ""}
	tree := s.(*sums).tree
	err = r.History(t.Context(), "main", git(t, r.Path(), "", "rev-parse", "main~3"), func(step gitrepo.Step) error {
		enc.asked = nil
		s, err = f.Advance(t.Context(), r, s, step, tree)
		tree = step.Tree
		for ref, paths := range want {
			if git(t, r.Path(), "", "rev-parse", ref) == step.ID && strings.Join(enc.asked, " ") != paths {
				t.Errorf("%s: asked for %q, want %q", ref, enc.asked, paths)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Begin(t.Context(), r, "main", func(p encoder.Progress) { last = p }); err != nil || last.Cached != 8 {
		t.Errorf("again from nothing: progress %+v, %v; want all known", last, err)
	}
}

// TestAdditiveOptions forgets a file, takes a folder, and adds a repository.
func TestAdditiveOptions(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	whole := map[string]string{}
	for _, p := range strings.Fields("a.py b.py lib/a.py lib/deep/b.py library/c.py") {
		whole[p] = source(rng)
	}
	part := func(keep func(string) bool) commit {
		c := commit{files: map[string]string{"README.md": "nothing else"}}
		for p, data := range whole {
			if keep(p) {
				c.files[p] = data
			}
		}
		return c
	}
	inLib := func(p string) bool { return strings.HasPrefix(p, "lib/") }
	history := []commit{part(func(string) bool { return true }), part(func(p string) bool { return p != "a.py" }),
		part(inLib), part(func(p string) bool { return !inLib(p) }), part(func(p string) bool { return p == "lib/a.py" })}
	r := newRepo(t, history)
	enc := newLexical(t, encoder.Options{Kind: encoder.KindLexical, Dim: 16, Second: true, Cross: 4}, nil)
	f := newAdditive(t, enc)
	all := begin(t, f, r, "main~4")
	before := marshal(t, all)
	check := func(what string, got State, err error, want State) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		if !got.(*sums).set.Equal(want.(*sums).set) {
			t.Errorf("%s: got %v, want %v", what, got.(*sums).set.Files(), want.(*sums).set.Files())
		}
		back, err := f.Decode(marshal(t, got))
		if err != nil || !reflect.DeepEqual(back, got) {
			t.Errorf("%s: decoded %v, %v", what, back, err)
		}
	}
	ctx := t.Context()
	for _, tt := range []struct{ without, only, ref string }{
		{"a.py", "", "main~3"}, {"./a.py", "", "main~3"}, {"", "lib", "main~2"}, {"", "lib/", "main~2"}, {"lib", "", "main~1"}, {"", "lib/a.py", "main"}, {"", ".", "main~4"},
	} {
		want := begin(t, f, r, tt.ref)
		if tt.without != "" {
			got, err := f.Without(ctx, r, all, tt.without)
			check("without "+tt.without, got, err, want)
			continue
		}
		got, err := f.Only(ctx, r, all, tt.only)
		check("only "+tt.only, got, err, want)
	}
	lib, rest := begin(t, f, r, "main~2"), begin(t, f, r, "main~1")
	got, err := f.With(lib, rest)
	check("with", got, err, all)
	other, err := f.With(rest, lib)
	check("with, the other way round", other, err, all)
	got, err = f.Without(ctx, r, got, "lib")
	check("with, then without", got, err, rest)

	// A plain source tree, too.
	dir := t.TempDir()
	for p, data := range history[0].files {
		name := filepath.Join(dir, filepath.FromSlash(p))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(data), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	plain := open(t, dir)
	here := begin(t, newAdditive(t, enc), plain, "")
	check("plain", here, nil, all)
	got, err = newAdditive(t, enc).Only(ctx, plain, here, "lib")
	check("plain, only lib", got, err, lib)

	// Advance makes the whole state of a commit again.
	step := lastStep(t, r)
	for _, s := range []State{other, got, here} {
		next, err := f.Advance(ctx, r, s, step, all.(*sums).tree)
		if err != nil || !bytes.Equal(marshal(t, next), marshal(t, begin(t, f, r, "main"))) {
			t.Errorf("advanced: %v, or another state", err)
		}
	}
	for _, name := range []string{"", "/etc", "..", "../x", "nothing.py", "li", "README.md"} {
		if _, err := f.Without(ctx, r, all, name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %q: got %v", name, err)
		}
		if _, err := f.Only(ctx, r, all, name); err == nil {
			t.Errorf("only %q: no error", name)
		}
	}
	if !bytes.Equal(marshal(t, all), before) {
		t.Error("the state has changed")
	}
}

func lastStep(t *testing.T, r *gitrepo.Repo) gitrepo.Step {
	t.Helper()
	var last gitrepo.Step
	if err := r.History(t.Context(), "main", "", func(s gitrepo.Step) error { last = s; return nil }); err != nil {
		t.Fatal(err)
	}
	return last
}

// TestAdditiveGarbage goes on from a state whose blobs are gone, or have another
// vector than they had.
func TestAdditiveGarbage(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	before := newRepo(t, []commit{{files: map[string]string{"a.py": source(rng), "b.py": source(rng)}}})
	after := newRepo(t, []commit{{files: map[string]string{"c.py": source(rng), "d.py": source(rng)}}})
	enc := lexical(t, 0, nil)
	s := begin(t, newAdditive(t, enc), before, "main")
	want := marshal(t, begin(t, newAdditive(t, enc), after, "main"))
	got, err := newAdditive(t, enc).Advance(t.Context(), after, s, lastStep(t, after), "")
	if err != nil || !bytes.Equal(marshal(t, got), want) {
		t.Errorf("blobs that are gone: %v, or another state", err)
	}
	damaged := s.(*sums)
	for _, b := range damaged.set.Files() {
		f := newAdditive(t, enc)
		f.vectors.Put(b.Blob, aggregate.Vector{X: slices.Repeat([]float32{9}, 16), Tokens: b.Tokens}, 1)
		got, err := f.Advance(t.Context(), after, s, lastStep(t, after), "")
		if err != nil || !bytes.Equal(marshal(t, got), want) {
			t.Errorf("another vector of %s: %v, or another state", b.Path, err)
		}
	}
	// What is there and can't be read is an error.
	if _, err := newAdditive(t, enc).Advance(t.Context(), before, s, lastStep(t, after), ""); !errors.Is(err, gitrepo.ErrMissingObject) {
		t.Errorf("a commit that isn't there: got %v", err)
	}
}

func TestAdditiveRefuses(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 11))
	r := newRepo(t, []commit{{files: map[string]string{"a.py": source(rng)}}, {files: map[string]string{"README.md": "x"}}})
	enc := lexical(t, 0, nil)
	f := newAdditive(t, enc)
	s := begin(t, f, r, "main~1")
	data := marshal(t, s)
	for i := range data {
		flipped := slices.Clone(data)
		flipped[i] ^= 0x40
		for _, bad := range [][]byte{data[:i], flipped} {
			if _, err := f.Decode(bad); !errors.Is(err, ErrState) {
				t.Fatalf("byte %d cut or changed: got %v, want ErrState", i, err)
			}
		}
	}
	limited := newAdditive(t, lexical(t, 5, nil))
	tests, err := NewAdditive(newCheckpoint(t, enc), enc, gitrepo.Filter{KeepVendored: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]*Additive{"encoder": limited, "filter": tests} {
		if other.ID() == f.ID() {
			t.Errorf("%s: the same id %s", name, f.ID())
		}
		if _, err := other.Decode(data); !errors.Is(err, ErrState) || !strings.Contains(err.Error(), "another encoder") {
			t.Errorf("%s: decoded: %v", name, err)
		}
		if _, err := other.Adapter(s); !errors.Is(err, ErrState) {
			t.Errorf("%s: adapter: %v", name, err)
		}
		if _, err := f.With(s, begin(t, other, r, "main")); !errors.Is(err, ErrState) {
			t.Errorf("%s: with: %v", name, err)
		}
	}
	if newAdditive(t, lexical(t, 0, newMemory())).ID() != f.ID() {
		t.Error("another id with a cache")
	}
	var none State
	if _, err := f.Advance(t.Context(), r, none, lastStep(t, r), ""); !errors.Is(err, ErrState) {
		t.Errorf("no state: got %v", err)
	}
	// A commit without sources has a state, but no adapter.
	empty := begin(t, f, r, "main")
	if _, err := f.Adapter(empty); !errors.Is(err, encoder.ErrNothing) {
		t.Errorf("no sources: got %v", err)
	}
	if got, err := f.Advance(t.Context(), r, s, lastStep(t, r), s.(*sums).tree); err != nil || !bytes.Equal(marshal(t, got), marshal(t, empty)) {
		t.Errorf("to a commit without sources: %v, or another state", err)
	}
	c := newCheckpoint(t, enc)
	c.Encoder = "lexical/1 dim=17 max_files=0 tests=false"
	if _, err := NewAdditive(c, enc, gitrepo.Filter{}); !errors.Is(err, hypernet.ErrEncoder) {
		t.Errorf("another encoder than the checkpoint's: got %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Begin(cancelled, r, "main", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	if !f.Exact() || s.Steps() != 0 {
		t.Error("the state depends on its history")
	}
}

func FuzzAdditiveDecode(f *testing.F) {
	rng := rand.New(rand.NewPCG(12, 13))
	r := newRepo(f, []commit{{files: map[string]string{"a.py": source(rng), "b.py": source(rng)}}})
	a := newAdditive(f, lexical(f, 0, nil))
	data := marshal(f, begin(f, a, r, "main"))
	f.Add(data[:len(data)-32])
	f.Add(data[:50])
	f.Fuzz(func(t *testing.T, body []byte) {
		data := seal(body)
		s, err := a.Decode(data)
		if err != nil {
			if !errors.Is(err, ErrState) {
				t.Errorf("got %v, want ErrState", err)
			}
			return
		}
		if again, err := s.MarshalBinary(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("written again: %x, %v; want %x", again, err, data)
		}
	})
}

// TestAdditiveID checks that the id can be told without a base model.
func TestAdditiveID(t *testing.T) {
	enc := encoder.Options{Kind: encoder.KindDescription, Base: "b179", Layer: 2, Chunk: 32}
	if id, err := AdditiveID(enc.ID(), gitrepo.Filter{}); err == nil {
		t.Errorf("got id %q for an encoder that isn't made of files", id)
	}
	f := newAdditive(t, lexical(t, 3, nil))
	if id, err := AdditiveID(f.enc.ID(), smallFiles); err != nil || id != f.ID() {
		t.Errorf("got id %q, error %v, want that of the follower, %q", id, err, f.ID())
	}
	if id, err := AdditiveID("odd", gitrepo.Filter{}); err == nil {
		t.Errorf("got id %q for an encoder that there isn't", id)
	}
}
