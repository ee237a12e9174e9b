package execute

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/repopeft"
)

// Python runs the test that a task is from, by pytest.
type Python struct {
	Interpreter string   // path of a Python that has pytest and what the repositories import
	Path        []string // folders below the repository that are put on its module path, besides the root
	Limits      Limits

	prefixes []string // folders in which the interpreter and its modules are
}

// Verdict is what running a test told about an answer.
type Verdict string

// The verdicts.
const (
	Passed Verdict = "passed"
	Failed Verdict = "failed" // it failed, broke, or took too long
	// Unrunnable: with the right answer the test doesn't pass either, so it says
	// nothing here.
	Unrunnable Verdict = "unrunnable"
	// Indifferent: the test passes whatever the answer is.
	Indifferent Verdict = "indifferent"
	// Refused: the answer is not exactly one expression, or it is what it would be
	// compared with, so that the test would pass without knowing anything. It
	// wasn't run, and is wrong.
	Refused Verdict = "refused"
)

// Control is an answer that is wrong wherever an answer matters: an object that
// equals nothing else and has no attributes.
const Control = "object()"

// Test is the test of one task, ready to be run with answers.
type Test struct {
	python     *Python
	dir        string
	task       *repopeft.Task
	source     []byte
	start, end int    // extent of the target in source, without a bracket that it doesn't open
	target     string // what is there
	compared   map[string]bool
	node       string
}

