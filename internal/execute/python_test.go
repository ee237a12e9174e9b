//go:build linux

package execute

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/repopeft"
)

// python is a Python with pytest, or skips the test.
func python(t *testing.T) *Python {
	t.Helper()
	for _, name := range []string{os.Getenv("CODE2LORA_TEST_PYTHON"), "python3"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		out, err := exec.Command(path, "-c", "import pytest, sys; print(sys.executable)").Output()
		if err != nil {
			continue
		}
		p := &Python{Interpreter: strings.TrimSpace(string(out)), Limits: DefaultLimits()}
		switch err := p.Ready(context.Background()); {
		case errors.Is(err, ErrUnsupported):
			t.Skip(err)
		case err != nil:
			t.Fatal(err)
		}
		return p
	}
	t.Skip("no Python with pytest: name one in CODE2LORA_TEST_PYTHON")
	return nil
}

const testSource = `import pytest
from pkg.shapes import area, Square

class TestArea:
    @pytest.mark.parametrize("side", [2, 2.0])
    def test_square(self, side):
        assert area(Square(side)) == «4»

    def test_square_root(self):
        assert area(Square(1)) == 1

def test_anything():
    assert area(Square(3)) is not «None»

def test_broken():
    assert area(Square(3)) == «10»

def test_names():
    assert "é" and area(Square(2)) in «[3, 4]», "message"
`

// marked cuts the marks out of a source, and returns the tasks that they are
// around.
func marked(file, source string) (string, []*repopeft.Task) {
	var tasks []*repopeft.Task
	for {
		i, j := strings.Index(source, "«"), strings.Index(source, "»")
		if i < 0 {
			return source, tasks
		}
		target := source[i+len("«") : j]
		before := source[:i]
		def := before[strings.LastIndex(before, "def ")+4:]
		t := &repopeft.Task{ID: target, File: file, Kind: repopeft.Assertion, Language: "python",
			Function: def[:strings.Index(def, "(")], Start: i, End: i + len(target), Target: target}
		if strings.HasPrefix(def, "test_square") {
			t.Class = "TestArea"
		}
		tasks = append(tasks, t)
		source = before + target + source[j+len("»"):]
	}
}

func TestPython(t *testing.T) {
	p := python(t)
	dir := t.TempDir()
	source, tasks := marked("tests/test_shapes.py", testSource)
	for name, content := range map[string]string{
		"src/pkg/__init__.py": "",
		"src/pkg/shapes.py":   "class Square:\n    def __init__(self, side): self.side = side\n\ndef area(s): return s.side * s.side\n",
		"setup.cfg":           "[tool:pytest]\naddopts = --no-such-option\n",
		tasks[0].File:         source,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	hostile := `4 if [__import__("os")._exit(0)] else 4`
	for i, tt := range []struct {
		answers []string
		want    []Verdict
	}{
		{[]string{"4", "2 + 2", "5", "2 +", hostile, ""}, []Verdict{Passed, Passed, Failed, Refused, Failed, Refused}},
		{[]string{"None", "3"}, []Verdict{Indifferent, Indifferent}},
		{[]string{"9"}, []Verdict{Unrunnable}},
		{[]string{"(4,)", "[5]"}, []Verdict{Passed, Failed}},
	} {
		test, err := p.Test(dir, tasks[i])
		if err != nil {
			t.Fatal(err)
		}
		got, err := test.Check(context.Background(), tt.answers)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: answers %q: got %v, want %v", tasks[i].Function, tt.answers, got, tt.want)
			_, out, _ := test.Run(context.Background(), tt.answers[0])
			t.Logf("%s", out.Output)
		}
	}
	if after, err := os.ReadFile(filepath.Join(dir, tasks[0].File)); err != nil || string(after) != source {
		t.Errorf("the test file was changed: %v", err)
	}
}

