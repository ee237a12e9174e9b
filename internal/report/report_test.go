package report

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/stats"
)

// wantColumn compares a column.
func wantColumn(t *testing.T, tb *table, name string, want ...string) {
	t.Helper()
	if got := tb.column(t, name); !slices.Equal(got, want) {
		t.Errorf("table %s, %s: got %q, want %q", tb.ID, name, got, want)
	}
}

// uneven has 2, 4 and 6 tasks in three repositories, of which 2, 1 and none are
// right: 3 of 12, or (1 + ¼ + 0) / 3 of the repositories.
var uneven = shape{sizes: []int{2, 4, 6}, hits: []int{2, 1, 0}, nll: 1, context: 30}

// TestCutAnswers: runs whose wrong answers are cut have no similarities, and a
// note says why; those beside them have.
func TestCutAnswers(t *testing.T) {
	dir := t.TempDir()
	write := func(method string, texts bool) string {
		info := infoOf(method, "tree", 12)
		info.Settings = map[string]any{"texts": texts}
		return writeRun(t, filepath.Join(dir, method), info, true, scoresOf(method, "tree", uneven))
	}
	whole, cut := write("base", true), write("bm25", false)
	tb := build(t, Options{Runs: []string{whole, cut}}).doc.find(t, "static-cr-scores")
	for name, whole := range map[string]string{"edit similarity ⁴": "0.625", "CodeBLEU ⁴": "0.250", "token BLEU ² ⁴": "0.750"} {
		for i, method := range tb.column(t, "method") {
			want := whole
			if strings.HasPrefix(method, "bm25") {
				want = unknown
			}
			if got := tb.column(t, name)[i]; got != want {
				t.Errorf("%s of %s: got %q, want %q", name, method, got, want)
			}
		}
	}
	if notes := strings.Join(tb.Notes, "\n"); !strings.Contains(notes, "⁴ – of runs that were made without --texts") {
		t.Errorf("notes are %q, want one that says why similarities are missing", notes)
	}
	tb = build(t, Options{Runs: []string{whole}}).doc.find(t, "static-cr-scores")
	if notes := strings.Join(tb.Notes, "\n"); strings.Contains(notes, "⁴") {
		t.Errorf("notes of whole answers are %q", notes)
	}
	tb.column(t, "edit similarity")
}

func TestScores(t *testing.T) {
	dir := t.TempDir()
	scores := scoresOf("bm25:k=3", "tree", uneven)
	yes, no := true, false
	scores[0].Passed, scores[3].Passed, scores[7].Passed = &yes, &yes, &no
	run := writeRun(t, filepath.Join(dir, "a"), infoOf("bm25:k=3", "tree", 12), true, scores)
	r := build(t, Options{Runs: []string{run}})
	tb := r.doc.find(t, "static-cr-scores")
	for name, want := range map[string]string{
		"method": "bm25:k=3", "level": "tree", "n": "12", "repositories": "3",
		"paper's reading, % ¹": "41.7",  // the first wrong one of beta and gamma, too
		"edit similarity":      "0.625", // (3 + 9 · ½) / 12
		"CodeBLEU":             "0.250", "token BLEU ²": "0.750", "context tokens": "30",
	} {
		wantColumn(t, tb, name, want)
	}
	for name, want := range map[string]string{
		"exact match, %": "25.0 [", "macro exact match, %": "41.7 [",
		"cross-entropy ³": "1.183 [", // 1 + (1 + 6 + 15) / 12 / 10
		"tests passed, %": "66.7 [",
	} {
		if got := tb.column(t, name)[0]; !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want it to begin with %q", name, got, want)
		}
	}
	if got := tb.column(t, "tests passed, %")[0]; !strings.HasSuffix(got, "] n=3") {
		t.Errorf("tests passed: got %q, want how many were run", got)
	}
	// The interval is that of a bootstrap over repositories.
	var all []stats.Value
	for _, s := range scores {
		all = append(all, stats.Value{Cluster: s.Repository, X: oneIf(s.Exact)})
	}
	iv := stats.Mean(all, stats.Options{Resamples: 200})
	wantColumn(t, tb, "exact match, %", fmt.Sprintf("25.0 [%.1f, %.1f]", 100*iv.Low, 100*iv.High))
	if iv.Low >= iv.High {
		t.Errorf("the interval [%g, %g] is empty", iv.Low, iv.High)
	}
	if !slices.Equal(tb.Rows[0].Runs, []int{1}) {
		t.Errorf("runs of the row: %d", tb.Rows[0].Runs)
	}
	// One wrong answer of two classes in turn: wrong are the tasks 1, 2, 3 of beta
	// and 0 to 5 of gamma.
	e := r.doc.find(t, "static-cr-errors")
	wantColumn(t, e, "wrong", "9")
	wantColumn(t, e, "near-miss", "44.4")
	wantColumn(t, e, "wrong literal", "55.6")
	wantColumn(t, e, "syntax error", "0.0")
}

