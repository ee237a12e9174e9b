package repopeft

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// prediction returns an answer to the i-th task.
func prediction(i int) *Prediction {
	return &Prediction{
		Task: TaskID("owner/one", "c", "a.py", Assertion, i, i+1), Repository: "owner/one", Method: "bm25 k=3", Level: "tree",
		Text: fmt.Sprintf("<%d & 'ü'>", i), NLL: 1.5 * float64(i), Tokens: 2, PromptTokens: 100 + i, ContextTokens: 40,
	}
}

func runInfo() RunInfo {
	return RunInfo{
		Tool: "code2lora v1", Command: []string{"code2lora", "bench", "run"}, Method: "bm25 k=3", Level: "tree",
		Settings: map[string]any{"k": 3}, Base: "tiny", BaseSHA256: "aa", Benchmark: "bb", Precision: "float32", Seed: 7,
	}
}

func TestResultsFiles(t *testing.T) {
	passed := true
	score := &Score{Task: prediction(1).Task, Repository: "owner/one", Track: OOD, Split: "test", InRepo: "train", Kind: Line,
		Language: "go", Method: "base", Level: "tree", Exact: true, EditSimilarity: 0.5, NLL: 2, Tokens: 3, Passed: &passed, PromptTokens: 4}
	for _, name := range []string{"x.jsonl", "sub/x.jsonl.gz"} {
		path := filepath.Join(t.TempDir(), name)
		want := []*Prediction{prediction(0), prediction(1)}
		if err := WritePredictions(path, slices.Values(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := collect(Predictions(path)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, error %v", name, got, err)
		}
		if err := WriteScores(path, slices.Values([]*Score{score})); err != nil {
			t.Fatal(err)
		}
		if got, err := collect(Scores(path)); err != nil || !reflect.DeepEqual(got, []*Score{score}) {
			t.Errorf("%s: got %v, error %v", name, got, err)
		}
	}
}

func TestResultsErrors(t *testing.T) {
	good := fmt.Sprintf(`{"task":%q,"repository":"a/b","method":"m","level":"","text":"","nll":0,"tokens":0,"prompt_tokens":0,"context_tokens":0}`, prediction(0).Task)
	tests := []struct{ name, content, want string }{
		{"json", good + "\n{\n", "line 2: "},
		{"empty line", "\n" + good + "\n", "line 1: "},
		{"two objects", good + good + "\n", "line 1: something follows"},
		{"twice", good + "\n" + good + "\n", "line 2: the same task and method as in line 1"},
		{"cut", good + "\n" + good[:20], "line 2: has no end"},
		{"unknown field", strings.Replace(good, "level", "levle", 1) + "\n", `line 1: json: unknown field "levle"`},
		{"type", strings.Replace(good, `"tokens":0`, `"tokens":"0"`, 1) + "\n", "line 1: "},
		{"task", strings.Replace(good, `"task":"`, `"task":"x`, 1) + "\n", "line 1: task is"},
		{"repository", strings.Replace(good, "a/b", "", 1) + "\n", "line 1: repository is empty"},
		{"method", strings.Replace(good, `"m"`, `""`, 1) + "\n", "line 1: method is empty"},
		{"tokens", strings.Replace(good, `"tokens":0`, `"tokens":-1`, 1) + "\n", "line 1: tokens is -1"},
		{"context", strings.Replace(good, `"context_tokens":0`, `"context_tokens":9`, 1) + "\n", "line 1: prompt_tokens is 0"},
	}
	for _, tt := range tests {
		path := writeJSON(t, "x.jsonl", tt.content)
		_, err := collect(Predictions(path))
		wantError(t, tt.name, err, path, tt.want)
	}
	_, err := collect(Scores(writeJSON(t, "x.jsonl", good+"\n")))
	wantError(t, "a prediction as score", err, "line 1", `unknown field "text"`)
	_, err = collect(Predictions(writeJSON(t, "x.jsonl.gz", good+"\n")))
	wantError(t, "no gzip", err, "gzip")

	path := filepath.Join(t.TempDir(), "x.jsonl")
	bad := prediction(1)
	bad.NLL = math.NaN()
	wantError(t, "NaN", WritePredictions(path, slices.Values([]*Prediction{prediction(0), bad})), "line 2", "nll is NaN")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file is left: %v", err)
	}
}

// mustCreate creates or continues a run.
func mustCreate(t *testing.T, dir string) *Run {
	t.Helper()
	r, err := CreateRun(dir, runInfo())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestRun(t *testing.T) {
	straight, resumed := t.TempDir(), t.TempDir()

	r := mustCreate(t, straight)
	var wait sync.WaitGroup
	for i := range 10 {
		wait.Go(func() {
			if err := r.Append(prediction(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if err := r.Finish(); err != nil {
		t.Fatal(err)
	}

	r = mustCreate(t, resumed)
	if err := r.Append(prediction(9), prediction(3), prediction(0)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadRun(resumed); !errors.Is(err, ErrRunUnfinished) {
		t.Errorf("reading an unfinished run: %v", err)
	}
	if _, err := OpenRun(resumed); err == nil {
		t.Error("the run is open twice")
	}
	r.Close()
	r, err := OpenRun(resumed)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := r.Done(); len(got) != 3 || !got[prediction(3).Task] || r.Cut() != nil || r.Finished() {
		t.Errorf("done %v, cut %v", got, r.Cut())
	}
	for i := range 10 {
		if p := prediction(i); !r.Done()[p.Task] {
			if err := r.Append(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := r.Finish(); err != nil {
		t.Fatal(err)
	}
	wantError(t, "append to a finished run", r.Append(prediction(10)), "finished")
	if !maps.Equal(files(t, straight), files(t, resumed)) {
		t.Error("a run that was cut gave other bytes")
	}

	info, all, err := ReadRun(resumed)
	if err != nil || len(all) != 10 || info.Seed != 7 || info.Format != 1 {
		t.Fatalf("%d predictions of %+v, error %v", len(all), info, err)
	}
	if !slices.IsSortedFunc(all, func(a, b *Prediction) int { return strings.Compare(a.Task, b.Task) }) {
		t.Error("predictions are not sorted")
	}
	r.Close()
	if r := mustCreate(t, resumed); !r.Finished() || len(r.Done()) != 10 {
		t.Error("the finished run is not recognised")
	}
}

// TestRunCut cuts the file of predictions in many places.
func TestRunCut(t *testing.T) {
	dir := t.TempDir()
	r := mustCreate(t, dir)
	var ends []int64
	for i := range 3 {
		if err := r.Append(prediction(2*i), prediction(2*i+1)); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, r.size)
	}
	r.Close()
	path := filepath.Join(dir, predictionsFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) + 1 {
		if n%17 > 1 && n < len(whole)-3 && !slices.Contains(ends, int64(n)) {
			continue
		}
		if err := os.WriteFile(path, whole[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		r := mustCreate(t, dir)
		least := 0
		for _, end := range ends {
			if int64(n) >= end {
				least += 2
			}
		}
		clean := n == 0 || slices.Contains(ends, int64(n))
		done := r.Done()
		if len(done) < least || len(done) > 6 || (r.Cut() == nil) != clean {
			t.Errorf("cut at %d: %d done, want at least %d; cut %v", n, len(done), least, r.Cut())
		}
		for i := range 6 {
			if p := prediction(i); !done[p.Task] {
				if err := r.Append(p); err != nil {
					t.Errorf("cut at %d: %v", n, err)
				}
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if got, err := collect(Predictions(path)); err != nil || len(got) != 6 {
			t.Errorf("cut at %d: %d predictions, error %v", n, len(got), err)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	dir := t.TempDir()
	r := mustCreate(t, dir)
	if err := r.Append(prediction(0)); err != nil {
		t.Fatal(err)
	}
	other, level, nan := prediction(1), prediction(1), prediction(2)
	other.Method, level.Level, nan.NLL = "base", "production", math.Inf(1)
	wantError(t, "method", r.Append(other), `of method "base", the run is of "bm25 k=3"`)
	wantError(t, "level", r.Append(level), `at level "production"`)
	wantError(t, "infinite", r.Append(prediction(1), nan), "nll is +Inf")
	wantError(t, "again", r.Append(prediction(0)), "answered already")
	wantError(t, "twice", r.Append(prediction(2), prediction(2)), "given twice")
	if got := len(r.Done()); got != 1 {
		t.Errorf("%d done, want 1", got)
	}
	r.Close()

	info := runInfo()
	info.Command = nil
	if r, err := CreateRun(dir, info); err != nil {
		t.Errorf("another command: %v", err)
	} else {
		r.Close()
	}
	old := runInfo()
	oldDir := filepath.Join(t.TempDir(), "old") // of a version that recorded no checkpoint
	for _, checkpoint := range []string{"", "cc"} {
		old.Checkpoint = checkpoint
		if r, err := CreateRun(oldDir, old); err != nil {
			t.Errorf("a run without checkpoint, continued with %q: %v", checkpoint, err)
		} else {
			r.Close()
		}
	}
	old.Checkpoint = "aa"
	otherDir := filepath.Join(t.TempDir(), "other")
	if r, err := CreateRun(otherDir, old); err != nil {
		t.Error(err)
	} else {
		r.Close()
	}
	for _, checkpoint := range []string{"", "bb"} {
		old.Checkpoint = checkpoint
		_, err := CreateRun(otherDir, old)
		wantError(t, "checkpoint", err, otherDir, "other settings (checkpoint)")
	}
	info.Seed, info.Settings, info.Checkpoint = 8, map[string]any{"k": 4}, "cc"
	_, err := CreateRun(dir, info)
	wantError(t, "settings", err, dir, "other settings (seed, settings)")
	_, err = CreateRun(t.TempDir(), RunInfo{Benchmark: "x"})
	wantError(t, "no method", err, "method is empty")

	if err := os.Remove(filepath.Join(dir, runFile)); err != nil {
		t.Fatal(err)
	}
	_, err = CreateRun(dir, runInfo())
	wantError(t, "no run.json", err, "no run.json")
	_, err = OpenRun(dir)
	wantError(t, "open", err, "run.json")
}

func TestFinishedRunChanged(t *testing.T) {
	dir := t.TempDir()
	r := mustCreate(t, dir)
	if err := errors.Join(r.Append(prediction(0)), r.Finish(), r.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, predictionsFile)
	if err := WritePredictions(path, slices.Values([]*Prediction{prediction(1)})); err != nil {
		t.Fatal(err)
	}
	_, _, err := ReadRun(dir)
	wantError(t, "read", err, "SHA-256 of predictions.jsonl.gz")
	_, err = OpenRun(dir)
	wantError(t, "open", err, "SHA-256 of predictions.jsonl.gz")
}

func FuzzPredictions(f *testing.F) {
	f.Add("{}\n")
	f.Add(fmt.Sprintf(`{"task":%q,"repository":"a/b","method":"m"}`, prediction(0).Task) + "\n")
	f.Add(fmt.Sprintf(`{"task":%q,"repository":"a/b","method":"m","nll":1e400}`, prediction(0).Task) + "\n")
	f.Fuzz(func(t *testing.T, content string) {
		err := parseResults(strings.NewReader(content), func(p *Prediction, _ error) bool {
			if err := p.Validate(); err != nil {
				t.Error(err)
			}
			return true
		})
		if err == nil && content != "" && !strings.HasSuffix(content, "\n") {
			t.Error("accepted a line without an end")
		}
	})
}

func TestReadRunInfo(t *testing.T) {
	dir := t.TempDir()
	info := RunInfo{Method: "base", Level: "tree", Benchmark: "b", Seed: 3}
	r, err := CreateRun(dir, info)
	if err != nil {
		t.Fatal(err)
	}
	// While the run is open, and locked.
	got, finished, err := ReadRunInfo(dir)
	if err != nil || finished || got.Method != "base" || got.Seed != 3 {
		t.Errorf("got %+v, finished %t, error %v", got, finished, err)
	}
	if err := errors.Join(r.Finish(), r.Close()); err != nil {
		t.Fatal(err)
	}
	if _, finished, err := ReadRunInfo(dir); err != nil || !finished {
		t.Errorf("finished %t, error %v, want a finished run", finished, err)
	}
	if _, _, err := ReadRunInfo(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no run: got %v, want that it doesn't exist", err)
	}
}
