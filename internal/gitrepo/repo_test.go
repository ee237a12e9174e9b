package gitrepo

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// entry is a file of a test repository. Mode "" is a regular file; the data of
// mode 160000 is a commit id.
type entry struct{ mode, path, data string }

// change is a commit of a test repository: all its files, on one branch.
type change struct {
	branch  string // "main" if empty
	message string
	zone    string // "+0000" if empty
	merge   string // branch to merge
	files   []entry
}

// runGit runs git for a test, away from the user's configuration.
func runGit(t testing.TB, dir, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{
		"-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main",
		"-c", "protocol.file.allow=always", "-c", "commit.gpgSign=false",
	}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "LC_ALL=C")
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// newBare makes a bare repository with the given history, by git fast-import.
func newBare(t testing.TB, history ...change) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("needs the git program: ", err)
	}
	dir := filepath.Join(t.TempDir(), "sample.git")
	runGit(t, "", "", "init", "--quiet", "--bare", dir)
	if len(history) == 0 {
		return dir
	}
	var b bytes.Buffer
	for i, c := range history {
		branch, zone, message := "main", "+0000", fmt.Sprintf("change %d", i)
		if c.branch != "" {
			branch = c.branch
		}
		if c.zone != "" {
			zone = c.zone
		}
		if c.message != "" {
			message = c.message
		}
		fmt.Fprintf(&b, "commit refs/heads/%s\nauthor A <a@example.com> %d %s\n", branch, 1700000000+60*i, zone)
		fmt.Fprintf(&b, "committer C <c@example.com> %d +0000\ndata %d\n%s\n", 1800000000+60*i, len(message), message)
		if c.merge != "" {
			fmt.Fprintf(&b, "merge refs/heads/%s\n", c.merge)
		}
		b.WriteString("deleteall\n")
		for _, f := range c.files {
			writeEntry(&b, f)
		}
	}
	runGit(t, dir, b.String(), "fast-import", "--quiet")
	return dir
}

func writeEntry(b *bytes.Buffer, f entry) {
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(f.path)
	if f.mode == "160000" {
		fmt.Fprintf(b, "M 160000 %s \"%s\"\n", f.data, quoted)
		return
	}
	mode := f.mode
	if mode == "" {
		mode = "100644"
	}
	fmt.Fprintf(b, "M %s inline \"%s\"\ndata %d\n%s\n", mode, quoted, len(f.data), f.data)
}

// openAt opens a repository and closes it with the test.
func openAt(t testing.TB, spec string, opt Options) *Repo {
	t.Helper()
	r, err := Open(t.Context(), spec, opt)
	if err != nil {
		t.Fatalf("Open(%q): %v", spec, err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func snapshot(t testing.TB, r *Repo, ref string, f Filter) *Snapshot {
	t.Helper()
	s, err := r.Snapshot(t.Context(), ref, f)
	if err != nil {
		t.Fatalf("Snapshot(%q): %v", ref, err)
	}
	return s
}

// texts returns what Each passes on, by path.
func texts(t testing.TB, s *Snapshot) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := s.Each(context.Background(), s.Files, func(f File, b []byte) error {
		m[f.Path] = string(b)
		return nil
	})
	if err != nil {
		t.Fatalf("Each: %v", err)
	}
	return m
}

// reasons returns why files were left out, by path.
func reasons(s *Snapshot) map[string]Reason {
	m := map[string]Reason{}
	for _, skip := range s.Skipped() {
		m[skip.Path] = skip.Reason
	}
	return m
}

func writeFile(t testing.TB, name, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

// paths joins the paths of files.
func paths(files []File) string {
	var p []string
	for _, f := range files {
		p = append(p, f.Path)
	}
	return strings.Join(p, " ")
}
