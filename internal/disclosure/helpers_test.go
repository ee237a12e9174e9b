package disclosure

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/gitrepo"
)

// newRepo makes a bare repository with one commit for each map of files, and
// returns it with the ids of the commits.
func newRepo(t testing.TB, history ...map[string]string) (*gitrepo.Repo, []string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sample.git")
	runGit(t, "", nil, "init", "--quiet", "--bare", dir)
	var b bytes.Buffer
	for i, files := range history {
		fmt.Fprintf(&b, "commit refs/heads/main\ncommitter C <c@example.com> %d +0000\ndata 1\nx\ndeleteall\n", 1800000000+60*i)
		for path, data := range files {
			fmt.Fprintf(&b, "M 100644 inline %s\ndata %d\n%s\n", path, len(data), data)
		}
	}
	runGit(t, dir, b.Bytes(), "fast-import", "--quiet")
	ids := strings.Fields(runGit(t, dir, nil, "rev-list", "--reverse", "main"))
	r, err := gitrepo.Open(t.Context(), dir, gitrepo.Options{Name: "owner/sample"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, ids
}

func runGit(t testing.TB, dir string, stdin []byte, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "init.defaultBranch=main"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "LC_ALL=C")
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func newRepository(t testing.TB, r *gitrepo.Repo, commit string, level Level, languages ...string) *Repository {
	t.Helper()
	if len(languages) == 0 {
		languages = []string{"python"}
	}
	repo, err := NewRepository(t.Context(), r, commit, level, languages)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// texts returns what a view yields, by path.
func texts(t testing.TB, v *View) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := v.Each(t.Context(), v.Blobs(), func(b encoder.Blob, text []byte) error {
		m[b.Path] = string(text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// paths returns the paths of blobs, separated by spaces.
func paths(blobs []encoder.Blob) string {
	var all []string
	for _, b := range blobs {
		all = append(all, b.Path)
	}
	return strings.Join(all, " ")
}

// function returns a Python function whose body is unlike that of any other
// number.
func function(name string, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "def %s(value_%d):\n", name, n)
	for i := range 8 {
		fmt.Fprintf(&b, "    value_%d = step_%d_%d(value_%d, %d)\n", n, n, i, n, 100*n+i)
	}
	return b.String() + fmt.Sprintf("    return value_%d\n\n\n", n)
}