func TestOneRepository(t *testing.T) {
	dir := t.TempDir()
	scores := scoresOf("base", "tree", shape{perRepo: 4, hits: []int{1}})[:4]
	r := build(t, Options{Runs: []string{writeRun(t, dir+"/a", infoOf("base", "tree", 4), true, scores)}})
	wantColumn(t, r.doc.find(t, "static-cr-scores"), "exact match, %", "25.0 [n/a]")
	wantColumn(t, r.doc.find(t, "static-cr-scores"), "tests passed, %", unknown)
}

// TestLevels: both levels stand beside each other, and what reads nothing is
// the same at both.
func TestLevels(t *testing.T) {
	dir := t.TempDir()
	r := build(t, Options{Names: []string{"checkpoint:which=own=Own", "base=Pretrained"}, Runs: []string{
		simple(t, dir, "base", "production", shape{perRepo: 4, hits: []int{1}}),
		simple(t, dir, "checkpoint:which=own", "production", shape{perRepo: 4, hits: []int{2}}),
		simple(t, dir, "checkpoint:which=own", "tree", shape{perRepo: 4, hits: []int{3}}),
		simple(t, dir, "bm25:k=3", "tree", shape{perRepo: 4, hits: []int{4}})}})
	m := r.doc.find(t, "matrix-static")
	wantColumn(t, m, "method", "Pretrained", "bm25:k=3", "Own")
	wantColumn(t, m, "static CR, production", "25.0 [25.0, 25.0]", unknown, "50.0 [50.0, 50.0]")
	wantColumn(t, m, "static CR, tree", "25.0 [25.0, 25.0]", "100.0 [100.0, 100.0]", "75.0 [75.0, 75.0]")
	tree := r.doc.find(t, "static-cr-tree-comparisons")
	wantColumn(t, tree, "A", "bm25:k=3", "Own", "Own")
	wantColumn(t, tree, "B", "Pretrained", "Pretrained", "bm25:k=3")
}

// TestOwnAdapterLevel: what was fitted to tests of a repository is at the level
// that shows tests, whatever its run says.
func TestOwnAdapterLevel(t *testing.T) {
	runs := t.TempDir()
	var dirs []string
	for _, m := range [][2]string{{"base", "production"}, {"bm25", "tree"}, {"own-adapter:dir=a", "production"}} {
		dirs = append(dirs, simple(t, runs, m[0], m[1], shape{perRepo: 10, hits: []int{3}}))
	}
	tb := build(t, Options{Runs: dirs}).doc.find(t, "static-cr-costs")
	wantColumn(t, tb, "method", "base", "bm25", "own-adapter:dir=a")
	wantColumn(t, tb, "level", "production", "tree", "tree")
}

