package gitrepo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// steps returns a history a line each: subject, number of parents and changes.
func steps(t testing.TB, r *Repo, ref, from string) ([]string, []Step) {
	t.Helper()
	var lines []string
	var all []Step
	err := r.History(t.Context(), ref, from, func(s Step) error {
		line := fmt.Sprintf("%s %d:", s.Subject, len(s.Parents))
		for _, c := range s.Changes {
			line += fmt.Sprintf(" %c %s", c.Status, c.Path)
			if c.From != "" {
				line += " < " + c.From
			}
			if !c.Regular() {
				line += " (" + c.Mode + ")"
			}
		}
		lines, all = append(lines, line), append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines, all
}

const longText = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n"

// eventful has what histories can have.
func eventful() []change {
	return []change{
		{message: "root", files: []entry{{"", "a.py", longText}}},
		{message: "odd names", files: []entry{{"", "a.py", longText}, {"", "d\n\"é\".py", "x"}}},
		{message: "rename", files: []entry{{"", "b.py", longText + "nine\n"}, {"", "d\n\"é\".py", "x"}}},
		{branch: "side", message: "s", files: []entry{{"", "s.py", "s"}}},
		{branch: "other", message: "o", files: []entry{{"", "o.py", "o"}}},
		{message: "octopus", merge: "side\nmerge refs/heads/other", files: []entry{{"", "b.py", longText + "nine\n"}, {"", "s.py", "s"}, {"", "o.py", "o"}}},
		{message: "empty", files: []entry{{"", "b.py", longText + "nine\n"}, {"", "s.py", "s"}, {"", "o.py", "o"}}},
		{message: "modes", files: []entry{{"100755", "b.py", longText + "nine\n"}, {"120000", "s.py", "b.py"},
			{"160000", "sub", "0123456789012345678901234567890123456789"}}},
	}
}

func TestHistory(t *testing.T) {
	r := openAt(t, newBare(t, eventful()...), Options{})
	got, all := steps(t, r, "main", "")
	want := []string{
		"root 0: A a.py",
		"odd names 1: A d\n\"é\".py",
		"rename 1: R b.py < a.py",
		"octopus 3: D d\n\"é\".py () A o.py A s.py",
		"empty 1:",
		"modes 1: M b.py D o.py () T s.py (120000) A sub (160000)",
	}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Fatalf("history: got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i := range all { // from every commit, what is behind it
		rest, _ := steps(t, r, "main", all[i].ID)
		if strings.Join(rest, "|") != strings.Join(want[i+1:], "|") {
			t.Errorf("from commit %d: got %q, want %q", i, rest, want[i+1:])
		}
	}
	root, err := r.Root(t.Context(), "main")
	if err != nil || root.ID != all[0].ID || !root.Time.Equal(all[0].Time) || root.Time.IsZero() {
		t.Errorf("root: got %v, %v, want %v", root, err, all[0].Commit)
	}
	top, err := r.Top(t.Context(), "main")
	if err != nil || len(top) != 1 || top[0].Path != "b.py" || top[0].Size != int64(len(longText)+5) {
		t.Errorf("top: got %v, %v, want b.py, the only regular file", top, err)
	}
}

func TestHistoryRewritten(t *testing.T) {
	r := openAt(t, newBare(t, eventful()...), Options{})
	_, all := steps(t, r, "main", "")
	side, err := r.Resolve(t.Context(), "side")
	if err != nil {
		t.Fatal(err)
	}
	none := func(Step) error { return errors.New("called") }
	for name, from := range map[string]string{
		"merged, but on no first-parent history": side,
		"unknown":                                "0123456789012345678901234567890123456789",
	} {
		if err := r.History(t.Context(), "main", from, none); !errors.Is(err, ErrNotAncestor) {
			t.Errorf("%s: got %v, want ErrNotAncestor", name, err)
		}
	}
	if err := r.History(t.Context(), all[1].ID, all[4].ID, none); !errors.Is(err, ErrNotAncestor) {
		t.Errorf("backwards: got %v, want ErrNotAncestor", err)
	}
	if err := r.History(t.Context(), "main", all[len(all)-1].ID, none); err != nil {
		t.Errorf("from the last commit: %v", err)
	}
	stop := errors.New("enough")
	if err := r.History(t.Context(), "main", "", func(Step) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error of the callback: got %v, want %v", err, stop)
	}
}

func TestBlobs(t *testing.T) {
	r := openAt(t, newBare(t, eventful()...), Options{})
	_, all := steps(t, r, "main", "")
	b, err := r.Blobs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	blob := all[0].Changes[0].Blob
	for range 2 { // what fails doesn't disturb what follows
		if raw, err := b.Read(blob, 1000); err != nil || string(raw) != longText {
			t.Errorf("read: got %q, %v", raw, err)
		}
		if _, err := b.Read(blob, 10); !errors.Is(err, ErrTooLarge) {
			t.Errorf("of more than 10 bytes: got %v, want ErrTooLarge", err)
		}
		if _, err := b.Read("0123456789012345678901234567890123456789", 10); !errors.Is(err, ErrMissingObject) {
			t.Errorf("missing: got %v, want ErrMissingObject", err)
		}
		if _, err := b.Read("HEAD", 10); err == nil {
			t.Error("a name: no error")
		}
		if _, err := b.Read(all[0].Tree, 1000); err == nil || !strings.Contains(err.Error(), "is a tree") {
			t.Errorf("a tree: got %v", err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	dead, err := r.Blobs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	stop()
	for range 100 { // the process may answer until it is killed
		if _, err = dead.Read(blob, 1000); err != nil {
			break
		}
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestDiffs(t *testing.T) {
	r := openAt(t, newBare(t, eventful()...), Options{})
	_, all := steps(t, r, "main", "")
	d, err := r.Diffs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	any := func(string) bool { return true }
	between := func(from, to string, max int, keep func(string) bool) (string, bool) {
		t.Helper()
		diff, err := d.Between(from, to, max, keep)
		if err != nil {
			t.Fatal(err)
		}
		return diff.Text, diff.Cut
	}
	text, cut := between("", all[0].Tree, 1000, any)
	if cut || !strings.HasPrefix(text, "diff --git a/a.py b/a.py\nnew file mode 100644\n") || !strings.HasSuffix(text, "\n+seven\n+eight\n") {
		t.Errorf("first commit: got %q", text)
	}
	text, _ = between(all[1].Tree, all[2].Tree, 1000, any)
	if !strings.Contains(text, "rename from a.py\nrename to b.py\n") || !strings.Contains(text, "@@ -6,3 +6,4 @@ five\n six\n seven\n eight\n+nine\n") {
		t.Errorf("rename: got %q", text)
	}
	missing := "0123456789012345678901234567890123456789"
	for _, trees := range [][2]string{{all[0].Tree, missing}, {missing, all[0].Tree}, {"", missing}} {
		if diff, err := d.Between(trees[0], trees[1], 1000, any); !errors.Is(err, ErrMissingObject) {
			t.Errorf("diff of %q: got %v, %v; want ErrMissingObject", trees, diff, err)
		}
	}
	if text, _ = between(all[2].Tree, all[2].Tree, 1000, any); text != "" {
		t.Errorf("no change: got %q", text)
	}
	text, _ = between(all[2].Tree, all[3].Tree, 1000, func(p string) bool { return p == "d\n\"é\".py" || p == "s.py" })
	if strings.Count(text, "diff --git") != 2 || strings.Contains(text, "o.py") {
		t.Errorf("two files of three: got %q", text)
	}
	text, cut = between("", all[0].Tree, 200, any)
	if !cut || len(text) > 200 || !strings.HasSuffix(text, "\n") {
		t.Errorf("cut: got %d bytes, %t: %q", len(text), cut, text)
	}
	if _, err := d.Between("x", all[0].Tree, 1, any); err == nil {
		t.Error("a name: no error")
	}
}

// TestHistoryMissing reads the history of a clone that lacks the contents of a
// file which another one was renamed from.
func TestHistoryMissing(t *testing.T) {
	dir := newBare(t,
		change{message: "root", files: []entry{{"", "a.bin", longText + longText}, {"", "a.py", "a\n"}}},
		change{message: "rename", files: []entry{{"", "b.bin", longText + longText + "x\n"}, {"", "a.py", "b\n"}}},
		change{message: "later", files: []entry{{"", "b.bin", longText + longText + "x\n"}, {"", "c.py", "b\n"}}})
	r := openAt(t, dir, Options{})
	_, all := steps(t, r, "main", "")
	blob := all[0].Changes[0].Blob
	if err := os.Remove(filepath.Join(dir, "objects", blob[:2], blob[2:])); err != nil {
		t.Fatal(err)
	}
	got, _ := steps(t, r, "main", "")
	want := "root 0: A a.bin A a.py|rename 1: D a.bin () M a.py A b.bin|later 1: R c.py < a.py"
	if strings.Join(got, "|") != want {
		t.Errorf("history: got %q, want %q", got, want)
	}
	d, err := r.Diffs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range 2 {
		diff, err := d.Between(all[0].Tree, all[1].Tree, 1000, func(p string) bool { return p == "a.py" })
		if err != nil || diff.Cut || diff.Unlike || !strings.HasSuffix(diff.Text, "-a\n+b\n") || strings.Contains(diff.Text, "bin") {
			t.Errorf("a file that is there: got %v, %v, want its diff, that of a whole clone", diff, err)
		}
		if _, err := d.Between(all[0].Tree, all[1].Tree, 1000, func(string) bool { return true }); !errors.Is(err, ErrMissingObject) {
			t.Errorf("all files: got %v, want ErrMissingObject", err)
		}
		if diff, err := d.Between(all[1].Tree, all[2].Tree, 1000, func(string) bool { return true }); err != nil || diff.Unlike || !strings.Contains(diff.Text, "rename to c.py") {
			t.Errorf("after an error: got %v, %v", diff, err)
		}
	}
}

// TestDiffsMissing takes one object after the other from a repository: a diff is
// that of a complete clone, or says that it may not be, or is refused.
func TestDiffsMissing(t *testing.T) {
	long := func(end string) string { return longText + longText + end }
	dir := newBare(t,
		change{message: "root", files: []entry{{"", "a.py", long("a\n")}, {"", "b.bin", long("b\n")}, {"", "c.py", "c\n"}, {"", "x", "x\n"}}},
		change{message: "two", files: []entry{{"", "d.py", long("d\n")}, {"", "b.bin", long("bb\n")}, {"", "c.py", "cc\n"}, {"", "x/y.bin", "y\n"}}},
		change{message: "three", files: []entry{{"", "d.py", long("d\n")}, {"", "e.bin", long("e\n")}, {"", "c.py", "c\n"}, {"", "f.py", "f\n"}}},
		change{message: "four", files: []entry{{"", "e.bin", long("e\n")}, {"", "g.bin", long("g\n")}, {"", "c.py", "c\n"}}},
		change{message: "five", files: []entry{{"", "e.bin", long("ee\n")}, {"", "h.py", long("h\n")}, {"", "c.py", "c c\n"}}},
		change{message: "six", files: []entry{{"", "i.bin", long("b\n")}, {"", "c.py", "c\n"}}},
		change{message: "seven", files: []entry{{"", "i.py", long("a\n")}, {"", "z/b.bin", long("bb\n")}, {"", "j/e.bin", long("e\n")}}})
	r := openAt(t, dir, Options{})
	_, all := steps(t, r, "main", "")
	python := func(p string) bool { return strings.HasSuffix(p, ".py") }
	diffs := func() (list []Diff, errs []error) {
		d, err := r.Diffs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for i := range all {
			for j := range all {
				diff, err := d.Between(all[i].Tree, all[j].Tree, 1<<20, python)
				list, errs = append(list, diff), append(errs, err)
			}
		}
		return list, errs
	}
	want, errs := diffs()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	var same, unlike, refused int
	for blob := range blobsOf(all) {
		path := filepath.Join(dir, "objects", blob[:2], blob[2:])
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		got, errs := diffs()
		for i := range got {
			switch {
			case errors.Is(errs[i], ErrMissingObject):
				refused++
			case errs[i] != nil:
				t.Errorf("without %s: %v", blob, errs[i])
			case got[i].Unlike:
				unlike++
			case got[i] != want[i]:
				t.Errorf("without %s: got %q, want %q", blob, got[i].Text, want[i].Text)
			default:
				same++
			}
		}
		if err := os.WriteFile(path, raw, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	if same == 0 || unlike == 0 || refused == 0 {
		t.Errorf("%d diffs are the same, %d unlike, %d refused: want some of each", same, unlike, refused)
	}
	t.Logf("%d diffs are the same, %d unlike, %d refused", same, unlike, refused)
}

// blobsOf are the blobs of the files that some commits change.
func blobsOf(all []Step) map[string]bool {
	ids := map[string]bool{}
	for _, s := range all {
		for _, c := range s.Changes {
			if c.Blob != "" {
				ids[c.Blob] = true
			}
		}
	}
	return ids
}

// TestStepsCut ends the output of git log everywhere: what has been cut must not
// be taken for a commit.
func TestStepsCut(t *testing.T) {
	a, b, none := strings.Repeat("a", 40), strings.Repeat("b", 40), strings.Repeat("0", 40)
	commit := func(id string) string {
		entry := ":000000 100644 " + none + " " + id + " A\x00"
		return "commit\x00" + id + "\x00" + id + "\x00\x001 +0000\x00s\x00\n" + entry + "p.py\x00" + entry + "q.py\x00"
	}
	first, out := commit(a), commit(a)+commit(b)
	for n := range len(out) + 1 {
		called := 0
		last, err := readSteps(bufio.NewReader(strings.NewReader(out[:n])), func(s Step) error {
			called++
			if s.ID != a || len(s.Changes) != 2 {
				t.Errorf("output cut at %d: got %v, want the whole first commit", n, s)
			}
			return nil
		})
		want := 0
		if n >= len(first)+len("commit\x00") {
			want = 1
		}
		if called != want {
			t.Errorf("output cut at %d: %d commits, want %d", n, called, want)
		}
		whole := n == len(first) || n == len(out)
		if whole && (err != nil || last == nil || len(last.Changes) != 2) {
			t.Errorf("output cut at %d: got %v, %v, want a whole commit", n, last, err)
		}
		if whole || n == 0 || errors.Is(err, errOutputEnded) {
			continue
		}
		if err != nil || last == nil || len(last.Changes) == 2 { // a cut between entries only the status tells
			t.Errorf("output cut at %d: got %v, %v, want an early end", n, last, err)
		}
	}
}

// TestHistoryKilled follows a history whose git writes half of a commit, and dies.
func TestHistoryKilled(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	r := openAt(t, newBare(t, eventful()...), Options{})
	want, all := steps(t, r, "main", "")
	script := filepath.Join(t.TempDir(), "git")
	writeFile(t, script, "#!/bin/sh\ncase \" $* \" in *\" log \"*) '"+r.git.bin+"' \"$@\" | head -c 1100; exit 137 ;; esac\nexec '"+r.git.bin+"' \"$@\"\n")
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	r = openAt(t, r.path, Options{})
	r.git.bin = script
	n := 0
	err := r.History(t.Context(), "main", "", func(s Step) error {
		if len(s.Changes) != len(all[n].Changes) {
			t.Errorf("%s: got %d changes, want %d", want[n], len(s.Changes), len(all[n].Changes))
		}
		n++
		return nil
	})
	if err == nil || n == 0 || n == len(all) {
		t.Errorf("got %d commits, %v, want some and an error", n, err)
	}
}

func TestNewPath(t *testing.T) {
	for line, want := range map[string]string{
		"diff --git a/x.py b/x.py":                     "x.py",
		"diff --git a/x y.py b/x y.py":                 "x y.py",
		"diff --git a/a b/a b/a b/a":                   "a b/a",
		"diff --git a/x.py b/z.py":                     "z.py",
		`diff --git "a/\303\251.py" "b/\303\251\n.py"`: "é\n.py",
		`diff --git a/x "b/\q"`:                        "",
		"diff --git":                                   "",
	} {
		if got := newPath(line); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

func FuzzSteps(f *testing.F) {
	id := strings.Repeat("a", 40)
	f.Add("commit\x00" + id + "\x00" + id + "\x00\x001 +0000\x00s\x00\n:000000 100644 " + strings.Repeat("0", 40) + " " + id + " A\x00p\x00")
	f.Add("commit\x00" + id + "\x00" + id + "\x00\x001 +0000\x00s\x00commit\x00" + id + "\x00")
	f.Add("\n:1 2 3 4 R100\x00a\x00b\x00")
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = readSteps(bufio.NewReader(strings.NewReader(s)), func(s Step) error {
			for _, c := range s.Changes {
				if c.Blob != "" && !isHex(c.Blob) {
					t.Errorf("blob %q", c.Blob)
				}
			}
			return nil
		})
	})
}
