package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/execute"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// TestExecutable: where wrong answers are cut, running the others would find that
// nearly all pass.
func TestExecutable(t *testing.T) {
	run := func(dir string, answers ...*repopeft.Prediction) *gradedRun {
		r := &gradedRun{dir: dir, predictions: map[string]*repopeft.Prediction{}}
		for _, p := range answers {
			r.predictions[p.Task] = p
			r.scores = append(r.scores, &repopeft.Score{Task: p.Task})
		}
		return r
	}
	cut := run("cut", &repopeft.Prediction{Task: "a", Text: "1"}, &repopeft.Prediction{Task: "b", Text: "2 +", Partial: true})
	whole := run("whole", &repopeft.Prediction{Task: "a", Text: "1"}, &repopeft.Prediction{Task: "b", Text: "2 + 3"})
	var said bytes.Buffer
	a := &app{err: &said}
	scores, answers, err := a.executable([]*gradedRun{cut, whole})
	if err != nil || !slices.Equal(answers["a"], []string{"1"}) || !slices.Equal(answers["b"], []string{"2 + 3"}) ||
		len(scores["a"]) != 1 || scores["a"][0] != whole.scores[0] {
		t.Errorf("got answers %v and scores %v, %v, want those of the whole run alone", answers, scores, err)
	}
	if !strings.Contains(said.String(), "tests of cut are not run: 1 of its 2") {
		t.Errorf("got note %q, want the run that takes no part", &said)
	}
	if _, _, err := a.executable([]*gradedRun{cut}); err == nil || !strings.Contains(err.Error(), "--texts") {
		t.Errorf("no whole run: got %v, want what to do", err)
	}
}

// TestExecuteRepository: tests that cannot be run, or that pass with any answer,
// are not among those that were asked for.
func TestExecuteRepository(t *testing.T) {
	dir := t.TempDir()
	git := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=C", "-c", "user.email=c@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	var source string
	var tasks []*repopeft.Task
	for i := range 60 {
		name := "test"
		if i%3 == 0 {
			name = "check" // a helper
		}
		source += fmt.Sprintf("def %s_%d():\n    assert f() == ", name, i)
		tasks = append(tasks, &repopeft.Task{ID: fmt.Sprint(i), Repository: "o/r", File: "test_a.py", Language: "python", Kind: repopeft.Assertion,
			Function: fmt.Sprintf("%s_%d", name, i), Start: len(source), End: len(source) + 1, Target: "7"})
		source += "7\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "test_a.py"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	git("init", "--quiet")
	git("add", ".")
	git("commit", "--quiet", "-m", "x")
	commit := git("rev-parse", "HEAD")
	for _, task := range tasks {
		task.Commit = commit
	}
	repo, err := gitrepo.Open(t.Context(), dir, gitrepo.Options{Name: "o/r"})
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	for _, tt := range []struct {
		most        int
		decides     func(n int) bool
		tried, want int
	}{
		{4, func(int) bool { return true }, 4, 4},
		{4, func(n int) bool { return n%2 == 0 }, 8, 4}, // every second one is refused
		{4, func(int) bool { return false }, 20, 0},     // all are: five times as many are tried
		{100, func(int) bool { return true }, 40, 40},   // there are no more
	} {
		tried, decided := 0, 0
		err := executeRepository(t.Context(), &execute.Python{}, repo, slices.Clone(tasks), tt.most, func(*repopeft.Task, *execute.Test) (bool, error) {
			tried++
			if !tt.decides(tried) {
				return false, nil
			}
			decided++
			return true, nil
		})
		if err != nil || tried != tt.tried || decided != tt.want {
			t.Errorf("%d wanted: %d tried, %d decided, %v; want %d and %d", tt.most, tried, decided, err, tt.tried, tt.want)
		}
	}
}
