package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// digest is a benchmark's, and another one.
var (
	digest = strings.Repeat("ab", 32)
	second = strings.Repeat("cd", 32)
)

// testRepos are repositories of each split.
var testRepos = map[dataset.Split][]string{
	dataset.Test: {"o/alpha", "o/beta", "o/gamma"}, dataset.Train: {"o/delta", "o/epsilon"}, dataset.Validation: {"o/zeta", "o/eta"},
}

// shape says how the scores of a run are made.
type shape struct {
	track   repopeft.Track
	split   dataset.Split
	inRepo  dataset.Split
	kind    repopeft.Kind
	perRepo int
	sizes   []int // tasks of each repository, instead
	hits    []int // of each repository, the tasks that are right: the first ones
	context int
	nll     float64
}

// scoresOf makes the scores of a run: tasks of each repository, the first ones
// of them right.
func scoresOf(method, level string, s shape) []*repopeft.Score {
	if s.track == "" {
		s.track = repopeft.Static
	}
	if s.split == "" {
		s.split = dataset.Test
	}
	if s.inRepo == "" {
		s.inRepo = dataset.Test
	}
	if s.kind == "" {
		s.kind = repopeft.Assertion
	}
	var all []*repopeft.Score
	for i, repo := range testRepos[s.split] {
		hits := s.hits[min(i, len(s.hits)-1)]
		n := s.perRepo
		if s.sizes != nil {
			n = s.sizes[i]
		}
		for k := range n {
			score := &repopeft.Score{
				Task:       repopeft.TaskID(repo, string(s.track), "f.py", s.kind, k, k+1),
				Repository: repo, Track: s.track, Split: s.split, InRepo: s.inRepo, Kind: s.kind, Language: "python", Method: method, Level: level,
				Difficulty: repopeft.Difficulties[k%3], Family: "assert", Tokens: 2, NLL: 2 * (s.nll + float64(k)/10), TargetBytes: k + 1,
				PromptTokens: 500 + s.context, ContextTokens: s.context, CodeBLEU: 0.25, TokenBLEU: 0.75, EditSimilarity: 0.5,
			}
			if k < hits {
				score.Exact, score.ExactPaper, score.EditSimilarity = true, true, 1
			} else {
				score.ExactPaper = k == hits
				score.Error = []string{"near-miss", "wrong literal"}[k%2]
			}
			all = append(all, score)
		}
	}
	return all
}

// infoOf is what a run was created with.
func infoOf(method, level string, n int) repopeft.RunInfo {
	return repopeft.RunInfo{Tool: "code2lora test", Command: []string{"/usr/bin/code2lora", "bench", "run", "--method", method}, Method: method, Level: level,
		Base: "smol", BaseSHA256: strings.Repeat("12", 32), Benchmark: digest, Precision: "float32", Tasks: map[string]any{"n": n}}
}

// writeRun writes a scored run into a new folder below dir.
func writeRun(t *testing.T, dir string, info repopeft.RunInfo, finish bool, scores []*repopeft.Score) string {
	t.Helper()
	r, err := repopeft.CreateRun(dir, info)
	if err != nil {
		t.Fatal(err)
	}
	if finish {
		err = r.Finish()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if scores != nil {
		if err := repopeft.WriteScores(filepath.Join(dir, repopeft.ScoresFile), slices.Values(scores)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// simple writes a finished run of a method.
func simple(t *testing.T, dir, method, level string, shapes ...shape) string {
	t.Helper()
	var all []*repopeft.Score
	for _, s := range shapes {
		all = append(all, scoresOf(method, level, s)...)
	}
	return writeRun(t, filepath.Join(dir, fmt.Sprintf("run%02d", len(entries(t, dir))+1)), infoOf(method, level, len(all)), true, all)
}

func entries(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// build makes a report, of few resamples.
func build(t *testing.T, o Options) *Report {
	t.Helper()
	if o.Stats.Resamples == 0 {
		o.Stats.Resamples = 200
	}
	r, err := Build(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// find returns the table with an id.
func (d *document) find(t *testing.T, id string) *table {
	t.Helper()
	var ids []string
	for _, s := range d.Sections {
		for _, b := range s.Blocks {
			if b.Table != nil {
				if b.Table.ID == id {
					return b.Table
				}
				ids = append(ids, b.Table.ID)
			}
		}
	}
	t.Fatalf("no table %q among %q", id, ids)
	return nil
}

// column returns the texts of a column by name, with what is in small letters.
func (tb *table) column(t *testing.T, name string) []string {
	t.Helper()
	i := slices.IndexFunc(tb.Columns, func(c column) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("table %s has no column %q: %+v", tb.ID, name, tb.Columns)
	}
	var all []string
	for _, r := range tb.Rows {
		all = append(all, strings.TrimSpace(r.Cells[i].Text+" "+r.Cells[i].Note))
	}
	return all
}

// texts are those of all sections, outside tables.
func (d *document) texts() string {
	var all []string
	for _, s := range d.Sections {
		all = append(all, s.Title)
		for _, b := range s.Blocks {
			all = append(all, b.Text)
		}
	}
	return strings.Join(all, "\n")
}

func writeJSON(t *testing.T, path string, v any) string {
	t.Helper()
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
