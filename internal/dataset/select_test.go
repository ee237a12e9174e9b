package dataset

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// The names and splits are of the project's list of public repositories.
func TestSplitOf(t *testing.T) {
	for name, want := range map[string]Split{
		"jpadilla/pyjwt": Test, "JPadilla/PyJWT": Test, "pypa/packaging": Test, "python-attrs/attrs": Test,
		"marshmallow-code/marshmallow": Validation, "AntonKueltz/fastecdsa": Validation,
		"pallets/click": Train, "arrow-py/arrow": Train, "jd/tenacity": Train, "hynek/structlog": Train,
	} {
		if got := SplitOf(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	count := map[Split]int{}
	for i := range 16_000 {
		count[SplitOf(fmt.Sprintf("owner/repository%d", i))]++
	}
	for split, sixteenths := range map[Split]int{Test: 3, Validation: 1, Train: 12} {
		if got, want := count[split], 1000*sixteenths; got < want*9/10 || got > want*11/10 {
			t.Errorf("%d of 16000 names are %s, want about %d", got, split, want)
		}
	}
}

func TestCheckTraining(t *testing.T) {
	for _, tt := range []struct {
		name    string
		purpose Split
		ok      bool
		test    bool
	}{
		{"pallets/click", Train, true, false},
		{"pallets/click", Validation, false, false},
		{"marshmallow-code/marshmallow", Validation, true, false},
		{"marshmallow-code/marshmallow", Train, false, false},
		{"jpadilla/pyjwt", Train, false, true},
		{"jpadilla/pyjwt", Validation, false, true},
	} {
		err := CheckTraining(tt.name, tt.purpose)
		if (err == nil) != tt.ok || errors.Is(err, ErrTestRepository) != tt.test {
			t.Errorf("%s for %s: got %v", tt.name, tt.purpose, err)
		}
	}
}

// tasksOf returns a file of n functions with k different tasks each.
func tasksOf(n, k int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "def test_%d():\n", i)
		for j := range k {
			fmt.Fprintf(&b, "    assert x == %d\n", 100*i+j)
		}
	}
	return b.String()
}

func TestCaps(t *testing.T) {
	o := Options{MaxTargetBytes: 10, MaxFileBytes: 1 << 20, PerFunction: 3, PerFile: 6, PerRepository: 20}
	for _, tt := range []struct {
		name  string
		files []string
		want  []int // tasks of the documents, in any order
	}{
		{"under every cap", []string{tasksOf(2, 2)}, []int{4}},
		{"per function", []string{tasksOf(1, 9)}, []int{3}},
		{"few files give more", []string{tasksOf(9, 3), tasksOf(1, 3)}, []int{17, 3}},
		{"one file gives all", []string{tasksOf(9, 3)}, []int{20}},
		{"per file", []string{tasksOf(9, 3), tasksOf(9, 3), tasksOf(9, 3), tasksOf(9, 3)}, []int{6, 6, 6, 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var docs []*Document
			var stats Stats
			for i, source := range tt.files {
				doc, s := o.document(fmt.Sprintf("test_%d.py", i), []byte(source))
				docs = append(docs, doc)
				stats.Add(s)
			}
			docs = o.selectInRepository(docs, &stats)
			got, want, sum, dropped := map[int]int{}, map[int]int{}, 0, 0
			for _, d := range docs {
				if err := d.Validate(); err != nil {
					t.Error(err)
				}
				got[len(d.Tasks)]++
				sum += len(d.Tasks)
			}
			for _, n := range tt.want {
				want[n]++
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("documents by tasks: got %v, want %v", got, want)
			}
			for _, n := range stats.Dropped {
				dropped += n
			}
			if sum+dropped != stats.Sites {
				t.Errorf("%d tasks and %d dropped of %d sites: %v", sum, dropped, stats.Sites, stats.Dropped)
			}
		})
	}
}

// What a cap leaves are neighbours, but for the jump at the end of the file.
func TestKeepNeighbours(t *testing.T) {
	for i := range 20 {
		doc, _ := DefaultOptions().uncapped().document(fmt.Sprintf("test_%d.py", i), []byte(tasksOf(5, 4)))
		all := doc.Tasks
		at := map[Target]int{}
		for j, task := range all {
			at[task] = j
		}
		doc.keep(6)
		jumps := 0
		for j := range doc.Tasks {
			if next := doc.Tasks[(j+1)%6]; at[next] != (at[doc.Tasks[j]]+1)%len(all) {
				jumps++
			}
		}
		if len(doc.Tasks) != 6 || jumps != 1 {
			t.Errorf("file %d: %d tasks with %d jumps, want 6 in one piece", i, len(doc.Tasks), jumps)
		}
	}
}

func TestRepeatsInFile(t *testing.T) {
	source := "def a():\n  assert x == 1\ndef b():\n  assert x == 1\ndef c():\n  assert x == 1\n  assert y == 2\n"
	for repeats, want := range map[int]int{0: 4, 1: 2, 2: 3, 3: 4} {
		o := DefaultOptions()
		o.MaxRepeats = repeats
		if doc, _ := o.document("test_x.py", []byte(source)); len(doc.Tasks) != want {
			t.Errorf("%d repeats: got %d tasks, want %d", repeats, len(doc.Tasks), want)
		}
	}
}
