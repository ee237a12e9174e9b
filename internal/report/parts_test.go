package report

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/audit"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/stats"
)

func TestScaling(t *testing.T) {
	dir := t.TempDir()
	o := Options{}
	// 40, 50, 60 and 70 % at 1, 10, 100 and 1000: 10 points a decade.
	for i, n := range []int{1000, 1, 100, 10, 0} {
		hits := []int{7, 4, 6, 5, 3}[i]
		o.Scaling = append(o.Scaling, Point{n, simple(t, dir, fmt.Sprintf("checkpoint:file=%d", n), "tree", shape{perRepo: 10, hits: []int{hits}})})
	}
	r := build(t, o)
	tb := r.doc.find(t, "scaling-1")
	wantColumn(t, tb, "training repositories", "0", "1", "10", "100", "1000")
	wantColumn(t, tb, "exact match, %", "30.0 [30.0, 30.0]", "40.0 [40.0, 40.0]", "50.0 [50.0, 50.0]", "60.0 [60.0, 60.0]", "70.0 [70.0, 70.0]")
	if want := "Exact match = 4.34 ln N + 40.0, R² 1.000."; tb.Notes[0] != want { // 10 / ln 10
		t.Errorf("fit %q, want %q", tb.Notes[0], want)
	}
	// ln of 60, 50, 40, 30 on 0, 1, 2, 3 times ln 10.
	y := []float64{math.Log(60), math.Log(50), math.Log(40), math.Log(30)}
	slope := (-1.5*y[0] - .5*y[1] + .5*y[2] + 1.5*y[3]) / 5 / math.Log(10)
	start := (y[0]+y[1]+y[2]+y[3])/4 - slope*1.5*math.Log(10)
	if want := fmt.Sprintf("Error = %.1f N^(−%.3f), R² ", math.Exp(start), -slope); !strings.HasPrefix(tb.Notes[1], want) {
		t.Errorf("fit %q, want %q", tb.Notes[1], want)
	}
	if got := tb.Rows[0].Runs; len(got) != 1 || got[0] != 5 {
		t.Errorf("runs of the first row: %d, want the fifth", got)
	}
}

func TestScalingCommonTasks(t *testing.T) {
	dir := t.TempDir()
	long := simple(t, dir, "checkpoint:file=a", "tree", shape{perRepo: 10, hits: []int{4}}, shape{perRepo: 3, split: "validation", hits: []int{1}})
	brief := simple(t, dir, "checkpoint:file=b", "tree", shape{perRepo: 5, hits: []int{4}})
	base := simple(t, dir, "base", "production", shape{perRepo: 10, hits: []int{5}})
	r := build(t, Options{Scaling: []Point{{10, long}, {20, brief}, {0, base}}})
	tb := r.doc.find(t, "scaling-1")
	wantColumn(t, tb, "n", "15", "15", "15")
	wantColumn(t, tb, "exact match, %", "100.0 [100.0, 100.0]", "80.0 [80.0, 80.0]", "80.0 [80.0, 80.0]")
	if !strings.Contains(tb.Notes[0], "No fit") {
		t.Errorf("notes %q, want that there is no fit", tb.Notes)
	}
	// Nothing is wrong any more: there is no logarithm of the error.
	c := scalingCurve{points: []scaled{{n: 1, exact: stats.Interval{Mean: .5}}, {n: 2, exact: stats.Interval{Mean: .9}}, {n: 4, exact: stats.Interval{Mean: 1}}}}
	log, power, ok := c.fits()
	if !ok || math.IsNaN(log.slope) || !math.IsNaN(power.slope) {
		t.Errorf("fits %+v and %+v, %t: want the first only", log, power, ok)
	}
	apart := simple(t, dir, "checkpoint:file=c", "tree", shape{perRepo: 5, hits: []int{4}, kind: "call"})
	if r := build(t, Options{Scaling: []Point{{10, long}, {20, apart}}}); !strings.Contains(r.doc.texts(), "no tasks in common") {
		t.Error("the report doesn't say that the runs have no tasks in common")
	}
}

