package evolve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/store"
)

// deleted is the text of a file that a commit of history removes.
const deleted = "\x00"

// history makes a repository of commits, each of which writes and removes files,
// and opens it.
func history(t *testing.T, commits ...map[string]string) *gitrepo.Repo {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("needs git")
	}
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	git("init", "-q")
	for i, files := range commits {
		for name, text := range files {
			path := filepath.Join(dir, name)
			if text == deleted {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		git("add", ".")
		git("commit", "-qm", fmt.Sprint("commit ", i), "--allow-empty")
	}
	r, err := gitrepo.Open(t.Context(), dir, gitrepo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func code(seed, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "def function_%d_%d(a, b):\n    return a + %d * b\n\n", seed, i, seed)
	}
	return b.String()
}

// sample are five commits: with a test, of a binary file only, of code, with a
// test again, and empty.
func sample(t *testing.T) *gitrepo.Repo {
	return history(t,
		map[string]string{"a.py": code(1, 9), "tests/test_a.py": "assert 1 == 1\n"},
		map[string]string{"image.bin": "\x00\x01\x02"},
		map[string]string{"a.py": code(2, 9), "README.md": strings.Repeat("# Words of a manual\n", 9)},
		map[string]string{"b.py": code(3, 5), "tests/test_a.py": "assert 2 == 2\n"},
		map[string]string{},
	)
}

// states follows a whole history from its root, through the binary form.
func states(t *testing.T, f *Recurrent, r *gitrepo.Repo) (all []State) {
	t.Helper()
	parent := ""
	err := r.History(t.Context(), "HEAD", "", func(step gitrepo.Step) (err error) {
		var s State
		if len(all) == 0 {
			s, err = f.Begin(t.Context(), r, step.ID, nil)
		} else {
			s, err = f.Advance(t.Context(), r, all[len(all)-1], step, parent)
		}
		if err != nil {
			return err
		}
		data, err := s.MarshalBinary()
		if err != nil {
			return err
		}
		decoded, err := f.Decode(data)
		if err != nil {
			return err
		}
		if again, _ := decoded.MarshalBinary(); !bytes.Equal(again, data) {
			t.Errorf("commit %s: other bytes after decoding", step.ID)
		}
		all, parent = append(all, decoded), step.Tree
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func newFollower(t *testing.T, change func(*Settings)) *Recurrent {
	t.Helper()
	m, tok := tinyBase(t)
	cache, err := store.Open(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewRecurrent(recurrentCheckpoint(t, m, change), m, tok, cache)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFollow(t *testing.T) {
	for _, tt := range []struct {
		commits, input string
		steps          []bool // whether each commit changes the state
	}{
		{CommitsTests, InputDiff, []bool{true, false, false, true, false}},
		{CommitsAll, InputDiff, []bool{true, true, true, true, true}}, // of nothing, too
		{CommitsTests, InputRepository, []bool{true, false, false, true, false}},
		{CommitsAll, InputBoth, []bool{true, true, true, true, true}},
	} {
		t.Run(tt.commits+" "+tt.input, func(t *testing.T) {
			f := newFollower(t, func(s *Settings) { s.Commits, s.Input = tt.commits, tt.input })
			r := sample(t)
			all := states(t, f, r)
			if len(all) != len(tt.steps) {
				t.Fatalf("%d states, want %d", len(all), len(tt.steps))
			}
			for i, s := range all {
				if s.Steps() != i {
					t.Errorf("state %d has %d steps", i, s.Steps())
				}
				if i > 0 && slices.Equal(s.(*recurrentState).hidden, all[i-1].(*recurrentState).hidden) == tt.steps[i] {
					t.Errorf("commit %d: changed the state %t, want %t", i, !tt.steps[i], tt.steps[i])
				}
			}
			first, err1 := f.Adapter(all[0])
			last, err2 := f.Adapter(all[4])
			if err := errors.Join(err1, err2, last.Validate()); err != nil {
				t.Fatal(err)
			}
			if p := last.Provenance; p.Base != f.ckpt.Base || p.Checkpoint != "evo" || p.Encoder != f.ckpt.Encoder || p.Files != 1 || p.Tokens == 0 {
				t.Errorf("provenance %+v, want that of the checkpoint with one file", p)
			}
			if d := first.Pairs()[0].A; slices.Equal(d, last.Pairs()[0].A) {
				t.Error("the adapters of the first and the last state are the same")
			}
			again := states(t, f, r) // from the cache
			a, _ := all[4].MarshalBinary()
			if b, _ := again[4].MarshalBinary(); !bytes.Equal(a, b) {
				t.Error("another state from cached vectors")
			}
		})
	}
}

// TestFollowAsTrained compares a follower with the recurrence on the diffs
// between commits that change tests.
func TestFollowAsTrained(t *testing.T) {
	f, r := newFollower(t, nil), sample(t)
	got := states(t, f, r)[4].(*recurrentState)
	ctx := t.Context()
	first, err := r.Snapshot(ctx, "HEAD~4", f.opt.Filter(gitrepo.Filter{}))
	if err != nil {
		t.Fatal(err)
	}
	v, _, err := RepositoryVector(ctx, f.repo, first, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err = Transform(&f.ckpt.Inputs.Repository, v)
	if err != nil {
		t.Fatal(err)
	}
	h, err := f.ckpt.GRU.Start(v)
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.Snapshot(ctx, "HEAD~1", gitrepo.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.Diffs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, trees := range [][2]string{{"", first.Tree}, {first.Tree, second.Tree}} {
		diff, err := d.Between(trees[0], trees[1], f.ckpt.Settings.Diff.MaxBytes, Production)
		if err != nil {
			t.Fatal(err)
		}
		text := diff.Text
		if strings.Contains(text, "test_a.py") || !strings.Contains(text, ".py") {
			t.Errorf("diff %q: want that of sources without tests", text)
		}
		x, err := f.diff.Text(ctx, text)
		if err != nil {
			t.Fatal(err)
		}
		if x, err = Transform(&f.ckpt.Inputs.Step, x); err != nil {
			t.Fatal(err)
		}
		if h, err = f.ckpt.GRU.Step(h, x); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got.hidden, h) {
		t.Errorf("state %v, want %v", got.hidden, h)
	}
}

func TestBeginOfNothing(t *testing.T) {
	f, r := newFollower(t, nil), history(t, map[string]string{"LICENSE": "free"}, map[string]string{"a.py": code(1, 4), "test_a.py": "assert 1"})
	all := states(t, f, r)
	if a, err := f.Adapter(all[1]); err != nil || a.Provenance.Files != 0 {
		t.Errorf("adapter of a history that begins with nothing: %v", err)
	}
	if slices.Equal(all[0].(*recurrentState).hidden, all[1].(*recurrentState).hidden) {
		t.Error("the first code of a repository didn't change its state")
	}
}

func TestAdvanceRefuses(t *testing.T) {
	f, r := newFollower(t, nil), sample(t)
	s, err := f.Begin(t.Context(), r, "HEAD~1", nil)
	if err != nil {
		t.Fatal(err)
	}
	step := gitrepo.Step{Commit: gitrepo.Commit{ID: "c"}, Tree: strings.Repeat("1", 40)}
	if _, err := f.Advance(t.Context(), r, s, step, strings.Repeat("2", 40)); err == nil || !strings.Contains(err.Error(), "parent has tree") {
		t.Errorf("a state of another commit: got error %v", err)
	}
	if _, err := f.Advance(t.Context(), r, nil, step, ""); !errors.Is(err, ErrState) {
		t.Errorf("no state: got error %v, want %v", err, ErrState)
	}
	step.Changes = []gitrepo.Change{{Status: 'M', Path: "tests/test_a.py"}}
	if _, err := f.Advance(t.Context(), r, s, step, ""); err == nil {
		t.Error("a commit whose tree is missing was stepped over")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Begin(ctx, r, "HEAD", nil); err == nil {
		t.Error("a cancelled context has begun a state")
	}
	if _, err := f.Begin(t.Context(), r, "nowhere", nil); !errors.Is(err, gitrepo.ErrRef) {
		t.Errorf("a ref that isn't there: got error %v, want %v", err, gitrepo.ErrRef)
	}
}

// TestFollowerID checks that the id names what changes states.
func TestFollowerID(t *testing.T) {
	ids := map[string]bool{}
	for _, change := range []func(*Settings){nil, func(s *Settings) { s.Diff.MaxWindows++ }, func(s *Settings) { s.Commits = CommitsAll }} {
		f := newFollower(t, change)
		if f.ID() != newFollower(t, change).ID() {
			t.Error("the same checkpoint has two ids")
		}
		ids[f.ID()] = true
	}
	m, tok := tinyBase(t)
	c := recurrentCheckpoint(t, m, nil)
	c.GRU.Params()[0].Value[0]++
	f, err := NewRecurrent(c, m, tok, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ids[f.ID()] = true; len(ids) != 4 {
		t.Errorf("%d ids of 4 followers", len(ids))
	}
}

func TestDecodeRefuses(t *testing.T) {
	s := &recurrentState{hidden: make([]float32, 3), tree: strings.Repeat("a", 40), last: strings.Repeat("b", 64), steps: 3}
	data, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeState(data, 3); err != nil || got.tree != s.tree || got.last != s.last || got.steps != 3 {
		t.Fatalf("got %+v, %v; want %+v", got, err, s)
	}
	for n := range data {
		if _, err := decodeState(data[:n], 3); err == nil {
			t.Errorf("%d of %d bytes were decoded", n, len(data))
		}
	}
	for name, spoilt := range map[string][]byte{
		"more":     append(slices.Clone(data), 0),
		"tree":     bytes.Replace(data, []byte("aaaa"), []byte("zzzz"), 1),
		"infinite": append(slices.Clone(data[:len(data)-4]), 0, 0, 0x80, 0x7f),
	} {
		if _, err := decodeState(spoilt, 3); err == nil {
			t.Errorf("%s: was decoded", name)
		}
	}
	if _, err := decodeState(data, 4); err == nil {
		t.Error("a state of another size was decoded")
	}
}

func FuzzDecodeState(f *testing.F) {
	s := &recurrentState{hidden: []float32{1, 2}, tree: strings.Repeat("a", 40), last: strings.Repeat("b", 40)}
	data, err := s.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeState(data, 2)
		if err != nil {
			return
		}
		if again, err := s.MarshalBinary(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("other bytes after decoding: %v", err)
		}
	})
}