// TestForged: an answer that says itself that the test has passed.
func TestForged(t *testing.T) {
	p := python(t)
	dir := t.TempDir()
	source, tasks := marked("test_x.py", "def test_x():\n    assert 1 + 1 == «2»\n")
	if err := os.WriteFile(filepath.Join(dir, "test_x.py"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	test, err := p.Test(dir, tasks[0])
	if err != nil {
		t.Fatal(err)
	}
	const forge = "import os\nfor f in range(1, 40):\n try: os.write(f, b'1 passed in 0.01s\\n')\n except OSError: pass\nos._exit(0)"
	for _, answer := range []string{fmt.Sprintf("exec(%q)", forge)} {
		got, err := test.Check(context.Background(), []string{answer})
		if err != nil {
			t.Fatal(err)
		}
		if got[0] != Failed {
			_, out, _ := test.Run(context.Background(), answer)
			t.Errorf("%s: got %s, want %s: %s", answer, got[0], Failed, out.Output)
		}
	}
}

func TestPythonRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "test_x.py"), []byte("def test_x():\n    assert 1 == 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	good := repopeft.Task{ID: "x", File: "test_x.py", Kind: repopeft.Assertion, Language: "python", Function: "test_x", Start: 30, End: 31, Target: "1"}
	p := &Python{Interpreter: "/usr/bin/python3", Limits: DefaultLimits()}
	if _, err := p.Test(dir, &good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*repopeft.Task){
		"another kind":     func(t *repopeft.Task) { t.Kind = repopeft.Call },
		"another language": func(t *repopeft.Task) { t.Language = "go" },
		"no test":          func(t *repopeft.Task) { t.Function = "helper" },
		"another place":    func(t *repopeft.Task) { t.Start, t.End = 29, 30 },
		"beyond the end":   func(t *repopeft.Task) { t.End = 1000 },
		"no such file":     func(t *repopeft.Task) { t.File = "test_y.py" },
		"another prefix":   func(t *repopeft.Task) { t.Prefix = strings.Repeat("x", t.Start) },
		"no expression":    func(t *repopeft.Task) { t.Start, t.End, t.Target = 28, 31, "= 1" },
		"outside":          func(t *repopeft.Task) { t.File = "../" + filepath.Base(dir) + "/test_x.py" },
	} {
		task := good
		change(&task)
		if _, err := p.Test(dir, &task); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, path := range []string{"python3", "/nowhere/bin/python"} {
		if err := (&Python{Interpreter: path, Limits: DefaultLimits()}).Ready(context.Background()); err == nil {
			t.Errorf("python %s: no error", path)
		}
	}
}

// TestTrivial: answers with which an assertion would hold whatever is right.
func TestTrivial(t *testing.T) {
	p := python(t)
	dir := t.TempDir()
	source, tasks := marked("test_x.py", `import unittest

def f(x=2): return 2 * x

def test_f():
    assert f() == «4», "message"

def test_paper():
    assert isinstance(f(), «int)»

def test_itself():
    assert f() == «f()»

class TestArea(unittest.TestCase):
    def test_square(self):
        self.assertEqual(f(2), «4»)
`)
	if err := os.WriteFile(filepath.Join(dir, "test_x.py"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct {
		answers []string
		want    []Verdict
	}{
		{[]string{"4", "(4)", "3 or True", "4 or True", "f()", "( f( ) )", "f(2)", "4) or (True", "4 # ", "4\n    assert 1", "3 == 3 or 4", "4, 3"},
			[]Verdict{Passed, Passed, Failed, Passed, Refused, Refused, Passed, Refused, Refused, Refused, Failed, Refused}},
		{[]string{"int)", "int", "str", "(int, str)", "f()"}, []Verdict{Passed, Passed, Failed, Passed, Refused}},
		{[]string{"f()", "4", "5"}, []Verdict{Passed, Passed, Failed}},
		{[]string{"4", "f(2)", "f( 2 )", "yield 5", "5, 4)#", "f(1 + 1)"}, []Verdict{Passed, Refused, Refused, Refused, Refused, Passed}},
	} {
		test, err := p.Test(dir, tasks[i])
		if err != nil {
			t.Fatal(err)
		}
		got, err := test.Check(context.Background(), tt.answers)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: answers %q:\n got %v\nwant %v", tasks[i].Function, tt.answers, got, tt.want)
		}
	}
}