func TestComparisons(t *testing.T) {
	dir := t.TempDir()
	r := build(t, Options{Runs: []string{
		simple(t, dir, "base", "tree", shape{perRepo: 10, hits: []int{2, 2, 2}, nll: 2}),
		simple(t, dir, "checkpoint:which=own", "tree", shape{perRepo: 10, hits: []int{5, 4, 3}, nll: 1}),
		simple(t, dir, "checkpoint:which=average", "tree", shape{perRepo: 10, hits: []int{2, 5, 3}, nll: 1.5}),
	}})
	tb := r.doc.find(t, "static-cr-tree-comparisons")
	wantColumn(t, tb, "question", "better than the base?", "better than the base?", "does own matter?")
	wantColumn(t, tb, "A", "checkpoint:which=own", "checkpoint:which=average", "checkpoint:which=own")
	wantColumn(t, tb, "B", "base", "base", "checkpoint:which=average")
	wantColumn(t, tb, "n", "30", "30", "30")
	wantColumn(t, tb, "only A / only B", "6 / 0", "4 / 0", "3 / 1")
	// All three repositories are better: 2 of the 8 ways to give them signs. Of
	// the second pair one is equal: 4 of 8. Of the third, differences are 3, −1,
	// 0: the sums are ±4 (twice each) and ±2 (twice each), all at least 2.
	wantColumn(t, tb, "p, sign flip", "0.25", "0.50", "1.00")
	wantColumn(t, tb, "p, Holm", "0.75", "1.00", "1.00")
	for i, want := range []float64{2. / 64, 2. / 16, 2 * 5. / 16} {
		if got := tb.Rows[i].Cells[9].Values[0].(float64); math.Abs(got-want) > 1e-9 {
			t.Errorf("row %d: McNemar's p is %g, want %g", i, got, want)
		}
	}
	h := func(a, b float64) string {
		return signed(2*math.Asin(math.Sqrt(a))-2*math.Asin(math.Sqrt(b)), 2)
	}
	wantColumn(t, tb, "Cohen's h", h(.4, .2), h(10./30, .2), h(.4, 10./30))
	for i, want := range []string{"+20.0 [", "+13.3 [", "+6.7 ["} {
		if got := tb.column(t, "exact match, points")[i]; !strings.HasPrefix(got, want) {
			t.Errorf("row %d: difference %q, want %q", i, got, want)
		}
	}
	wantColumn(t, tb, "cross-entropy", "−1.000 [−1.000, −1.000]", "−0.500 [−0.500, −0.500]", "−0.500 [−0.500, −0.500]")
	wantColumn(t, tb, "rank-biserial", "−1.00", "−1.00", "−1.00")
	if !slices.Equal(tb.Rows[2].Runs, []int{2, 3}) {
		t.Errorf("runs of the third row: %d, want 2 and 3", tb.Rows[2].Runs)
	}
}

// TestCommonTasks: comparisons are on what both have answered, and the table
// says which row is short.
func TestCommonTasks(t *testing.T) {
	dir := t.TempDir()
	short := scoresOf("bm25:k=1", "tree", shape{perRepo: 4, hits: []int{4, 1, 0}})[:8] // without gamma
	r := build(t, Options{Runs: []string{
		simple(t, dir, "base", "tree", shape{perRepo: 4, hits: []int{1, 1, 4}}),
		writeRun(t, dir+"/short", infoOf("bm25:k=1", "tree", 8), true, short),
	}})
	wantColumn(t, r.doc.find(t, "static-cr-scores"), "method", "base", "bm25:k=1 (on 8 of 12 tasks)")
	tb := r.doc.find(t, "static-cr-tree-comparisons")
	wantColumn(t, tb, "n", "8")
	wantColumn(t, tb, "only A / only B", "3 / 0")
	repos := r.doc.find(t, "static-cr-tree-repositories")
	wantColumn(t, repos, "repositories", "2")
	wantColumn(t, repos, "share below, %", "0.0")
}

func TestRepositories(t *testing.T) {
	dir := t.TempDir()
	r := build(t, Options{Runs: []string{
		simple(t, dir, "base", "tree", shape{perRepo: 10, hits: []int{2, 5, 5}}),
		simple(t, dir, "examples:k=4", "tree", shape{perRepo: 10, hits: []int{8, 5, 4}}),
	}})
	tb := r.doc.find(t, "static-cr-tree-repositories")
	for name, want := range map[string]string{
		"repositories": "3", "median, %": "50.0", "deviation, points": "20.8", // of 80, 50, 40
		"above base": "1", "equal": "1", "below base": "1", "share below, %": "33.3",
		"largest loss, points": "−10.0", "largest gain, points": "+60.0",
	} {
		wantColumn(t, tb, name, want)
	}
	var f *drawing
	for _, s := range r.doc.Sections {
		for _, b := range s.Blocks {
			if b.Figure != nil && strings.HasSuffix(b.Figure.ID, "scatter") {
				f = b.Figure
			}
		}
	}
	if f == nil {
		t.Fatal("no scatter plot")
	}
	want := "[[examples:k=4 o/alpha 10 0.2 0.8] [examples:k=4 o/beta 10 0.5 0.5] [examples:k=4 o/gamma 10 0.5 0.4]]"
	if got := fmt.Sprint(f.Data); got != want {
		t.Errorf("data: %s, want %s", got, want)
	}
	if !slices.Equal(f.Runs, []int{1, 2}) {
		t.Errorf("runs of the figure: %d", f.Runs)
	}
}

