package mine

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// assertions is a test file of n tasks, whose answers have a name in them.
func assertions(name string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "def test_%d():\n    assert make(%d) == \"%s answer %d\"\n\n\n", i, i, name, i)
	}
	return b.String()
}

// TestTasks compares the tasks of a commit with those of the static track, and
// looks at which of them a cap leaves.
func TestTasks(t *testing.T) {
	first := map[string]string{"src/shop.py": "def make(n):\n    assert n == len(str(n))\n    return n\n", "tests/test_a.py": assertions("a", 9), "tests/test_b.py": assertions("b", 3)}
	second := map[string]string{"src/shop.py": "def make(n):\n    return str(n)\n", "tests/test_a.py": assertions("a", 8), "tests/test_b.py": assertions("b", 3), "tests/test_c.py": assertions("c", 1)}
	none := map[string]string{"src/shop.py": "def make(n):\n    return n\n"}
	dir := newRepo(t, change{files: first}, change{files: second}, change{files: none})
	repo, err := gitrepo.Open(t.Context(), dir, gitrepo.Options{Name: "owner/shop"})
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	rules := Defaults(Strict).Rules
	at := func(rules Rules, ref string) (tasks []*repopeft.Task, byFile map[string]int) {
		t.Helper()
		id, err := repo.Resolve(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		if tasks, err = rules.Tasks(t.Context(), repo, id); err != nil {
			t.Fatal(err)
		}
		byFile = map[string]int{}
		for _, task := range tasks {
			byFile[task.File]++
		}
		return tasks, byFile
	}

	o := options(t, Strict, []repopeft.Track{repopeft.Static})
	_, want, _ := run(t, o, Source{Name: "owner/shop", Spec: dir, Commit: runGit(t, dir, "", "rev-parse", "main~1")})
	got, _ := at(rules, "main~1")
	byID := func(a, b *repopeft.Task) int { return strings.Compare(a.ID, b.ID) }
	slices.SortFunc(got, byID)
	slices.SortFunc(want, byID)
	if len(got) != 12 || !reflect.DeepEqual(got, want) {
		t.Errorf("got %d tasks, want the %d of the static track", len(got), len(want))
	}

	if tasks, _ := at(rules, "main"); len(tasks) != 0 {
		t.Errorf("without tests: got %d tasks", len(tasks))
	}

	// A cap is spread over files, and takes what two commits have at both.
	rules.PerFile, rules.PerRepository = 1, 6
	tasks, byFile := at(rules, "main~1")
	if len(tasks) != 6 || byFile["tests/test_a.py"] > 3 || byFile["tests/test_c.py"] > 1 || len(byFile) < 2 {
		t.Errorf("6 tasks of three files: got %v", byFile)
	}
	rules.PerRepository = 2
	earlier, byFile := at(rules, "main~2")
	if len(earlier) != 2 || byFile["tests/test_a.py"] != 1 || byFile["tests/test_b.py"] != 1 {
		t.Errorf("2 tasks of two files: got %v", byFile)
	}
	rules.PerRepository = 3
	later, byFile := at(rules, "main~1")
	if len(later) != 3 || len(byFile) != 3 {
		t.Errorf("3 tasks of three files: got %v", byFile)
	}
	if b := func(tasks []*repopeft.Task) string { return tasks[1].File + tasks[1].Target }; b(earlier) != b(later) {
		t.Errorf("of tests/test_b.py, which didn't change: got %s, then %s", b(earlier), b(later))
	}
}
