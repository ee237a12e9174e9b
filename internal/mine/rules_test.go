package mine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/repopeft"
)

func TestReadList(t *testing.T) {
	id := strings.Repeat("ab", 20)
	path := filepath.Join(t.TempDir(), "list.tsv")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("# name\n\nacme/a\ttrain\t" + id + "\tMIT\r\nacme/d\nacme/b\t" + id + "\nacme/c\ttrain\tlist,other\tyes\n")
	got, err := ReadList(path)
	want := []Source{{Name: "acme/a", Commit: id}, {Name: "acme/d"}, {Name: "acme/b", Commit: id}, {Name: "acme/c"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("list: got %v, %v, want %v", got, err, want)
	}
	for text, want := range map[string]string{
		"":                           "lists no repositories",
		"acme":                       "line 1: repository is \"acme\", want owner/name",
		"acme/a\nacme/../b":          "line 2: repository is",
		"acme/..":                    "want owner/name",
		"acme/d\ttrain\n":            "acme/d is listed as \"train\", but the split rule makes it \"test\"",
		"acme/a\nacme/c\nAcme/A\n":   "line 3: Acme/A is listed in line 1 already",
		"acme/a b\n":                 "want owner/name",
		"https://x.example/acme/a\n": "want owner/name",
	} {
		write(text)
		if _, err := ReadList(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func FuzzParseListed(f *testing.F) {
	f.Add("acme/a\ttrain\tabc")
	f.Fuzz(func(t *testing.T, line string) {
		s, err := parseListed(line)
		if err == nil && (strings.Contains(s.Name, "..") && strings.HasPrefix(s.Name, "..") || strings.Count(s.Name, "/") != 1) {
			t.Errorf("%q: name %q", line, s.Name)
		}
	})
}

func TestOptionsValidate(t *testing.T) {
	o := Defaults(Paper)
	o.Kinds, o.Tracks, o.Languages = allKinds, []repopeft.Track{repopeft.OOD, repopeft.OOD}, []string{"cobol"}
	o.PerFile, o.Near, o.Jobs = -1, 2, 0
	err := o.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"kinds are", "languages are", `"cobol" is not one of`, "is given twice", "per_file is -1", "near is 2", "jobs is 0", "no folder"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
	for _, p := range []Profile{Paper, Strict} {
		o := Defaults(p)
		o.Dir = "x"
		if err := o.Validate(); err != nil {
			t.Errorf("defaults of %s: %v", p, err)
		}
	}
	o = Defaults(Strict)
	o.Dir, o.Tracks = "x", []repopeft.Track{repopeft.OOD}
	if err := o.Validate(); err == nil || !strings.Contains(err.Error(), "needs a cut-off date") {
		t.Errorf("OOD without a date: got %v", err)
	}
	o.Languages = []string{"go", "python"}
	if err := o.Validate(); err != nil {
		t.Errorf("OOD of another language: %v", err)
	}
	a, b := Defaults(Strict), Defaults(Strict)
	b.Kinds = []repopeft.Kind{repopeft.Assertion}
	b.Near, b.Dir, b.Tracks = 0, "y", evolutionTrack
	if a.Rules.digest() != b.Rules.digest() {
		t.Error("what doesn't change a repository's tasks changes the digest")
	}
	b.PerFile++
	if a.Rules.digest() == b.Rules.digest() {
		t.Error("a cap doesn't change the digest")
	}
}

func TestLicence(t *testing.T) {
	apache, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for want, files := range map[string]map[string]string{
		"MIT": {"LICENSE.md": mitText, "a.py": "x = 1\n"},
		"":    {"LICENSE": "All rights reserved. Do what we say.\n"},
	} {
		dir := newRepo(t, change{files: files})
		repo, err := gitrepo.Open(t.Context(), dir, gitrepo.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer repo.Close()
		if got, err := licence(t.Context(), repo, "HEAD"); err != nil || got != want {
			t.Errorf("licence: got %q, %v, want %q", got, err, want)
		}
	}
	if got := licencesIn(apache); len(got) == 0 {
		t.Error("our own licence isn't known")
	}
	for name, want := range map[string]bool{"LICENSE": true, "licence.txt": true, "COPYING.LESSER": false, "COPYING": true,
		"LICENSE-MIT": true, "license.py": false, "UNLICENSE": true, "README": false} {
		if got := isLicence(name); got != want {
			t.Errorf("%s is a licence: got %t, want %t", name, got, want)
		}
	}
}

func TestBeforeBehind(t *testing.T) {
	for _, tt := range []struct {
		text           string
		max            int
		before, behind string
	}{
		{"one\ntwo\nthree", 0, "one\ntwo\nthree", "one\ntwo\nthree"},
		{"one\ntwo\nthree", 100, "one\ntwo\nthree", "one\ntwo\nthree"},
		{"one\ntwo\nthree", 9, "two\nthree", "one\ntwo\n"},
		{"one\ntwo\nthree", 8, "three", "one\ntwo\n"},
		{"éééé", 3, "é", "é"},
		{"one\ntwo\n", 5, "two\n", "one\n"},
	} {
		if got := before(tt.text, tt.max); got != tt.before {
			t.Errorf("%d bytes before %q: got %q, want %q", tt.max, tt.text, got, tt.before)
		}
		if got := behind(tt.text, tt.max); got != tt.behind {
			t.Errorf("%d bytes behind %q: got %q, want %q", tt.max, tt.text, got, tt.behind)
		}
	}
}

func TestSelectStrict(t *testing.T) {
	r := Rules{PerFunction: 2, PerFile: 3, PerRepository: 5}
	var files []fileItems
	for f := range 3 {
		var items []item
		for i := range 8 {
			items = append(items, item{Kind: repopeft.Assertion, Function: fmt.Sprint("f", i/4), Start: 10 * i, normalized: fmt.Sprint(i % 6)})
		}
		files = append(files, fileItems{fmt.Sprint("file", f), items})
	}
	dropped := counter{}
	n := 0
	for _, f := range r.selectStrict("acme/a", files, dropped) {
		per, seen := map[string]int{}, map[string]bool{}
		for i, it := range f.items {
			per[it.Function]++
			if per[it.Function] > 2 || seen[it.normalized] || i > 0 && f.items[i-1].Start >= it.Start {
				t.Errorf("%s: got %+v", f.file, f.items)
			}
			seen[it.normalized] = true
			n++
		}
		if len(f.items) > 3 {
			t.Errorf("%s: %d tasks, want 3 at most", f.file, len(f.items))
		}
	}
	sum := n
	for _, d := range dropped {
		sum += d
	}
	if n != 5 || sum != 24 {
		t.Errorf("got %d tasks and %v, want 5 of 24", n, dropped)
	}
	// A repository of one file has all of its tasks from there.
	r = Rules{PerFile: 3, PerRepository: 7}
	one := []fileItems{{file: "a"}}
	for i := range 20 {
		one[0].items = append(one[0].items, item{Function: fmt.Sprint(i), Start: i, normalized: fmt.Sprint(i)})
	}
	if got := r.selectStrict("acme/a", one, counter{}); len(got[0].items) != 7 {
		t.Errorf("one file: got %d tasks, want 7", len(got[0].items))
	}
}

func TestShares(t *testing.T) {
	var all []paperItem
	for i := range 10 {
		target := "1"
		if i >= 7 {
			target = "'s'"
		}
		if i == 9 {
			target = "name"
		}
		all = append(all, paperItem{"f", item{Target: target}})
	}
	got := shares(all, 5) // 3.5, 1 and 0.5
	if want := map[string]int{repopeft.NumericLiteral: 4, repopeft.StringLiteral: 1, repopeft.Variable: 0}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("shares: got %v, want %v", got, want)
	}
}

func TestSmartCap(t *testing.T) {
	var rows []row
	add := func(file, function, target string) {
		rows = append(rows, row{task: repopeft.Task{File: file, Function: function, Target: target}})
	}
	for f := range 3 {
		for i := range 6 {
			add(fmt.Sprint("f", f), fmt.Sprint("t", i%2), fmt.Sprintf("value%d", i))
		}
	}
	for _, target := range []string{"0", "1)", "None)", "'a'", "True", ", abcd", "result)"} {
		add("f0", "t9", target)
	}
	commit := &repopeft.Commit{Split: dataset.Train, InRepo: dataset.Train, Track: repopeft.Evolution}
	random := newPyRandom(paperSeed)
	dropped := counter{}
	got := capPaper(commit, slices.Clone(rows), &random, dropped)
	per := map[string]int{}
	for _, r := range got {
		per[r.task.File]++
	}
	if len(got) != 8 || per["f0"] > 4 || per["f1"] > 4 || per["f2"] > 4 || len(per) != 3 {
		t.Errorf("smart cap: got %v", per)
	}
	if dropped[string(reasonShort)] != 5 || dropped[string(reasonOverCommit)] != 12 {
		t.Errorf("dropped: got %v, want 5 trivial (0, 1), None), 'a', and the one of a comma) and 12 over the cap", dropped)
	}
	commit.Split = dataset.Test
	if got = capPaper(commit, slices.Clone(rows), &random, counter{}); len(got) != 8 || got[7].task.Target != "value1" {
		t.Errorf("scored: got %d rows, want the first 8", len(got))
	}
}

func TestSignatures(t *testing.T) {
	task := func(repository string, track repopeft.Track, inRepo dataset.Split, prefix, target string) *repopeft.Task {
		return &repopeft.Task{ID: repository + prefix[:6] + target, Repository: repository, Split: dataset.SplitOf(repository), Track: track, InRepo: inRepo, Prefix: prefix, Target: target}
	}
	base := "def test_everything():\n"
	for i := range 30 {
		base += fmt.Sprintf("    value_%d = compute_%d(argument_%d)\n", i, i*i, i%7)
	}
	a := task(testName, repopeft.Static, dataset.Train, base, "result")
	b := task(trainName, repopeft.Static, dataset.Train, strings.Replace(base, "value_25", "other", 1), "result")
	c := task(trainName, repopeft.Static, dataset.Train, strings.ReplaceAll(base, "value", "other"), "other")
	sigA, okA := signatureOf(a)
	sigB, _ := signatureOf(b)
	sigC, _ := signatureOf(c)
	if !okA || sigA.similarity(&sigA) != 1 {
		t.Errorf("similarity to itself: got %g", sigA.similarity(&sigA))
	}
	if s := sigA.similarity(&sigB); s < 0.85 || s == 1 {
		t.Errorf("with one word changed: got %g", s)
	}
	if s := sigA.similarity(&sigC); s > 0.6 {
		t.Errorf("with many words changed: got %g", s)
	}
	if _, ok := signatureOf(task(trainName, repopeft.Static, dataset.Train, "assert x == ", "1")); ok {
		t.Error("a text of a few tokens has a signature")
	}
	sketchOf := func(t *repopeft.Task) sketch {
		sig, _ := signatureOf(t)
		return sketch{taskKey{t.Track, t.ID}, side(t), sig}
	}
	// Inside of a training repository the sides are compared whatever the track.
	irTest := task(trainName, repopeft.Static, dataset.Test, base, "result2")
	irOther := task(trainName, repopeft.Evolution, dataset.Train, base, "result3")
	val := task(validationName, repopeft.Evolution, dataset.Train, base, "result4")
	for _, tt := range []struct {
		name  string
		tasks []*repopeft.Task
		want  []bool
	}{
		{"test and train", []*repopeft.Task{b, a}, []bool{true, false}},
		{"different", []*repopeft.Task{c, a}, []bool{false, false}},
		{"same side", []*repopeft.Task{b, b}, []bool{false, false}},
		{"sides of a track", []*repopeft.Task{b, irTest}, []bool{true, false}},
		{"sides of two tracks", []*repopeft.Task{irOther, irTest}, []bool{true, false}},
		{"validation and train in two tracks", []*repopeft.Task{val, irTest, a}, []bool{true, true, false}},
	} {
		var all []sketch
		for _, x := range tt.tasks {
			all = append(all, sketchOf(x))
		}
		drop, counts := nearDuplicates(all, 0.8)
		if counts != (repopeft.Near{Compared: len(all)}) {
			t.Errorf("%s: got counts %+v, want all compared", tt.name, counts)
		}
		for i, x := range tt.tasks {
			if got := drop[taskKey{x.Track, x.ID}]; got != tt.want[i] {
				t.Errorf("%s: task %d dropped: got %t, want %t", tt.name, i, got, tt.want[i])
			}
		}
	}
}

// TestFullBands: where more tasks share a band than are compared, the rest is
// counted, and what other bands tell is found all the same.
func TestFullBands(t *testing.T) {
	var all []sketch
	next := uint32(0)
	add := func(side int, from *sketch) {
		s := sketch{key: taskKey{repopeft.Static, fmt.Sprint(len(all))}, side: side}
		for i := range s.sig {
			if next++; i >= bandSize { // the first band is the same for all
				s.sig[i] = next
			}
		}
		if from != nil {
			s.sig = from.sig
		}
		all = append(all, s)
	}
	for range maxInBand + 6 {
		add(0, nil)
	}
	add(4, nil)
	add(1, nil)
	add(4, &all[maxInBand+3])
	drop, counts := nearDuplicates(all, 0.8)
	if len(drop) != 1 || !drop[all[len(all)-1].key] {
		t.Errorf("dropped %v, want the last one", drop)
	}
	// The task of validation finds 6 left out, that of training 7.
	if want := (repopeft.Near{Compared: len(all), PartlyCompared: 2, NotCompared: 13}); counts != want {
		t.Errorf("got %+v, want %+v", counts, want)
	}
}

func TestKeyList(t *testing.T) {
	l := keyList{{3, 1, 2}, {1, 5, 6}, {3, 9, 9}, {1 << 63, 0, 0}}.sorted()
	text, err := l.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var back keyList
	if err := back.UnmarshalText(text); err != nil || !slices.Equal(back, l) || len(l) != 3 {
		t.Errorf("keys: got %v, %v, want %v", back, err, l)
	}
	if err := back.UnmarshalText([]byte("AAAA")); err == nil {
		t.Error("three bytes: no error")
	}
}

func TestPaperKeys(t *testing.T) {
	inline := "assert x == "
	text := "a  =\t1\n\n\nb = 2\n    "
	items := []item{{Family: "assert", Cut: len(text), Inline: &inline, Target: "3  4"}, {Family: "assert", Cut: 8, Inline: &inline, Target: "3  4"}}
	keys := paperKeys(text, items)
	other := paperKeys("a = 1 b = 2\n", []item{{Family: "assert", Cut: 12, Inline: &inline, Target: "3 4"}})
	if keys[0] != other[0] {
		t.Error("blanks make a difference")
	}
	if keys[0] == keys[1] {
		t.Error("the prefix makes no difference")
	}
	// A token that the cut divides from the next one is one with it.
	whole, half := "(assert x == ", "assert x == "
	a := paperKeys("", []item{{Inline: &whole, Target: "1"}})
	b := paperKeys("(", []item{{Cut: 1, Inline: &half, Target: "1"}})
	if a[0] != b[0] {
		t.Error("where the inline part begins makes a difference")
	}
}

// FuzzExtract runs all extractors on a file: none may panic, all targets are in
// the file, and the strict prefix, target and suffix are the file.
func FuzzExtract(f *testing.F) {
	f.Add([]byte(golden))
	f.Add([]byte("def test():\r\n    assert \xff == 1\n\f"))
	f.Add([]byte("\xef\xbb\xbfdef test_x():\n    assert é(1) == 'ü'\n    self.assertEqual(a,\n b)\n"))
	rules := Defaults(Strict).Rules
	rules.Kinds = allKinds
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, reason := rules.read("tests/test_a.py", raw); reason == "" {
			items := rules.candidates(s)
			setKeys(s, items)
			for _, it := range items {
				if it.reason == "" && (it.Start < 0 || it.End > len(raw) || it.Start >= it.End || it.Function == "" && it.Kind == repopeft.Line) {
					t.Errorf("item %+v of %d bytes", it, len(raw))
				}
			}
		}
		text := paperText(raw)
		items, _ := paperVersion(raw)
		for _, it := range items {
			if it.Start < 0 || it.End > len(text) || it.Start > it.End || it.Cut > len(text) {
				t.Errorf("item %+v of %d bytes", it, len(text))
			}
		}
		m := static{Rules: Defaults(Paper).Rules}
		m.paperSnapshot("test_a.py", raw, counter{})
	})
}
