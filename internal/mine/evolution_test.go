package mine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/testutil"
)

const testHead = "from lib import widen\n\n\ndef test_widen():\n    assert widen(1) == 'one'\n    assert widen(2) == 'two'\n"

// growing is a history in which tests come, change and move.
func growing() []change {
	lib := map[string]string{"lib.py": "def widen(x):\n    return x\n", "README.md": "lib\n"}
	with := func(add map[string]string) map[string]string {
		all := map[string]string{}
		for _, m := range []map[string]string{lib, add} {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	return []change{
		{files: lib}, // 0: no tests
		{files: with(map[string]string{"tests/test_a.py": testHead})},                                                            // 1: two added
		{files: with(map[string]string{"tests/test_a.py": "# a comment\n" + testHead, "notes.md": "widen twice\n"})},             // 2: a shift
		{files: with(map[string]string{"tests/test_a.py": "# a comment\n" + strings.Replace(testHead, "'two'", "'zwei'", 1)})},   // 3: one modified
		{files: with(map[string]string{"tests/test_b.py": "# a comment\n" + strings.Replace(testHead, "'two'", "'zwei'", 1)})},   // 4: a rename
		{files: with(map[string]string{"tests/test_b.py": "# a comment\ndef test_widen(:\n    assert (\n"})},                     // 5: broken
		{files: with(map[string]string{"tests/test_b.py": "# a comment\n" + strings.Replace(testHead, "'two'", "'zwei'", 1)})},   // 6: whole again
		{files: with(map[string]string{"tests/test_b.py": testHead + "\n\ndef test_more():\n    assert widen(3) == 'three'\n"})}, // 7: one added, one modified
		{files: with(map[string]string{ // 8: one moved to another file, and one added
			"tests/test_b.py": testHead + "    assert widen(4) == 'four'\n",
			"tests/test_c.py": "def test_more():\n    assert widen(3) == 'three'\n"})},
		{files: lib}, // 9: no tests
	}
}

func TestEvolution(t *testing.T) {
	dir := newRepo(t, growing()...)
	o := options(t, Strict, evolutionTrack)
	o.Near = 0
	m, tasks, commits := run(t, o, Source{Name: trainName, Spec: dir})
	testutil.CompareLines(t, "tasks", showAll(tasks), []string{
		"0 tests/test_a.py:5 added train|    assert widen(1) == |'one'",
		"0 tests/test_a.py:6 added train|    assert widen(2) == |'two'",
		"1 tests/test_a.py:7 modified train|    assert widen(2) == |'zwei'",
		"2 tests/test_b.py:6 modified validation|    assert widen(2) == |'two'",
		"2 tests/test_b.py:10 added validation|    assert widen(3) == |'three'",
		"3 tests/test_b.py:7 added test|    assert widen(4) == |'four'",
	})
	var got []string
	for _, c := range commits {
		id := runGit(t, dir, "", "rev-parse", c.ID+"^1")
		if c.Parent != id {
			t.Errorf("commit %d: parent %s, want %s", c.Index, c.Parent, id)
		}
		var files []string
		for line := range strings.Lines(c.Diff) {
			if f, ok := strings.CutPrefix(line, "diff --git "); ok {
				files = append(files, strings.TrimSpace(f))
			}
		}
		got = append(got, fmt.Sprint(c.Index, " +", c.Added, " ~", c.Modified, " ", files))
	}
	testutil.CompareLines(t, "commits", got, []string{
		"0 +2 ~0 [a/README.md b/README.md a/lib.py b/lib.py]",
		"1 +0 ~1 []", // notes.md came and went since
		"2 +1 ~1 []",
		"3 +1 ~0 []",
	})
	if n := dropped(m, repopeft.Evolution)[string(reasonMoved)]; n != 1 {
		t.Errorf("moved: got %d, want 1", n)
	}
	// The paper's rule: whatever is above a task is part of its key.
	o = options(t, Paper, evolutionTrack)
	_, tasks, _ = run(t, o, Source{Name: testName, Spec: dir})
	testutil.CompareLines(t, "paper", showAll(tasks), []string{
		"0 tests/test_a.py:5 added train|    assert widen(1) == |'one'",
		"0 tests/test_a.py:6 added train|    assert widen(2) == |'two'",
		"1 tests/test_a.py:6 added train|    assert widen(1) == |'one'",
		"1 tests/test_a.py:7 added train|    assert widen(2) == |'two'",
		"2 tests/test_a.py:7 added train|    assert widen(2) == |'zwei'",
		"3 tests/test_b.py:6 added train|    assert widen(1) == |'one'",
		"3 tests/test_b.py:7 added train|    assert widen(2) == |'zwei'",
		"4 tests/test_b.py:5 added validation|    assert widen(1) == |'one'",
		"4 tests/test_b.py:6 added validation|    assert widen(2) == |'two'",
		"4 tests/test_b.py:10 added validation|    assert widen(3) == |'three'",
		"5 tests/test_b.py:7 added test|    assert widen(4) == |'four'",
		"5 tests/test_c.py:2 added test|    assert widen(3) == |'three'",
	})
}

// TestIncremental mines a history in steps, and compares the bytes with those of
// mining all of it at once. Only new commits are read.
func TestIncremental(t *testing.T) {
	history := growing()
	whole := newRepo(t, history...)
	for _, profile := range []Profile{Strict, Paper} {
		kinds := allKinds
		if profile == Paper {
			kinds = allKinds[:1]
		}
		o := options(t, profile, evolutionTrack, kinds...)
		source := Source{Name: trainName, Spec: whole, Commit: "main"}
		run(t, o, source)
		want := digests(t, o.Dir)
		o.Dir = t.TempDir()
		last := 0
		for _, at := range []int{1, 2, 5, 8, 9} {
			var read int
			source.Commit = fmt.Sprintf("main~%d", 9-at)
			if _, err := Run(t.Context(), []Source{source}, o, func(p Progress) { read = p.Commits }); err != nil {
				t.Fatal(err)
			}
			if read != at+1-last && profile == Strict {
				t.Errorf("up to commit %d: read %d commits, want %d", at, read, at+1-last)
			}
			last = at + 1
		}
		source.Commit = "main"
		run(t, o, source)
		if got := digests(t, o.Dir); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", profile, got, want)
		}
	}
}

// TestForcePush tells that a rewritten history is mined from its beginning.
func TestForcePush(t *testing.T) {
	history := growing()
	dir := newRepo(t, history...)
	o := options(t, Strict, evolutionTrack)
	run(t, o, Source{Name: trainName, Spec: dir})
	for i, c := range history[3:] { // the same until 2, then other dates
		c.day = 100 + i
		history[3+i] = c
	}
	other := newRepo(t, history...)
	fresh := options(t, Strict, evolutionTrack)
	run(t, fresh, Source{Name: trainName, Spec: other})
	read := 0
	if _, err := Run(t.Context(), []Source{{Name: trainName, Spec: other}}, o, func(p Progress) { read = p.Commits }); err != nil {
		t.Fatal(err)
	}
	if read != len(history) {
		t.Errorf("read %d commits, want all %d", read, len(history))
	}
	if got, want := digests(t, o.Dir), digests(t, fresh.Dir); got != want {
		t.Errorf("after a forced push: got\n%s\nwant\n%s", got, want)
	}
}

// TestInterrupted tells that what a run left behind its last state is cut off.
func TestInterrupted(t *testing.T) {
	dir := newRepo(t, growing()...)
	o := options(t, Strict, evolutionTrack)
	source := Source{Name: trainName, Spec: dir, Commit: "main~4"}
	run(t, o, source)
	shards, err := filepath.Glob(filepath.Join(o.Dir, "work", "*history*.jsonl.gz"))
	if err != nil || len(shards) != 1 {
		t.Fatalf("shards: %v, %v", shards, err)
	}
	f, err := os.OpenFile(shards[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("half a record"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	source.Commit = "main"
	run(t, o, source)
	fresh := options(t, Strict, evolutionTrack)
	run(t, fresh, source)
	if got, want := digests(t, o.Dir), digests(t, fresh.Dir); got != want {
		t.Errorf("after an interruption: got\n%s\nwant\n%s", got, want)
	}
	// A shard that is damaged is an error that says what to do, not other tasks.
	if err := os.WriteFile(shards[0], make([]byte, 1<<16), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), []Source{source}, o, nil); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("damaged shard: got %v", err)
	}
}

// TestBadInput mines what histories have that no test should: it is taken, or
// left out with a reason.
func TestBadInput(t *testing.T) {
	long := "def test_long():\n    assert f() == 1\n" + strings.Repeat("# filling filling filling filling filling\n", 300000)
	files := map[string]string{
		"tests/test_utf16.py":     "\xff\xfed\x00e\x00f\x00",
		"tests/test_nul.py":       "def test_a():\n    assert f() == 1\n" + strings.Repeat("# x\n", 3000) + "\x00",
		"tests/test_latin.py":     "# -*- coding: latin-1 -*-\ndef test_a():\n    assert f() == '\xe9'\n",
		"tests/test_bytes.py":     "def test_a():\n    assert f() == '\xe9'\n",
		"tests/test_bom.py":       "\xef\xbb\xbfdef test_bom():\n    assert bom() == 'bom'\n",
		"tests/test_long.py":      long,
		"tests/test_crlf.py":      "def test_crlf():\r\n    assert crlf() == 'crlf'\r\n    assert 2 == f(\r\n        3)\r\n",
		"tests/test_feed.py":      "import a\n\f\ndef test_feed():\n    assert feed() == 'feed'\n",
		"tests/test_broken.py":    "def test_whole():\n    assert whole() == 'whole'\n\ndef test_broken(:\n    assert ( == \n",
		"tests/test_empty.py":     "",
		"tests/test_generated.py": "# Code generated by x. DO NOT EDIT.\ndef test_a():\n    assert f() == 2\n",
		"120000 tests/test_link":  "test_bom.py",
		"vendor/tests/test_v.py":  "def test_v():\n    assert v() == 3\n",
	}
	moved := map[string]string{"100755 tests/test_crlf.py": files["tests/test_crlf.py"]}
	dir := newRepo(t, change{files: files},
		change{branch: "one", files: map[string]string{"tests/test_one.py": "def test_one():\n    assert one() == 'one'\n"}},
		change{branch: "two", files: map[string]string{"tests/test_two.py": "def test_two():\n    assert two() == 'two'\n"}},
		change{merge: []string{"one", "two"}, files: map[string]string{"tests/test_one.py": "def test_one():\n    assert one() == 'one'\n",
			"tests/test_two.py": "def test_two():\n    assert two() == 'two'\n"}},
		change{files: moved})
	o := options(t, Strict, bothTracks)
	o.PerCommit, o.Near = 0, 0
	first := runGit(t, dir, "", "rev-parse", "main~2")
	m, tasks, _ := run(t, o, Source{Name: testName, Spec: dir, Commit: first})
	var got []string
	for _, task := range tasks {
		if task.Track != repopeft.Static {
			t.Errorf("%s is there twice", show(task))
		}
		if files[task.File][task.Start:task.End] != task.Target {
			t.Errorf("%s: the file has %q there", show(task), files[task.File][task.Start:task.End])
		}
		got = append(got, task.Target)
	}
	testutil.CompareLines(t, "static", got, []string{"'bom'", "'whole'", "'crlf'", "'feed'"})
	if n := dropped(m, repopeft.Evolution)[string(reasonTwice)]; n != 4 {
		t.Errorf("same place in another track: got %d, want 4", n)
	}
	_, tasks, _ = run(t, o, Source{Name: testName, Spec: dir})
	got = nil
	for _, task := range tasks {
		got = append(got, string(task.Track)+" "+fmt.Sprint(task.CommitIndex)+" "+task.Target)
	}
	testutil.CompareLines(t, "all", got, []string{"static 0 'crlf'", "evolution 0 'bom'", "evolution 0 'whole'", "evolution 0 'crlf'", "evolution 0 'feed'",
		"evolution 1 'one'", "evolution 1 'two'"}) // a change of modes asks for nothing
	skipped := asJSON(t, m.Repository(testName).Skipped)
	for _, want := range []string{`"file contains a zero byte":`, `"file is not UTF-8":`, `"file is not UTF-8, but declares another encoding":`,
		`"file is too long":`, `"file is generated":`, `"file is vendored":1`, `"file with syntax errors, which was read around them":1`} {
		if !strings.Contains(skipped, want) {
			t.Errorf("skipped: %s lacks %s", skipped, want)
		}
	}
	// The paper's profile reads the same without failing.
	o = options(t, Paper, bothTracks)
	if _, tasks, _ = run(t, o, Source{Name: testName, Spec: dir}); len(tasks) == 0 {
		t.Error("paper: no tasks")
	}
}

// TestLongHistory tells that states are saved on the way, and that a history
// whose last commits are gone is mined again.
func TestLongHistory(t *testing.T) {
	if testing.Short() {
		t.Skip("1,200 commits")
	}
	var history []change
	for i := range 2*saveEvery + 200 {
		history = append(history, change{files: map[string]string{"test_a.py": fmt.Sprintf("def test_a():\n    assert f(%d) == %d\n", i%7, i)}})
	}
	dir := newRepo(t, history...)
	o := options(t, Strict, evolutionTrack)
	o.Near = 0
	_, tasks, commits := run(t, o, Source{Name: testName, Spec: dir})
	if len(commits) != len(history) || len(tasks) != len(history) {
		t.Errorf("got %d commits and %d tasks, want %d", len(commits), len(tasks), len(history))
	}
	repo, err := gitrepo.Open(t.Context(), dir, gitrepo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	id := runGit(t, dir, "", "rev-parse", "main~10")
	_, read, err := o.mineHistory(t.Context(), filepath.Join(o.Dir, "work"), repo, testName, id)
	if err != nil || read != len(history)-10 {
		t.Errorf("back to an older commit: read %d, %v; want %d", read, err, len(history)-10)
	}
}