// Test prepares the test of an assertion. dir has the repository's files at the
// task's commit; it is only read.
func (p *Python) Test(dir string, t *repopeft.Task) (*Test, error) {
	if t.Kind != repopeft.Assertion || t.Language != "python" {
		return nil, fmt.Errorf("task %s is a %s in %s: only assertions of Python tests can be run", t.ID, t.Kind, t.Language)
	}
	if !strings.HasPrefix(t.Function, "test") {
		return nil, fmt.Errorf("task %s: function %q is not a test by its name", t.ID, t.Function)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	source, err := root.ReadFile(t.File)
	if err != nil {
		return nil, err
	}
	if t.Start < 0 || t.End < t.Start || t.End > len(source) || string(source[t.Start:t.End]) != t.Target {
		return nil, fmt.Errorf("task %s: %s does not have the target where the task says: this is another commit", t.ID, t.File)
	}
	node := t.File
	if t.Class != "" {
		node += "::" + t.Class
	}
	// Imported tasks count from the beginning of their prefix, which isn't always
	// the file as it is.
	if t.Start == len(t.Prefix) && string(source[:t.Start]) != t.Prefix {
		return nil, fmt.Errorf("task %s: what is before the target in %s isn't the task's prefix, so its place isn't known", t.ID, t.File)
	}
	// Targets of the paper's rules end with the closing bracket of their call.
	target := t.Target
	for !isExpression(target) {
		shorter, ok := strings.CutSuffix(target, ")")
		if !ok {
			return nil, fmt.Errorf("task %s: target %q is not one expression: answers can't be put in its place", t.ID, t.Target)
		}
		target = strings.TrimRight(shorter, " \t")
	}
	end := t.Start + len(target)
	return &Test{python: p, dir: dir, task: t, source: source, start: t.Start, end: end, target: target,
		compared: compared(source, t.Start, end), node: node + "::" + t.Function}, nil
}

// Run runs the test with an answer in place, in parentheses. The verdict is
// [Passed] or [Failed].
func (t *Test) Run(ctx context.Context, answer string) (Verdict, *Outcome, error) {
	var file []byte
	file = append(file, t.source[:t.start]...)
	file = append(append(append(file, '('), answer...), ')')
	file = append(file, t.source[t.end:]...)
	paths := []string{workDir}
	for _, p := range append([]string{"src", "lib"}, t.python.Path...) {
		if info, err := os.Stat(filepath.Join(t.dir, p)); err == nil && info.IsDir() {
			paths = append(paths, filepath.Join(workDir, p))
		}
	}
	word := rand.Text()
	plugin := "code2lora_" + strings.ToLower(word[:8])
	out, err := Run(ctx, Program{
		Dir:     t.dir,
		Replace: map[string][]byte{t.task.File: file, plugin + ".py": fmt.Appendf(nil, witness, word)},
		Argv: []string{t.python.Interpreter, "-m", "pytest", "-q", "-x", "--no-header", "--tb=line", "-p", "no:cacheprovider", "-p", plugin,
			"-o", "addopts=", "-W", "ignore", t.node},
		Env: []string{"PYTHONPATH=" + strings.Join(paths, ":"), "PYTHONDONTWRITEBYTECODE=1", "PYTHONHASHSEED=0",
			"PATH=" + filepath.Dir(t.python.Interpreter) + ":/usr/local/bin:/usr/bin:/bin"},
		Visible: t.python.prefixes,
	}, t.python.Limits)
	if err != nil {
		return "", nil, err
	}
	if out.ExitCode == 0 && bytes.Contains(out.Output, []byte(word)) {
		return Passed, out, nil
	}
	return Failed, out, nil
}

// witness is a plugin of pytest that says a word when tests have passed. An answer
// that ends the interpreter itself, and prints what pytest would, doesn't know it:
// the word is drawn for each run, and its file is gone before a test begins. (It
// is still in the memory of the process, where an answer made for this program
// could find it.)
const witness = `def make(word):
    def hook(terminalreporter, exitstatus):
        if exitstatus == 0 and terminalreporter.stats.get("passed"):
            terminalreporter.write_line(word)
    return hook

import os
pytest_terminal_summary = make("%s")
os.remove(__file__)
`

// Check runs the test with the right answer, with [Control], and then with each
// of the answers. The controls decide about all of them: where they say that
// the test is [Unrunnable] or [Indifferent], so it is for each answer. Answers
// that would make any test pass are [Refused].
func (t *Test) Check(ctx context.Context, answers []string) ([]Verdict, error) {
	all := func(v Verdict) []Verdict {
		out := make([]Verdict, len(answers))
		for i := range out {
			out[i] = v
		}
		return out
	}
	switch v, _, err := t.Run(ctx, t.target); {
	case err != nil:
		return nil, err
	case v != Passed:
		return all(Unrunnable), nil
	}
	switch v, _, err := t.Run(ctx, Control); {
	case err != nil:
		return nil, err
	case v == Passed:
		return all(Indifferent), nil
	}
	known := map[string]Verdict{t.target: Passed, t.task.Target: Passed}
	out := make([]Verdict, len(answers))
	for i, a := range answers {
		v, ok := known[a]
		switch {
		case ok:
		case !isExpression(a), t.compared[canonical(a)]:
			v = Refused
		default:
			var err error
			if v, _, err = t.Run(ctx, a); err != nil {
				return nil, err
			}
			known[a] = v
		}
		out[i] = v
	}
	return out, nil
}

// Ready finds out what the interpreter needs, and reports why it cannot run
// tests, or nil. It has to be called before the first test.
func (p *Python) Ready(ctx context.Context) error {
	if !filepath.IsAbs(p.Interpreter) {
		return fmt.Errorf("python %q: give its absolute path", p.Interpreter)
	}
	said, err := exec.CommandContext(ctx, p.Interpreter, "-I", "-c", "import sys; print(sys.prefix); print(sys.base_prefix)").Output()
	if err != nil {
		return fmt.Errorf("python %s: %w", p.Interpreter, err)
	}
	p.prefixes = slices.Compact(strings.Fields(string(said)))
	dir, err := os.MkdirTemp("", "code2lora-python")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	out, err := Run(ctx, Program{Dir: dir, Argv: []string{p.Interpreter, "-m", "pytest", "--version"}, Visible: p.prefixes}, p.Limits)
	switch {
	case err != nil:
		return err
	case out.ExitCode != 0:
		return fmt.Errorf("python %s has no pytest, install it there: %s", p.Interpreter, strings.TrimSpace(string(out.Output)))
	}
	return nil
}
