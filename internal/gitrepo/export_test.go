package gitrepo

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestExport(t *testing.T) {
	dir := t.TempDir()
	runGit(t, dir, "", "init", "--quiet")
	for name, content := range map[string]string{
		"a.py": "a\r\n", "sub/data.bin": "\x00\xff", "tests/t.py": "t", ".gitattributes": "tests export-ignore\n*.py text eol=lf\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	runGit(t, dir, "", "add", "--all")
	runGit(t, dir, "", "-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "--quiet", "-m", "x")
	r, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := t.TempDir()
	if err := r.Export(t.Context(), "HEAD", out); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a.py": "a\n", "sub/data.bin": "\x00\xff", "tests/t.py": "t"} {
		if got, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
		}
	}
	if info, err := os.Stat(filepath.Join(out, "a.py")); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("a.py is not executable: %v, %v", info, err)
	}
	if _, err := os.Lstat(filepath.Join(out, "link")); err == nil {
		t.Error("a link was written")
	}
	if err := r.Export(t.Context(), "nowhere", out); !errors.Is(err, ErrRef) {
		t.Errorf("got %v, want an unknown ref", err)
	}
}
