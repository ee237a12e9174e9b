package gitrepo

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// partialClone makes a clone without the blobs of more than 100 bytes.
func partialClone(t *testing.T, history ...change) *Repo {
	t.Helper()
	dir := newBare(t, history...)
	runGit(t, dir, "", "config", "uploadpack.allowFilter", "true")
	clone := filepath.Join(t.TempDir(), "clone.git")
	runGit(t, "", "", "clone", "--quiet", "--bare", "--filter=blob:limit=100", "file://"+filepath.ToSlash(dir), clone)
	if got := runGit(t, clone, "", "config", "remote.origin.promisor"); got != "true" {
		t.Skip("git made no partial clone")
	}
	return openAt(t, clone, Options{})
}

func TestPartialClone(t *testing.T) {
	big := strings.Repeat(longText, 4)
	r := partialClone(t,
		change{message: "root", files: []entry{{"", "big.bin", big}, {"", "a.py", longText}}},
		change{message: "rename", files: []entry{{"", "big.bin", big}, {"", "c.py", longText + "x\n"}}},
		change{message: "big", files: []entry{{"", "big2.bin", big + "x\n"}, {"", "c.py", longText + "y\n"}}},
		change{message: "later", files: []entry{{"", "big2.bin", big + "x\n"}, {"", "d.py", longText + "z\n"}}},
		change{message: "wanted", files: []entry{{"", "big2.bin", big + "x\n"}, {"", "d.py", big}}})
	got, all := steps(t, r, "main", "")
	want := "root 0: A a.py A big.bin|rename 1: R c.py < a.py|big 1: D big.bin () A big2.bin M c.py|later 1: R d.py < c.py|wanted 1: M d.py"
	if strings.Join(got, "|") != want {
		t.Errorf("history: got %q, want %q", got, want)
	}
	for i, path := range []string{"a.py", "c.py", "c.py", "d.py"} {
		s := snapshot(t, r, all[i].ID, Filter{})
		if paths(s.Files) != path || texts(t, s)[path] == "" {
			t.Errorf("commit %d: got %q, want %q and its text", i, paths(s.Files), path)
		}
		if s, err := r.Changed(t.Context(), all[i], Filter{}); err != nil || paths(s.Files) != path {
			t.Errorf("changed by commit %d: got %v, %v, want %q", i, s, err, path)
		}
	}
	if _, err := r.Snapshot(t.Context(), "main", Filter{}); !errors.Is(err, ErrMissingObject) {
		t.Errorf("a wanted file is missing: got %v, want ErrMissingObject", err)
	}
	if _, err := r.Changed(t.Context(), all[4], Filter{}); !errors.Is(err, ErrMissingObject) {
		t.Errorf("a wanted change is missing: got %v, want ErrMissingObject", err)
	}
	absent, there := all[0].Changes[1].Blob, all[0].Changes[0].Blob
	sizes, err := r.Sizes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sizes.Close()
	blobs, err := r.Blobs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer blobs.Close()
	for range 2 {
		if _, err := sizes.Of(absent); !errors.Is(err, ErrMissingObject) {
			t.Errorf("size: got %v, want ErrMissingObject", err)
		}
		if n, err := sizes.Of(there); err != nil || n != int64(len(longText)) {
			t.Errorf("size: got %d, %v, want %d", n, err, len(longText))
		}
		if _, err := blobs.Read(absent, 1000); !errors.Is(err, ErrMissingObject) {
			t.Errorf("blob: got %v, want ErrMissingObject", err)
		}
		if raw, err := blobs.Read(there, 1000); err != nil || string(raw) != longText {
			t.Errorf("blob: got %q, %v", raw, err)
		}
	}
	diffs, err := r.Diffs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer diffs.Close()
	python := func(p string) bool { return strings.HasSuffix(p, ".py") }
	diff, err := diffs.Between(all[1].Tree, all[2].Tree, 1000, python)
	if err != nil || diff.Unlike || !strings.HasSuffix(diff.Text, "-x\n+y\n") {
		t.Errorf("diff beside files that are missing: got %v, %v", diff, err)
	}
	diff, err = diffs.Between(all[0].Tree, all[1].Tree, 1000, python)
	if err != nil || diff.Unlike || !strings.Contains(diff.Text, "rename to c.py") {
		t.Errorf("diff with a rename: got %v, %v", diff, err)
	}
	view := r.view.dir
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(view); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %s is still there (%v)", view, err)
	}
}

// TestDiffsAnywhere compares the text of diffs with and without settings of the
// machine, of the user and of the clone.
func TestDiffsAnywhere(t *testing.T) {
	lines := func(last string) string {
		return "class A:\n    x = 1\n\n    def f(self):\n        a = 1\n        b = 2\n        c = 3\n\n        e = 5\n        return " + last + "\n"
	}
	dir := newBare(t, change{files: []entry{{"", "é.py", lines("1")}}}, change{files: []entry{{"", "é.py", lines("2")}}})
	text := func() string {
		r := openAt(t, dir, Options{})
		_, all := steps(t, r, "main", "")
		d, err := r.Diffs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		diff, err := d.Between(all[0].Tree, all[1].Tree, 1000, func(string) bool { return true })
		if err != nil || diff.Cut || diff.Unlike {
			t.Fatalf("got %v, %v", diff, err)
		}
		return diff.Text
	}
	want := text()
	if !strings.HasSuffix(want, "@@ -7,4 +7,4 @@ class A:\n         c = 3\n \n         e = 5\n-        return 1\n+        return 2\n") {
		t.Fatalf("got %q", want)
	}
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	user, clone := filepath.Join(config, "git", "attributes"), filepath.Join(dir, "info", "attributes")
	for _, c := range []struct{ file, text string }{
		{user, "*.py diff=python\n"}, {user, "*.py -diff\n"}, {clone, "*.py diff=python\n"}, {clone, "*.py -diff\n"},
		{filepath.Join(dir, "config"), "[core]\n\tbare = true\n\tquotePath = false\n\tbigFileThreshold = 10\n[diff]\n\tsuppressBlankEmpty = true\n"},
	} {
		writeFile(t, c.file, c.text)
		if got := text(); got != want {
			t.Errorf("%s with %q: got %q, want %q", c.file, c.text, got, want)
		}
		if err := os.Remove(c.file); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSHA256 reads a repository whose ids are of SHA-256.
func TestSHA256(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "long")
	runGit(t, "", "", "init", "--quiet", "--object-format=sha256", dir)
	writeFile(t, filepath.Join(dir, "a.py"), "x = 1\n")
	runGit(t, dir, "", "add", ".")
	runGit(t, dir, "", "commit", "--quiet", "-m", "root")
	r := openAt(t, dir, Options{})
	if s := snapshot(t, r, "", Filter{}); len(s.Tree) != 64 || texts(t, s)["a.py"] != "x = 1\n" {
		t.Errorf("got tree %q and %q, want a.py", s.Tree, texts(t, s))
	}
	_, all := steps(t, r, "HEAD", "")
	d, err := r.Diffs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if diff, err := d.Between("", all[0].Tree, 1000, func(string) bool { return true }); err != nil || !strings.HasSuffix(diff.Text, "\n+x = 1\n") {
		t.Errorf("diff: got %v, %v", diff, err)
	}
}
