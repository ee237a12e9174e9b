package gitrepo

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

// everyChange has a commit for each way in which a file can change.
func everyChange() []change {
	long := strings.Repeat("x = 1\n", 50)
	files := map[string]entry{}
	var history []change
	commit := func(name string, fn func(put func(mode, path, data string), drop func(string))) {
		fn(func(mode, path, data string) { files[path] = entry{mode, path, data} }, func(path string) { delete(files, path) })
		c := change{message: name}
		for _, p := range slices.Sorted(maps.Keys(files)) {
			c.files = append(c.files, files[p])
		}
		history = append(history, c)
	}
	commit("begin", func(put func(mode, path, data string), _ func(string)) {
		put("", "a.py", long)
		put("", "d/b.py", "x = 2\n")
		put("", "README.md", "text\n")
	})
	commit("modify, add", func(put func(mode, path, data string), _ func(string)) {
		put("", "a.py", long+"y = 1\n")
		put("", "strange \"é\"\n.py", "x = 3\n")
	})
	commit("rename and change", func(put func(mode, path, data string), drop func(string)) {
		drop("a.py")
		put("", "moved/a.py", long+"y = 2\n")
	})
	commit("rename to what is skipped", func(put func(mode, path, data string), drop func(string)) {
		drop("moved/a.py")
		put("", "vendor/a.py", long+"y = 2\n")
	})
	commit("rename back, type and mode", func(put func(mode, path, data string), drop func(string)) {
		drop("vendor/a.py")
		put("100755", "a.py", long+"y = 2\n")
		put("120000", "d/b.py", "../a.py")
	})
	commit("a link becomes a file, a file a folder", func(put func(mode, path, data string), drop func(string)) {
		put("", "d/b.py", "x = 5\n")
		drop("a.py")
		put("", "a.py/inner.py", "x = 6\n")
	})
	commit("submodule", func(put func(mode, path, data string), _ func(string)) {
		put("160000", "sub.py", strings.Repeat("ab", 20))
	})
	commit("submodule moves; a binary, an empty and a large file", func(put func(mode, path, data string), _ func(string)) {
		put("160000", "sub.py", strings.Repeat("cd", 20))
		put("", "binary.py", "x\x00y")
		put("", "empty.py", "")
		put("", "large.py", strings.Repeat("x = 7\n", 1000))
		put("", "tests/test_a.py", "x = 8\n")
		put("", "api_pb2.py", "x = 9\n")
	})
	commit("copies, and what was skipped is wanted", func(put func(mode, path, data string), drop func(string)) {
		put("", "copy.py", "x = 6\n")
		put("", "large.py", "x = 7\n")
		put("", "empty.py", "x = 8\n")
		drop("sub.py")
	})
	commit("nothing", func(func(mode, path, data string), func(string)) {})
	return history
}

// TestChanged follows a history by its changes, and compares with listings.
func TestChanged(t *testing.T) {
	r := openAt(t, newBare(t, everyChange()...), Options{})
	f := Filter{MaxBytes: 2000, SkipTests: true}
	files := map[string]File{}
	n := 0
	err := r.History(t.Context(), "main", "", func(s Step) error {
		n++
		changed, err := r.Changed(t.Context(), s, f)
		if err != nil {
			return err
		}
		for _, c := range s.Changes {
			delete(files, c.Path)
			if c.Status == 'R' {
				delete(files, c.From)
			}
		}
		for _, file := range changed.Files {
			files[file.Path] = file
		}
		want := snapshot(t, r, s.ID, f)
		got := slices.SortedFunc(maps.Values(files), compareFiles)
		if !slices.Equal(got, want.Files) {
			t.Errorf("%s: got %v, want %v", s.Subject, got, want.Files)
		}
		if changed.Commit != want.Commit || changed.Tree != want.Tree {
			t.Errorf("%s: commit %s, tree %s; want %s, %s", s.Subject, changed.Commit, changed.Tree, want.Commit, want.Tree)
		}
		for p, why := range reasons(changed) {
			if reasons(want)[p] != why {
				t.Errorf("%s: %q left out as %q, want %q", s.Subject, p, why, reasons(want)[p])
			}
		}
		return nil
	})
	if err != nil || n != len(everyChange()) {
		t.Errorf("%d commits, %v; want %d", n, err, len(everyChange()))
	}
}

func TestChangedRefuses(t *testing.T) {
	r := openAt(t, newBare(t, change{files: twoFiles}), Options{})
	absent := Step{Changes: []Change{{Status: 'A', Path: "a.py", Mode: "100644", Blob: strings.Repeat("ab", 20)}}}
	if _, err := r.Changed(t.Context(), absent, Filter{}); !errors.Is(err, ErrMissingObject) {
		t.Errorf("a blob that isn't there: got %v, want ErrMissingObject", err)
	}
	absent.Changes[0].Path = "a.txt"
	if s, err := r.Changed(t.Context(), absent, Filter{}); err != nil || len(s.Files) != 0 {
		t.Errorf("a blob that isn't there, nor wanted: got %v, %v", s, err)
	}
	if _, err := r.Changed(t.Context(), absent, Filter{MaxBytes: -1}); err == nil {
		t.Error("a bad filter: no error")
	}
	plain := openAt(t, t.TempDir(), Options{})
	if _, err := plain.Changed(t.Context(), Step{}, Filter{}); !errors.Is(err, ErrNotGit) {
		t.Errorf("without git: got %v, want ErrNotGit", err)
	}
}
