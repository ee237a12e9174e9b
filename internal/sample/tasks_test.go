package sample

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/gitrepo"
)

// snapshot makes a plain source tree of files and lists it.
func snapshot(t *testing.T, files map[string]string) *gitrepo.Snapshot {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	repo, err := gitrepo.Open(context.Background(), dir, gitrepo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { repo.Close() })
	s, err := repo.Snapshot(context.Background(), "", gitrepo.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// testFile has n tests of one assertion each.
func testFile(word string, n int) string {
	var b strings.Builder
	b.WriteString("from pkg import *\n")
	for i := range n {
		fmt.Fprintf(&b, "\n\ndef test_%s_%d():\n    value = %s(%d)\n    assert value == %d\n", word, i, word, i, i*7+1)
	}
	return b.String()
}

func assertions(t *testing.T, s *gitrepo.Snapshot, n, lines int) []dataset.Task {
	t.Helper()
	tasks, err := Assertions(context.Background(), s, n, lines)
	if err != nil {
		t.Fatal(err)
	}
	return tasks
}

func TestAssertions(t *testing.T) {
	files := map[string]string{
		"pkg/__init__.py": "assert 1 == 2\n", "README.md": "assert a == b\n",
		"tests/test_a.py": testFile("alpha", 5), "tests/test_b.py": testFile("beta", 5), "tests/test_c.py": testFile("gamma", 1),
	}
	s := snapshot(t, files)
	for n, want := range map[int][3]int{ // tasks of each of the files
		0: {0, 0, 0}, 3: {1, 1, 1}, 5: {2, 2, 1}, 7: {3, 3, 1}, 100: {5, 5, 1},
	} {
		got := [3]int{}
		for _, task := range assertions(t, s, n, 60) {
			got[strings.Index("abc", strings.TrimSuffix(strings.TrimPrefix(task.File, "tests/test_"), ".py"))]++
			if !strings.Contains(files[task.File], task.Prefix+task.Target) {
				t.Errorf("%s:%d: prefix and target are not in the file", task.File, task.Line)
			}
		}
		if got != want {
			t.Errorf("%d assertions: %v of the files, want %v", n, got, want)
		}
	}

	// The choice is stable, also among other files, and more are more.
	three := assertions(t, s, 3, 60)
	again := assertions(t, snapshot(t, files), 3, 60)
	five := assertions(t, s, 5, 60)
	for i := range three {
		if three[i] != again[i] || three[i] != five[i] {
			t.Errorf("assertion %d: got %s:%d, %s:%d and %s:%d, want the same", i, three[i].File, three[i].Line,
				again[i].File, again[i].Line, five[i].File, five[i].Line)
		}
	}
	// Nobody picked the first ones.
	first := true
	for _, task := range assertions(t, s, 2, 60) {
		first = first && strings.HasSuffix(task.Function, "_0")
	}
	if first {
		t.Error("only the first assertions of the files were taken")
	}
}

func TestAssertionsPrefix(t *testing.T) {
	s := snapshot(t, map[string]string{"tests/test_a.py": testFile("alpha", 9)})
	for _, lines := range []int{1, 2, 4, 1000} {
		for _, task := range assertions(t, s, 9, lines) {
			got := strings.Split(task.Prefix, "\n")
			if len(got) > lines || lines <= 4 && len(got) != lines {
				t.Errorf("line %d: prefix of %d lines, want %d", task.Line, len(got), lines)
			}
			if last := got[len(got)-1]; last != "    assert value == " {
				t.Errorf("line %d: prefix ends in %q", task.Line, last)
			}
			if lines == 1000 && !strings.HasPrefix(task.Prefix, "from pkg import *\n") {
				t.Errorf("line %d: the prefix was cut, and it has fewer lines", task.Line)
			}
		}
	}
}

func TestAssertionsNone(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no tests":      {"pkg/a.py": testFile("alpha", 2)},
		"no assertions": {"tests/test_a.py": "def test_a():\n    pass\n"},
		"no Python":     {"tests/test_a.py": "\x00\x01\x02"},
	} {
		if got := assertions(t, snapshot(t, files), 3, 60); len(got) != 0 {
			t.Errorf("%s: got %d assertions, want none", name, len(got))
		}
	}
}

func TestLastLines(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{
		{"", 1, ""}, {"a", 1, "a"}, {"a\nb\nc", 1, "c"}, {"a\nb\nc", 2, "b\nc"}, {"a\nb\nc", 3, "a\nb\nc"}, {"a\nb\nc", 9, "a\nb\nc"},
		{"a\nb\n", 1, ""}, {"a\nb\n", 2, "b\n"}, {"a\nb", 0, "b"}, {"\n", 1, ""}, {"\n", 2, "\n"},
	} {
		if got := lastLines(c.s, c.n); got != c.want {
			t.Errorf("lastLines(%q, %d) = %q, want %q", c.s, c.n, got, c.want)
		}
	}
}