// auditFile writes an audit.
func auditFile(t *testing.T, path string, v audit.Verdict) string {
	nan := stats.Interval{Mean: math.NaN(), Low: math.NaN(), High: math.NaN()}
	ce := audit.Comparison{Base: nan, Own: stats.Interval{Mean: 1.25, Low: 1, High: 1.5, N: 20, Clusters: 5}, Average: nan, Stranger: nan, Nearest: nan,
		OwnAverage: stats.Interval{Mean: -0.25, Low: -0.5, High: -0.125, N: 20, Clusters: 5}, OwnStranger: nan, OwnNearest: nan}
	return writeJSON(t, path, struct {
		Checkpoint string `json:"checkpoint"`
		Level      string `json:"level"`
		*audit.Report
	}{"smol-1", "tree", &audit.Report{Repositories: 5, Tasks: 20, Spread: &hypernet.Spread{Cosine: hypernet.Range{Min: .5, Mean: .75, Max: .875}},
		Modules: map[string]float64{"q_proj": .5}, EffectiveRank: 2.5, Identified: stats.Interval{Mean: .5, Low: .25, High: .75, N: 10, Clusters: 5}, Chance: 1. / 9,
		Steps: []float64{0, 1}, Response: []float64{0, 1}, CrossEntropy: ce, ExactMatch: ce, Verdict: v, Because: "of <this>"}})
}

