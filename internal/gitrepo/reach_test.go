package gitrepo

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPlace(t *testing.T) {
	work := filepath.Join(t.TempDir(), "work")
	runGit(t, "", "", "init", "--quiet", work)
	runGit(t, work, "", "commit", "--quiet", "--allow-empty", "-m", "a")
	linked := filepath.Join(t.TempDir(), "linked")
	runGit(t, work, "", "worktree", "add", "--quiet", "--detach", linked)
	bare := newBare(t, change{})
	for _, c := range []struct{ path, dir, common, hooks string }{
		{work, work + "/.git", work + "/.git", work + "/.git/hooks"},
		{linked, work + "/.git/worktrees/linked", work + "/.git", work + "/.git/hooks"},
		{bare, bare, bare, bare + "/hooks"},
	} {
		r := openAt(t, c.path, Options{})
		common, err := r.CommonDir()
		if err != nil {
			t.Fatal(err)
		}
		hooks, err := r.HooksDir(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.GitDir() != c.dir || common != c.common || hooks != c.hooks {
			t.Errorf("%s: got %s, %s, %s, want %s, %s, %s", c.path, r.GitDir(), common, hooks, c.dir, c.common, c.hooks)
		}
	}
	plain := openAt(t, t.TempDir(), Options{})
	if _, err := plain.CommonDir(); plain.GitDir() != "" || !errors.Is(err, ErrNotGit) {
		t.Errorf("a plain source tree: got %q, %v", plain.GitDir(), err)
	}
	if _, err := plain.HooksDir(t.Context()); !errors.Is(err, ErrNotGit) {
		t.Errorf("hooks of a plain source tree: got %v", err)
	}
}

func TestEdited(t *testing.T) {
	dir := newBare(t, change{}, change{}, change{})
	r := openAt(t, dir, Options{})
	if got, err := r.Edited(t.Context()); len(got) != 0 || err != nil {
		t.Fatalf("got %q, %v, want nothing", got, err)
	}
	before, err := r.Log(t.Context(), "main", 0)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "info", "grafts"), before[2].ID+"\n")
	runGit(t, dir, "", "replace", "--graft", before[2].ID)
	if got, err := r.Edited(t.Context()); !slices.Equal(got, []string{"grafts", "replace refs"}) || err != nil {
		t.Errorf("got %q, %v, want both", got, err)
	}
	if after, err := r.Log(t.Context(), "main", 0); err != nil || len(after) != 3 {
		t.Errorf("history: got %v, %v, want that of the ids", after, err)
	}
}

func TestChanges(t *testing.T) {
	dir := newBare(t,
		change{files: []entry{{"", "a.py", "a"}, {"", "b.py", "b"}, {"", "it's\nodd", "c"}}},
		change{files: []entry{{"", "a.py", "aa"}, {"100755", "c.py", "b"}, {"", "it's\nodd", "c"}, {"160000", "sub", strings.Repeat("1", 40)}}})
	r := openAt(t, dir, Options{})
	from, err := r.Tree(t.Context(), "main~1")
	if err != nil {
		t.Fatal(err)
	}
	to, err := r.Tree(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	describe := func(cs []Change) string {
		var s []string
		for _, c := range cs {
			s = append(s, string(c.Status)+" "+c.Path+" "+c.Mode)
		}
		return strings.Join(s, ", ")
	}
	cs, err := r.Changes(t.Context(), from, to)
	if want := "M a.py 100644, D b.py , A c.py 100755, A sub 160000"; err != nil || describe(cs) != want {
		t.Errorf("got %q, %v, want %q", describe(cs), err, want)
	}
	cs, err = r.Changes(t.Context(), "", from)
	if want := "A a.py 100644, A b.py 100644, A it's\nodd 100644"; err != nil || describe(cs) != want {
		t.Errorf("from nothing: got %q, %v, want %q", describe(cs), err, want)
	}
	if cs, err = r.Changes(t.Context(), to, to); len(cs) != 0 || err != nil {
		t.Errorf("no change: got %v, %v", cs, err)
	}
	for _, ids := range [][2]string{{"main", to}, {from, "--all"}, {from, strings.Repeat("2", 40)}} {
		if _, err := r.Changes(t.Context(), ids[0], ids[1]); err == nil {
			t.Errorf("Changes(%q, %q): want an error", ids[0], ids[1])
		}
	}
	if _, err := r.Tree(t.Context(), "nobody"); !errors.Is(err, ErrRef) {
		t.Errorf("tree of nobody: got %v", err)
	}

	sizes, err := r.Sizes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sizes.Close()
	cs, _ = r.Changes(t.Context(), from, to)
	if _, err := sizes.Of(strings.Repeat("3", 40)); !errors.Is(err, ErrMissingObject) {
		t.Errorf("size of a missing blob: got %v", err)
	}
	if n, err := sizes.Of(cs[0].Blob); n != 2 || err != nil {
		t.Errorf("size of a.py: got %d, %v, want 2", n, err)
	}
	if _, err := sizes.Of("a b"); err == nil {
		t.Error("size of no id: want an error")
	}
}

func TestReachable(t *testing.T) {
	dir := newBare(t, change{}, change{branch: "side"}, change{})
	r := openAt(t, dir, Options{})
	n := 0
	if err := r.Reachable(t.Context(), func(string) error { n++; return nil }); err != nil || n != 3 {
		t.Errorf("got %d commits, %v, want 3", n, err)
	}
	for _, c := range []struct {
		commit, of string
		want       bool
	}{{"main~1", "main", true}, {"main", "main", true}, {"main", "main~1", false}, {"side", "main", false}} {
		a, b := runGit(t, dir, "", "rev-parse", c.commit), runGit(t, dir, "", "rev-parse", c.of)
		if got, err := r.IsAncestor(t.Context(), a, b); got != c.want || err != nil {
			t.Errorf("%s of %s: got %t, %v, want %t", c.commit, c.of, got, err, c.want)
		}
		if got, err := r.IsAncestor(t.Context(), a, strings.Repeat("1", 40)); got || err != nil {
			t.Errorf("of a missing commit: got %t, %v", got, err)
		}
	}
	stop := errors.New("stop")
	if err := r.Reachable(t.Context(), func(string) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want %v", err, stop)
	}
	runGit(t, dir, "", "update-ref", "-d", "refs/heads/side")
	n = 0
	if err := r.Reachable(t.Context(), func(string) error { n++; return nil }); err != nil || n != 2 {
		t.Errorf("without a branch: got %d commits, %v, want 2", n, err)
	}
}

func TestCompile(t *testing.T) {
	skip, err := Filter{SkipTests: true}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]Reason{"a.py": "", "tests/a.py": ReasonTest, "a.md": ReasonLanguage, "vendor/a.py": ReasonVendored} {
		if got := skip(path, 10); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	if got := skip("a.py", DefaultMaxBytes+1); got != ReasonTooLarge {
		t.Errorf("large: got %q", got)
	}
	if _, err := (Filter{Include: []string{"["}}).Compile(); !errors.Is(err, ErrFilter) {
		t.Errorf("a bad glob: got %v", err)
	}
}