func TestBreakdown(t *testing.T) {
	dir := t.TempDir()
	scores := scoresOf("base", "tree", shape{perRepo: 8, hits: []int{4}})
	for i, s := range scores { // ten families, of which two are frequent
		if k := i % 8; k > 1 {
			s.Family = fmt.Sprintf("rare%d", i)
		} else {
			s.Family = []string{"assert", "raises"}[k]
		}
	}
	other := scoresOf("dependencies", "tree", shape{perRepo: 8, hits: []int{5}})
	for _, s := range other {
		s.Resolved = s.TargetBytes > 6
	}
	r := build(t, Options{Runs: []string{
		writeRun(t, dir+"/a", infoOf("base", "tree", 24), true, scores), writeRun(t, dir+"/b", infoOf("dependencies", "tree", 24), true, other)}})
	tb := r.doc.find(t, "static-cr-tree-by-target") // classes of k mod 3, k = 0…7
	wantColumn(t, tb, "bool_literal (9)", "66.7", "66.7")
	wantColumn(t, tb, "none_literal (9)", "33.3", "66.7")
	wantColumn(t, tb, "string_literal (6)", "50.0", "50.0")
	tb = r.doc.find(t, "static-cr-tree-by-length") // lengths 1 to 8, three of each
	wantColumn(t, tb, "1 to 2 bytes (6)", "100.0", "100.0")
	wantColumn(t, tb, "5 to 6 bytes (6)", "0.0", "50.0")
	wantColumn(t, tb, "7 to 8 bytes (6)", "0.0", "0.0")
	// Only one of the runs has looked for context: it is a property of the task.
	tb = r.doc.find(t, "static-cr-tree-by-resolved")
	wantColumn(t, tb, "with (6)", "0.0", "0.0")
	wantColumn(t, tb, "without (18)", "66.7", "83.3")
	tb = r.doc.find(t, "static-cr-tree-by-family")
	if len(tb.Columns) != 1+mostFamilies || tb.Columns[mostFamilies].Name != "others (13)" {
		t.Errorf("families: %+v, want %d with the rare ones last", tb.Columns, mostFamilies)
	}
}

// TestSuites: each task counts in one suite, and tuning is apart from tests.
func TestSuites(t *testing.T) {
	dir := t.TempDir()
	run := simple(t, dir, "base", "tree",
		shape{perRepo: 2, hits: []int{1}},
		shape{perRepo: 2, hits: []int{1}, kind: repopeft.Call},
		shape{perRepo: 2, hits: []int{2}, split: "train"},
		shape{perRepo: 2, hits: []int{2}, split: "train", inRepo: "validation", kind: repopeft.Line},
		shape{perRepo: 3, hits: []int{1}, split: "train", inRepo: "train", track: repopeft.Evolution},
		shape{perRepo: 2, hits: []int{1}, track: repopeft.OOD, kind: repopeft.Line},
		shape{perRepo: 2, hits: []int{0}, split: "validation"})
	r := build(t, Options{Runs: []string{run}})
	wantColumn(t, r.doc.find(t, "suites"), "suite", "static CR", "static CR validation", "static CR, calls", "static IR", "static IR validation, lines",
		"evolution training tasks", "OOD, lines")
	wantColumn(t, r.doc.find(t, "suites"), "used as", "test", "tuning", "test", "test", "tuning", "tuning", "test")
	wantColumn(t, r.doc.find(t, "suites"), "tasks", "6", "4", "6", "4", "4", "6", "6")
	tuning := false
	for _, s := range r.doc.Sections {
		tuning = tuning || s.ID == "tuning"
		for _, b := range s.Blocks {
			if b.Table == nil || b.Table.ID == "suites" {
				continue
			}
			if is := strings.Contains(b.Table.ID, "validation") || strings.Contains(b.Table.ID, "training"); is && !tuning {
				t.Errorf("table %s is in section %s", b.Table.ID, s.Title)
			} else if !is && tuning && b.Table.ID != "runs" {
				t.Errorf("table %s is in section %s", b.Table.ID, s.Title)
			}
			if s.ID != "tuning" && strings.Contains(b.Table.Caption, "validation") {
				t.Errorf("table %s is in section %s", b.Table.Caption, s.Title)
			}
		}
	}
	wantColumn(t, r.doc.find(t, "static-cr-validation"), "exact match, %", "0.0 [0.0, 0.0]")
	wantColumn(t, r.doc.find(t, "static-cr-validation"), "has test results", "yes")
}

