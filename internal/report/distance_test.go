package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/repopeft"
)

func TestDistanceBin(t *testing.T) {
	for distance, want := range map[int]string{-1: "0", 0: "0", 1: "1", 2: "2–3", 3: "2–3", 4: "4–7", 7: "4–7", 8: "8–15", 1000: "512–1023"} {
		if got := DistanceBin(distance).String(); got != want {
			t.Errorf("distance %d is in bin %s, want %s", distance, got, want)
		}
	}
}

// distant are the scores of a method on the evolution track: in each repository
// tasks at distances 0 to 7, of which those below right are right.
func distant(method string, right int) []*repopeft.Score {
	all := scoresOf(method, "tree", shape{track: repopeft.Evolution, perRepo: 8, hits: []int{right}})
	for i, s := range all {
		s.CommitIndex = i % 8
	}
	return all
}

// TestDistances checks the tables, the figure and its JSON: an adapter that gets
// stale, and one that doesn't.
func TestDistances(t *testing.T) {
	dir := t.TempDir()
	var runs []string
	for i, m := range []struct {
		method string
		right  int
	}{{"base", 0}, {"checkpoint:at=anchor", 2}, {"checkpoint", 4}, {"evo:file=x", 5}, {"additive", 4}, {"evo:file=x,which=average", 1}, {"bm25:k=3", 3}} {
		runs = append(runs, writeRun(t, filepath.Join(dir, string(rune('a'+i))), infoOf(m.method, "tree", 24), true, distant(m.method, m.right)))
	}
	r := build(t, Options{Runs: runs})
	id := "evolution-cr-tree-by-distance"
	tb := r.doc.find(t, id)
	wantColumn(t, tb, "method", "base", "bm25:k=3", "checkpoint:at=anchor", "checkpoint", "evo:file=x", "evo:file=x,which=average", "additive")
	wantColumn(t, tb, "1 (3)", "0.0 [0.0, 0.0]", "100.0 [100.0, 100.0]", "100.0 [100.0, 100.0]", "100.0 [100.0, 100.0]", "100.0 [100.0, 100.0]", "0.0 [0.0, 0.0]", "100.0 [100.0, 100.0]")
	wantColumn(t, tb, "2–3 (6)", "0.0 [0.0, 0.0]", "50.0 [50.0, 50.0]", "0.0 [0.0, 0.0]", "100.0 [100.0, 100.0]", "100.0 [100.0, 100.0]", "0.0 [0.0, 0.0]", "100.0 [100.0, 100.0]")
	wantColumn(t, tb, "4–7 (12)", "0.0 [0.0, 0.0]", "0.0 [0.0, 0.0]", "0.0 [0.0, 0.0]", "0.0 [0.0, 0.0]", "25.0 [25.0, 25.0]", "0.0 [0.0, 0.0]", "0.0 [0.0, 0.0]")
	gains := r.doc.find(t, id+"-minus-stale")
	wantColumn(t, gains, "method", "base", "bm25:k=3", "checkpoint", "evo:file=x", "evo:file=x,which=average", "additive")
	wantColumn(t, gains, "2–3 (6)", "0.0 [0.0, 0.0]", "+50.0 [+50.0, +50.0]", "+100.0 [+100.0, +100.0]", "+100.0 [+100.0, +100.0]", "0.0 [0.0, 0.0]", "+100.0 [+100.0, +100.0]")

	asked := map[string]int{}
	for _, row := range r.doc.find(t, "evolution-cr-tree-comparisons").Rows {
		asked[row.Cells[0].Text]++
	}
	for question, want := range map[string]int{"better than the anchor's?": 3, "as good as a fresh one?": 2, "sums or a recurrence?": 1, "does own matter?": 1} {
		if asked[question] != want {
			t.Errorf("%d comparisons ask %q, want %d", asked[question], question, want)
		}
	}

	out := filepath.Join(dir, "report")
	if _, err := r.Write(out); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(out, DataFolder, id+"-curve.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d Distances
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Bins) != 4 || len(d.Methods) != 7 || d.Methods[4].Exact[3].Mean != 0.25 || d.Methods[2].MinusStale != nil || d.Methods[4].MinusStale[2].Mean != 1 {
		t.Errorf("JSON: %+v", d)
	}
	svg, err := os.ReadFile(filepath.Join(out, DataFolder, id+"-curve.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"checkpoint:at=anchor": true, "additive": true, "4–7": true, "bm25": false, "average": false} {
		if got := strings.Contains(string(svg), text); got != want {
			t.Errorf("the figure says %q: %t, want %t", text, got, want)
		}
	}
}

// TestNoDistances: in the static track, and where nobody has counted, there is no
// such section.
func TestNoDistances(t *testing.T) {
	dir := t.TempDir()
	s := shape{perRepo: 2, hits: []int{1}}
	e := s
	e.track = repopeft.Evolution
	r := build(t, Options{Runs: []string{simple(t, dir, "base", "tree", s, e), simple(t, dir, "checkpoint:at=anchor", "tree", s, e)}})
	if strings.Contains(r.doc.texts(), "since its anchor") {
		t.Error("there is a section of distances without distances")
	}
}
