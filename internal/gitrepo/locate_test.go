package gitrepo

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLocate(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"a+one", "a/two/.git", "three.git", "a+four/repo"} {
		path := filepath.Join(dir, filepath.FromSlash(d))
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if filepath.Base(path) != ".git" {
			if err := os.WriteFile(filepath.Join(path, "HEAD"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, want := range map[string]string{
		"a/one": "a+one", "a/two": "a/two", "a/three": "three.git", "a/four": "a+four/repo",
	} {
		if got := Locate(dir, name); got != filepath.Join(dir, filepath.FromSlash(want)) {
			t.Errorf("%s: got %s, want %s below %s", name, got, want, dir)
		}
	}
	for _, mirrors := range []string{dir, ""} {
		if got := Locate(mirrors, "a/five"); got != "https://github.com/a/five" {
			t.Errorf("a/five with mirrors %q: got %s, want its URL", mirrors, got)
		}
	}
}

func TestIsRemote(t *testing.T) {
	for spec, want := range map[string]bool{".": false, "a/b": false, "file:///tmp/x": false, "https://example.com/a/b": true, "git@example.com:a/b": true} {
		if got := IsRemote(spec); got != want {
			t.Errorf("%s: got %t, want %t", spec, got, want)
		}
	}
}