// TestConditions: other bases, precisions and benchmarks are parts of their own.
func TestConditions(t *testing.T) {
	dir := t.TempDir()
	with := func(name string, change func(*repopeft.RunInfo)) string {
		info := infoOf(name, "tree", 6)
		change(&info)
		return writeRun(t, filepath.Join(dir, fmt.Sprint(len(entries(t, dir)))), info, true, scoresOf(name, "tree", shape{perRepo: 2, hits: []int{1}}))
	}
	r := build(t, Options{Runs: []string{
		with("base", func(*repopeft.RunInfo) {}), with("bm25", func(i *repopeft.RunInfo) { i.Precision = "int8" }),
		with("bm25", func(i *repopeft.RunInfo) { i.Benchmark = second }), with("bm25", func(i *repopeft.RunInfo) { i.BaseSHA256 = second }),
		with("bm25", func(i *repopeft.RunInfo) { i.Settings = map[string]any{"layout": map[string]any{"prefix_tokens": 5}} }),
		with("dense", func(i *repopeft.RunInfo) {
			i.Settings = map[string]any{"layout": map[string]any{"prefix_tokens": 6}, "texts": false}
		}),
	}})
	if n := len(r.doc.find(t, "conditions").Rows); n != 4 {
		t.Fatalf("%d conditions, want 4", n)
	}
	tables := 0
	for _, s := range r.doc.Sections {
		for _, b := range s.Blocks {
			if b.Table != nil && strings.HasSuffix(b.Table.ID, "comparisons") {
				tables++
				for _, row := range b.Table.Rows {
					if !slices.Equal(row.Runs, []int{5, 1}) && !slices.Equal(row.Runs, []int{6, 1}) {
						t.Errorf("runs %d are compared", row.Runs)
					}
				}
			}
		}
	}
	if tables != 1 {
		t.Errorf("%d tables of comparisons, want 1", tables)
	}
	for _, want := range []string{"no comparison between them", `differ in their setting "layout"`, "without --texts", "nothing to compare"} {
		if !strings.Contains(r.doc.texts(), want) {
			t.Errorf("the report doesn't say %q", want)
		}
	}
}

func TestUnfinished(t *testing.T) {
	dir := t.TempDir()
	cut := writeRun(t, dir+"/cut", infoOf("bm25", "tree", 40), false, scoresOf("bm25", "tree", shape{perRepo: 4, hits: []int{1}}))
	half := writeRun(t, dir+"/half", infoOf("dense", "tree", 40), true, scoresOf("dense", "tree", shape{perRepo: 4, hits: []int{1}}))
	r := build(t, Options{Runs: []string{cut, half}})
	wantColumn(t, r.doc.find(t, "static-cr-scores"), "method", "bm25 (unfinished: 12 of 40 tasks)", "dense (12 of 40 tasks are scored)")
	wantColumn(t, r.doc.find(t, "runs"), "state", "unfinished: 12 of 40 tasks", "12 of 40 tasks are scored")
}

