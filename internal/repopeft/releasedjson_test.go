package repopeft

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/dataset"
)

// numbers is a JSON array of n numbers, the first of which is x.
func numbers(x string, n int) string { return "[" + x + strings.Repeat(", 0.0", n-1) + "]" }

const pairJSON = `{"prefix": "def test_a():\n\n    assert f(\"é\") == ", "target": "x", "assertion_type": "assert", "difficulty": "variable", "context_lines": 3,
 "metadata": {"file": "tests/test_a.py", "lineno": 12, "col_offset": 4, "target_col_offset": 19, "test_function": "test_a", "test_class": null,
 "was_multiline": false, "prefix_sections": ["function"], "repo": "owner/name", "source_file": "a.py"}}`

// writeJSON writes a file.
func writeJSON(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// splitFile is a file of the static track with two repositories.
var splitFile = fmt.Sprintf(`{"meta": {"n": [1, {"x": 2}]}, "repositories": {
 "owner/name": {"embedding": %s, "qna_pairs": [%s, {"prefix": "p", "target": ", 1)"}], "stars": 3,
  "file_embeddings": [{"path": "a.py", "embedding": %s, "tokens": 9}]},
 "owner/empty": {"qna_pairs": [], "embedding": null}}}`, numbers("0.5", ReleasedVector), pairJSON, numbers("-1.5", ReleasedVector))

// wantPair is the task of pairJSON.
func wantPair(s suite) *Task {
	t := &Task{
		Repository: "owner/name", Track: s.track, Split: s.split, InRepo: s.inRepo, File: "tests/test_a.py", Language: "python",
		Kind: Assertion, Family: "assert", Difficulty: "variable", Function: "test_a", Line: 12,
		Prefix: "def test_a():\n\n    assert f(\"é\") == ", Target: "x",
	}
	t.ID = releasedID(t, 4)
	return t
}

func TestReleasedRepositories(t *testing.T) {
	got, err := collect(ReleasedRepositories(writeJSON(t, "ir_val_structured.json", splitFile)))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Name != "owner/name" || got[1].Name != "owner/empty" || len(got[0].Tasks) != 2 || len(got[1].Tasks) != 0 {
		t.Fatalf("got %+v", got)
	}
	if want := wantPair(suite{Static, dataset.Train, dataset.Validation}); !reflect.DeepEqual(got[0].Tasks[0], want) {
		t.Errorf("task:\n got %+v\nwant %+v", got[0].Tasks[0], want)
	}
	if got[0].Embedding[0] != 0.5 || got[1].Embedding != nil {
		t.Error("embeddings differ")
	}
	if f := got[0].Files; len(f) != 1 || f[0].Path != "a.py" || f[0].Embedding[0] != -1.5 {
		t.Error("embeddings of files differ")
	}
}

func TestReleasedSuites(t *testing.T) {
	single := `{"repo": "owner/name", "total_extracted": 7, "selection_params": {"max_per_repo": 200}, "pairs": [` + pairJSON + `]}`
	nameless := `{"pairs": [` + pairJSON + `], "saved_count": 1}`
	tests := []struct {
		name, content string
		want          suite
	}{
		{"train.json", splitFile, suite{Static, dataset.Train, dataset.Train}},
		{"ir_test.json", splitFile, suite{Static, dataset.Train, dataset.Test}},
		{"cr_val_structured.json", splitFile, suite{Static, dataset.Validation, ""}},
		{"cr_test.json", splitFile, suite{Static, dataset.Test, ""}},
		{"ood_test.json", splitFile, suite{OOD, dataset.Test, ""}},
		{"QNA_HYPERNET.json", single, suite{Static, "", ""}},
		{"QNA_HYPERNET.json", nameless, suite{Static, "", ""}},
	}
	for _, tt := range tests {
		got, err := collect(ReleasedTasks(writeJSON(t, tt.name, tt.content), ReleasedOptions{NoCommas: true}))
		if err != nil {
			t.Fatal(err)
		}
		if want := wantPair(tt.want); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("%s: got %+v\nwant %+v", tt.name, got[0], want)
		}
	}
}

func TestReleasedJSONErrors(t *testing.T) {
	tests := []struct{ name, content, want string }{
		{"nothing", `{"a": 1}`, "neither"},
		{"array", `[1, 2, 3]`, "the file begins with ["},
		{"cut", splitFile[:len(splitFile)-3], "unexpected EOF"},
		{"cut in a pair", splitFile[:len(splitFile)/2], "owner/name"},
		{"no prefix", `{"repositories": {"a/b": {"qna_pairs": [{"target": "x"}]}}}`, `pair 0 of a/b: "prefix" is missing`},
		{"no target", `{"repositories": {"a/b": {"qna_pairs": [{"prefix": "x"}]}}}`, `pair 0 of a/b: "target" is missing`},
		{"number", `{"repositories": {"a/b": {"qna_pairs": [{"prefix": 3}]}}}`, "prefix of type string"},
		{"short", `{"repositories": {"a/b": {"embedding": [1, 2]}}}`, "embedding of a/b has 2 numbers, want 2048"},
		{"short file", `{"repositories": {"a/b": {"file_embeddings": [{"path": "x"}]}}}`, "embedding of a/b x has 0 numbers"},
		{"nan", `{"repositories": {"a/b": {"embedding": [NaN]}}}`, "embedding of a/b"},
		{"nameless", `{"pairs": [{"prefix": "a", "target": "b"}]}`, "repository is empty"},
	}
	for _, tt := range tests {
		path := writeJSON(t, "train.json", tt.content)
		_, err := collect(ReleasedRepositories(path))
		wantError(t, tt.name, err, path, tt.want)
	}
	for range ReleasedRepositories(writeJSON(t, "train.json", splitFile)) {
		break // wants no more, which is no error
	}
}

func FuzzReleasedJSON(f *testing.F) {
	f.Add(splitFile)
	f.Add(`{"repo": "owner/name", "pairs": [` + pairJSON + `]}`)
	f.Add(`{"repositories": {"a/b": {"qna_pairs": null, "pairs": [{"prefix": "", "target": "\ud800"}]}}}`)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content string) {
		path := filepath.Join(dir, fmt.Sprint(os.Getpid()))
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		for r, err := range ReleasedRepositories(path) {
			if err != nil {
				return
			}
			for _, task := range r.Tasks {
				if task.Repository == "" || task.Target == "" || !isTaskID(task.ID) {
					t.Errorf("accepted %+v", task)
				}
			}
		}
	})
}
