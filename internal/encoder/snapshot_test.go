package encoder

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/gitrepo"
)

// TestDescriptionFilter describes a clone that lacks a table of data, as partial
// ones may.
func TestDescriptionFilter(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("needs git")
	}
	dir := t.TempDir()
	git := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.org",
			"-c", "commit.gpgsign=false"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	for name, text := range map[string]string{"ReadMe.rst": "It counts owls.\n", "src/owl/count.py": "n = 1\n", "src/owl/data.txt": "1\n"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git("init", "-q")
	git("add", ".")
	git("commit", "-qm", "all")
	id := git("rev-parse", "HEAD:src/owl/data.txt")
	if err := os.Remove(filepath.Join(dir, ".git", "objects", id[:2], id[2:])); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	repo, err := gitrepo.Open(ctx, dir, gitrepo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	o := Options{Kind: KindDescription}
	snap, err := repo.Snapshot(ctx, "", o.Filter(gitrepo.Filter{}))
	if err != nil {
		t.Fatal(err)
	}
	text, files, err := Describe(ctx, FromSnapshot(snap))
	if err != nil || files != 1 || !strings.Contains(text, "Packages: owl\n") || !strings.Contains(text, "counts owls") {
		t.Errorf("described as %q from %d files, %v", text, files, err)
	}
}