// TestRowsOfRuns: runs on other tasks make one row, other seeds make two.
func TestRowsOfRuns(t *testing.T) {
	dir := t.TempDir()
	seed := infoOf("adapter:dir=x", "tree", 6)
	seed.Seed = 2
	r := build(t, Options{Runs: []string{
		simple(t, dir, "bm25", "tree", shape{perRepo: 2, hits: []int{1}}),
		simple(t, dir, "bm25", "tree", shape{perRepo: 2, hits: []int{2}, split: "train"}),
		simple(t, dir, "adapter:dir=x", "tree", shape{perRepo: 2, hits: []int{1}}),
		writeRun(t, dir+"/seed", seed, true, scoresOf("adapter:dir=x", "tree", shape{perRepo: 2, hits: []int{2}})),
	}})
	wantColumn(t, r.doc.find(t, "static-cr-scores"), "method", "bm25", "adapter:dir=x (seed 0)", "adapter:dir=x (seed 2)")
	if row := r.doc.find(t, "matrix-static").Rows[0]; !slices.Equal(row.Runs, []int{1, 2}) {
		t.Errorf("runs of the row of both suites: %d", row.Runs)
	}
}

func TestBuildErrors(t *testing.T) {
	dir := t.TempDir()
	ok := simple(t, dir, "base", "tree", shape{perRepo: 2, hits: []int{1}})
	again := simple(t, dir, "base", "tree", shape{perRepo: 2, hits: []int{2}})
	unscored := writeRun(t, dir+"/unscored", infoOf("base", "tree", 1), true, nil)
	foreign := writeRun(t, dir+"/foreign", infoOf("base", "tree", 1), true, scoresOf("bm25", "tree", shape{perRepo: 2, hits: []int{1}}))
	empty := writeRun(t, dir+"/empty", infoOf("base", "tree", 1), true, []*repopeft.Score{})
	broken := writeRun(t, dir+"/broken", infoOf("base", "tree", 1), true, nil)
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("{\n\"format\": 1,\n\"methods\": [{\"nam\": 1}]}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, repopeft.ScoresFile), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	other := infoOf("adapter:dir=a", "tree", 6)
	other.Precision = "int8"
	int8Run := writeRun(t, dir+"/int8", other, true, scoresOf("adapter:dir=a", "tree", shape{perRepo: 2, hits: []int{1}}))
	for name, tt := range map[string]struct {
		o    Options
		want string
	}{
		"no runs":             {Options{}, "no runs"},
		"no such folder":      {Options{Runs: []string{dir + "/none"}}, "is no run"},
		"not scored":          {Options{Runs: []string{unscored}}, "bench score"},
		"of another method":   {Options{Runs: []string{foreign}}, `by "bm25" at level "tree"`},
		"no scores":           {Options{Runs: []string{empty}}, "no scores"},
		"not compressed":      {Options{Runs: []string{broken}}, "broken/scores.jsonl.gz"},
		"twice":               {Options{Runs: []string{ok, again}}, "both answer task"},
		"unknown name":        {Options{Runs: []string{ok}, Names: []string{"bm25=B"}}, `"bm25=B"`},
		"empty name":          {Options{Runs: []string{ok}, Names: []string{"base="}}, "METHOD=LABEL"},
		"costs with a typo":   {Options{Runs: []string{ok}, Costs: plain}, "plain line 3: json: unknown field"},
		"no costs":            {Options{Runs: []string{ok}, Costs: dir + "/none"}, "none"},
		"audit that is none":  {Options{Runs: []string{ok}, Audits: []string{plain}}, "not an audit"},
		"grid that is none":   {Options{Runs: []string{ok}, Grids: []string{plain}}, "not a record of a grid"},
		"curve of two kinds":  {Options{Scaling: []Point{{1, ok}, {2, int8Run}}}, "one curve has one of each"},
		"negative number":     {Options{Scaling: []Point{{-1, ok}}}, "-1 repositories"},
		"benchmark not there": {Options{Runs: []string{ok}, Benchmark: dir}, "manifest.json"},
		"parameters":          {Options{Runs: []string{ok}, Parameters: math.NaN()}, "parameters"},
		"options":             {Options{Runs: []string{ok}, Stats: stats.Options{Level: 2}}, "level"},
	} {
		if _, err := Build(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	// A folder that is given twice is one run.
	if r := build(t, Options{Runs: []string{ok, ok + "/."}}); len(r.runs) != 1 {
		t.Errorf("%d runs, want 1", len(r.runs))
	}
}
