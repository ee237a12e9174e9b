package mine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/testutil"
)

// change is a commit of a test repository: all its files, on one branch.
type change struct {
	branch string // "main" if empty
	merge  []string
	day    int // after 2023-11-14; the number of the commit if 0
	files  map[string]string
}

// runGit runs git for a test, away from the user's configuration.
func runGit(t testing.TB, dir, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "LC_ALL=C")
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// newRepo makes a bare repository, and returns its path.
func newRepo(t testing.TB, history ...change) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("needs the git program: ", err)
	}
	dir := filepath.Join(t.TempDir(), "sample.git")
	runGit(t, "", "", "init", "--quiet", "--bare", "-b", "main", dir)
	addCommits(t, dir, 0, history...)
	return dir
}

// addCommits adds commits to a repository, as number first and so on. A branch
// that is there is continued.
func addCommits(t testing.TB, dir string, first int, history ...change) {
	t.Helper()
	var b bytes.Buffer
	begun := map[string]bool{}
	for i, c := range history {
		branch, day := c.branch, c.day
		if branch == "" {
			branch = "main"
		}
		if day == 0 {
			day = first + i
		}
		when := 1700000000 + 86400*day
		fmt.Fprintf(&b, "commit refs/heads/%s\nauthor A <a@example.com> %d +0000\ncommitter C <c@example.com> %d +0000\ndata 1\nx\n", branch, when, when)
		if first > 0 && !begun[branch] {
			fmt.Fprintf(&b, "from refs/heads/%s^0\n", branch)
		}
		begun[branch] = true
		for _, m := range c.merge {
			fmt.Fprintf(&b, "merge refs/heads/%s\n", m)
		}
		b.WriteString("deleteall\n")
		for _, name := range slices.Sorted(maps.Keys(c.files)) {
			mode, path := "100644", name
			if m, p, ok := strings.Cut(name, " "); ok { // "120000 path"
				mode, path = m, p
			}
			fmt.Fprintf(&b, "M %s inline %s\ndata %d\n%s\n", mode, path, len(c.files[name]), c.files[name])
		}
	}
	runGit(t, dir, b.String(), "fast-import", "--quiet")
}

// options are those of a test: a profile, tracks and kinds, in a folder.
func options(t testing.TB, p Profile, tracks []repopeft.Track, kinds ...repopeft.Kind) Options {
	o := Defaults(p)
	o.Dir, o.Tracks, o.Tool, o.MinTasks = t.TempDir(), tracks, "test", 0
	if len(kinds) > 0 {
		o.Kinds = kinds
	}
	return o
}

// run mines and reads everything back.
func run(t testing.TB, o Options, sources ...Source) (*repopeft.Manifest, []*repopeft.Task, []*repopeft.Commit) {
	t.Helper()
	m, err := Run(t.Context(), sources, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := repopeft.Open(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var tasks []*repopeft.Task
	for task, err := range b.Tasks(repopeft.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, task)
	}
	var commits []*repopeft.Commit
	for c, err := range b.Commits() {
		if err != nil {
			t.Fatal(err)
		}
		commits = append(commits, c)
	}
	return m, tasks, commits
}

// digests are those of a benchmark's files, and the manifest without them.
func digests(t testing.TB, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// show is a task on a line.
func show(task *repopeft.Task) string {
	return fmt.Sprintf("%d %s:%d %s %s|%s|%s", task.CommitIndex, task.File, task.Line, task.Event, task.InRepo, testutil.LastLine(task.Prefix), task.Target)
}

func showAll(tasks []*repopeft.Task) []string {
	var lines []string
	for _, t := range tasks {
		lines = append(lines, show(t))
	}
	return lines
}

func dropped(m *repopeft.Manifest, track repopeft.Track) map[string]int {
	all := counter{}
	for _, r := range m.Repositories {
		all.addAll(r.Tracks[track].Dropped)
	}
	return all
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