func TestAudits(t *testing.T) {
	dir := t.TempDir()
	run := simple(t, dir, "base", "tree", shape{perRepo: 2, hits: []int{1}})
	r := build(t, Options{Runs: []string{run}, Audits: []string{auditFile(t, dir+"/first.json", audit.Conditioned), auditFile(t, dir+"/second.json", audit.Not)}})
	tb := r.doc.find(t, "audits")
	got := map[string]string{}
	for _, row := range tb.Rows {
		got[row.Cells[0].Text] = row.Cells[1].Text + " " + row.Cells[1].Note + "|" + row.Cells[2].Text
	}
	for name, want := range map[string]string{
		"verdict": "conditioned |not", "repositories": "5 |5", "tasks": "20 |20", "checkpoint": "smol-1 |smol-1",
		"cosine of ΔW between repositories":         "0.7500 [0.5000, 0.8750]|0.7500",
		"cosine of ΔW, q_proj":                      "0.5000 |0.5000",
		"effective rank of the adapters":            "2.50 of 4|2.50",
		"cosine of ΔW between neighbouring commits": "– |–",
		"repository told from its adapter, %":       "50.0 [25.0, 75.0], chance 11.1|50.0",
		"response to interpolated repositories":     "0.00→0.00 1.00→1.00 |0.00→0.00 1.00→1.00",
		"cross-entropy: own":                        "1.250 [1.000, 1.500]|1.250",
		"cross-entropy: own − average":              "−0.250 [−0.500, −0.125]|−0.250",
		"cross-entropy: base":                       "– |–",
	} {
		if got[name] != want {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
	if !strings.Contains(r.doc.texts(), "first: verdict: conditioned: of <this>") {
		t.Error("the report doesn't have the verdict line")
	}
	wantColumn(t, r.doc.find(t, "files"), "what", "audit", "audit")
}

func TestGrids(t *testing.T) {
	dir := t.TempDir()
	run := simple(t, dir, "base", "tree", shape{perRepo: 2, hits: []int{1}})
	point := func(name string, em float64, err string) map[string]any {
		return map[string]any{"name": name, "validation": map[string]any{"tasks": 30, "exact_match": em, "cross_entropy": 1.5}, "error": err, "result": map[string]any{"x": 1}}
	}
	path := writeJSON(t, dir+"/grid.json", map[string]any{"points": []any{point("rank=4", .25, ""), point("rank=8", .5, ""), point("rank=9", 0, "no <memory>")},
		"best": 1, "selected_by": "exact_match"})
	r := build(t, Options{Runs: []string{run}, Grids: []string{path}})
	tb := r.doc.find(t, "grid-1")
	wantColumn(t, tb, "point", "rank=4", "rank=8", "rank=9")
	wantColumn(t, tb, "validation tasks", "30", "30", unknown)
	wantColumn(t, tb, "exact match, %", "25.0", "50.0", unknown)
	wantColumn(t, tb, "chosen", "", "yes", "")
	wantColumn(t, tb, "failed because", "", "", "no <memory>")
	if !strings.Contains(tb.Caption, "3 points, chosen by exact match") {
		t.Errorf("caption %q", tb.Caption)
	}
	for _, best := range []int{-2, 3} {
		bad := writeJSON(t, dir+"/bad.json", map[string]any{"points": []any{point("a", 1, ""), point("b", 1, ""), point("c", 1, "")}, "best": best})
		if _, err := Build(Options{Runs: []string{run}, Grids: []string{bad}}); err == nil || !strings.Contains(err.Error(), "of 3") {
			t.Errorf("best %d: got %v, want an error", best, err)
		}
	}
}

func TestSpec(t *testing.T) {
	for _, tt := range []struct {
		text                                          string
		base, adapter, context, combined, ctrl, reads bool
		levelless                                     bool
	}{
		{text: "base", base: true, levelless: true},
		{text: "bm25:k=3", context: true},
		{text: "adapter:dir=a", adapter: true, levelless: true},
		{text: "own-adapter:dir=a", adapter: true},
		{text: "own-adapter:dir=a,which=stranger", ctrl: true},
		{text: "checkpoint", adapter: true},
		{text: "checkpoint:file=x,which=own", adapter: true},
		{text: "checkpoint:which=average", ctrl: true, levelless: true},
		{text: "checkpoint:which=nearest", ctrl: true},
		{text: "checkpoint:at=anchor", adapter: true},
		{text: "evo:file=x", adapter: true},
		{text: "evo:file=x,which=average", ctrl: true, levelless: true},
		{text: "additive", adapter: true},
		{text: "additive:which=stranger", ctrl: true},
		{text: "dependencies-past-cut", context: true, reads: true},
		{text: "adapter:dir=a+bm25:k=3", combined: true},
		{text: "checkpoint:which=shuffled+dependencies-past-cut", combined: true, ctrl: true, reads: true},
	} {
		s := parseSpec(tt.text)
		got := []bool{s.base(), s.adapter(), s.context(), s.combined(), s.control(), s.readsAnswer(), s.levelless()}
		want := []bool{tt.base, tt.adapter, tt.context, tt.combined, tt.ctrl, tt.reads, tt.levelless}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: base, adapter, context, combined, control, reads the answer, levelless are %v, want %v", tt.text, got, want)
		}
	}
}

func TestIsControl(t *testing.T) {
	for _, tt := range []struct {
		own, control string
		want         bool
	}{
		{"checkpoint", "checkpoint:which=average", true},
		{"own-adapter:dir=a", "own-adapter:dir=a,which=stranger", true},
		{"own-adapter:dir=a", "own-adapter:dir=b,which=stranger", false},
		{"checkpoint:which=own", "checkpoint:which=stranger", true},
		{"checkpoint:file=a", "checkpoint:file=a,which=average", true},
		{"checkpoint:file=a", "checkpoint:file=b,which=average", false},
		{"checkpoint:which=average", "checkpoint:which=stranger", false},
		{"checkpoint", "checkpoint:which=own", false},
		{"checkpoint+bm25:k=3", "checkpoint:which=average+bm25:k=3", true},
		{"checkpoint+bm25:k=3", "checkpoint:which=average+bm25:k=5", false},
		{"checkpoint+bm25:k=3", "checkpoint:which=average", false},
		{"adapter:dir=a", "checkpoint:which=average", false},
		{"evo:file=a", "evo:file=a,which=average", true},
		{"evo:file=a", "checkpoint:file=a,which=average", false},
		{"checkpoint:at=anchor", "checkpoint:which=average", false},
	} {
		if got := isControl(parseSpec(tt.own), parseSpec(tt.control)); got != tt.want {
			t.Errorf("%s and %s: got %t, want %t", tt.own, tt.control, got, tt.want)
		}
	}
}

func TestPairings(t *testing.T) {
	dir := t.TempDir()
	s := shape{perRepo: 2, hits: []int{1}}
	r := build(t, Options{Runs: []string{simple(t, dir, "bm25:k=3", "tree", s), simple(t, dir, "adapter:dir=a", "tree", s),
		simple(t, dir, "adapter:dir=a+bm25:k=3", "tree", s), simple(t, dir, "dependencies-past-cut", "tree", s)}})
	tb := r.doc.find(t, "static-cr-tree-comparisons")
	wantColumn(t, tb, "question", "adapter or retrieval?", "better than its part?", "better than its part?")
	wantColumn(t, tb, "A", "adapter:dir=a", "adapter:dir=a+bm25:k=3", "adapter:dir=a+bm25:k=3")
	wantColumn(t, tb, "B", "bm25:k=3", "bm25:k=3", "adapter:dir=a")
	if !strings.Contains(r.doc.texts(), "the base was not run") {
		t.Error("the report doesn't say why there is no scatter plot")
	}
}

func TestFormat(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{number(-0.04, 1), "0.0"}, {number(-1.25, 2), "−1.25"}, {number(math.NaN(), 1), unknown}, {number(math.Inf(1), 1), unknown},
		{signed(0.04, 1), "0.0"}, {signed(2, 0), "+2"}, {signed(-2, 0), "−2"},
		{quantity(0, ""), "0"}, {quantity(999, "B"), "999 B"}, {quantity(999.9, "B"), "1.00 kB"}, {quantity(1.345e8, ""), "134 M"}, {quantity(2.5e21, ""), "2.50 Z"},
		{quantity(1.5, ""), "1.50"}, {quantity(12.34, ""), "12.3"}, {quantity(math.NaN(), ""), unknown}, {quantity(7e25, ""), "70000 Z"},
		{times(1.5), "1.50×"}, {times(1234), "1.23 k×"}, {times(math.NaN()), unknown},
		{probability(0.0004), "<0.001"}, {probability(0.0314), "0.031"}, {probability(0.5), "0.50"}, {probability(math.NaN()), unknown},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
	for _, x := range []struct{ low, high float64 }{{0, 100}, {-2, 102}, {30, 31}, {0, 0.01}, {5, 5}} {
		all := ticks(x.low, x.high)
		if len(all) == 0 || len(all) > 11 || all[0].Value < x.low-1e-9 || all[len(all)-1].Value > x.high+1e-9 || strings.HasPrefix(all[0].Label, "-0") && all[0].Value == 0 {
			t.Errorf("from %g to %g: ticks %v", x.low, x.high, all)
		}
	}
}

// TestBenchmark: the manifest of the benchmark has its profile, and has to be
// that of a run.
func TestBenchmark(t *testing.T) {
	dir := t.TempDir()
	sha := strings.Repeat("0", 64)
	path := writeJSON(t, dir+"/manifest.json", map[string]any{"format": 1, "profile": "strict", "tool": "miner", "tasks": 7,
		"sha256": map[string]string{"tasks.parquet": sha, "commits.parquet": sha}})
	info := infoOf("base", "tree", 6)
	var err error
	if info.Benchmark, err = digestOf(path); err != nil {
		t.Fatal(err)
	}
	run := writeRun(t, dir+"/run", info, true, scoresOf("base", "tree", shape{perRepo: 2, hits: []int{1}}))
	r := build(t, Options{Runs: []string{run}, Benchmark: dir})
	wantColumn(t, r.doc.find(t, "conditions"), "profile", "strict")
	if !strings.Contains(r.doc.texts(), "The benchmark has 7 tasks of 0 repositories, mined by miner.") {
		t.Error("the report doesn't describe the benchmark")
	}
	other := simple(t, t.TempDir(), "base", "tree", shape{perRepo: 2, hits: []int{1}})
	if _, err := Build(Options{Runs: []string{other}, Benchmark: dir}); err == nil || !strings.Contains(err.Error(), "no run is on it") {
		t.Errorf("another benchmark: got %v, want an error", err)
	}
}

// TestDistinct has a repository with one easy target many times.
func TestDistinct(t *testing.T) {
	scores := scoresOf("base", "tree", shape{perRepo: 10, hits: []int{0}})
	for i, s := range scores {
		k := i % 10
		s.TargetDigest, s.TargetBytes, s.Exact = "0123456789abcdef", 1, k < 4 // one of 7 tasks, right in 4 of them
		if k >= 7 {
			s.TargetDigest, s.TargetBytes, s.Exact = strings.Repeat(string(rune('0'+k)), 16), 9, k == 9
		}
	}
	dir := t.TempDir()
	r := build(t, Options{Runs: []string{writeRun(t, filepath.Join(dir, "run"), infoOf("base", "tree", len(scores)), true, scores)}})
	tb := r.doc.find(t, "static-cr-distinct")
	wantColumn(t, tb, "tasks", "30")
	wantColumn(t, tb, "all tasks", "50.0")
	wantColumn(t, tb, "distinct targets", "12")                               // the digest is the same in three repositories, which count each
	wantColumn(t, tb, "exact match of distinct targets", "39.3 [39.3, 39.3]") // (4/7 + 1) / 4
	wantColumn(t, tb, "of those, less than 4 bytes", "57.1")                  // 4/7
	wantColumn(t, tb, "4 bytes or more", "33.3 [33.3, 33.3]")                 // 1/3
	by := r.doc.find(t, "static-cr-tree-by-short")
	wantColumn(t, by, "4 bytes or more (9)", "33.3")
	wantColumn(t, by, "less than 4 bytes (21)", "57.1")
	// Scores of older versions have no digests.
	r = build(t, Options{Runs: []string{simple(t, dir, "bm25", "tree", shape{perRepo: 4, hits: []int{1}})}})
	if !strings.Contains(r.doc.texts(), "no table of distinct targets") {
		t.Error("the report doesn't say why there is no table of distinct targets")
	}
}
