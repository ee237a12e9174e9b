package repopeft

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/code2lora/code2lora/internal/dataset"
)

// wantReleasedTasks is what reference/parquet_check.py writes.
func wantReleasedTasks(kind string) (tasks []*Task) {
	for i := range 4 {
		t := &Task{
			Repository: "owner/répo", Track: Evolution, Split: dataset.Train, InRepo: dataset.Train,
			Commit: fmt.Sprintf("%040x", 1+i/3), CommitIndex: i / 3, File: "tests/test_a.py", Language: "python", Kind: Assertion,
			Family:     []string{"assert", "self.assertEqual", "pytest.raises", "assert"}[i],
			Difficulty: []string{"numeric_literal", "string_literal", "complex_expr", "func_call"}[i],
			Function:   []string{"test_a", "test_b", "", ""}[i],
			Prefix:     "def test():\n    # é " + strings.Repeat("x", i) + "\n    assert f() == ",
			Target:     []string{"1", "'ü')", ", a)", "g(2)"}[i],
		}
		column := 4
		switch kind {
		case "snapshots":
			t.Track, column = Static, 0
		case "ood":
			t.Track, t.Split = OOD, dataset.Test
		case "smartcap", "pages":
			t.Event = []string{"added", "modified", "added", ""}[i]
		}
		if kind != "snapshots" {
			t.Line, t.Start, t.End = 3+i, len(t.Prefix), len(t.Prefix)+len(t.Target)
			if i == 3 {
				t.InRepo = dataset.Test
			}
		}
		t.ID = releasedID(t, column)
		tasks = append(tasks, t)
	}
	return tasks
}

func TestReleasedTasks(t *testing.T) {
	for _, kind := range []string{"smartcap", "snapshots", "ood", "pages"} {
		got, err := collect(ReleasedTasks(filepath.Join("testdata", kind+"-qna.parquet"), ReleasedOptions{}))
		if err != nil {
			t.Fatal(err)
		}
		want := wantReleasedTasks(kind)
		if len(got) != len(want) {
			t.Fatalf("%s: %d tasks, want %d", kind, len(got), len(want))
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("%s: task %d:\n got %+v\nwant %+v", kind, i, got[i], want[i])
			}
		}
	}
}

func TestReleasedOptions(t *testing.T) {
	tests := []struct {
		options ReleasedOptions
		want    []string // targets
	}{
		{ReleasedOptions{Filter: TrainRows}, []string{"1", "'ü')", ", a)"}},
		{ReleasedOptions{Filter: Filter{InRepo: []dataset.Split{dataset.Test}}}, []string{"g(2)"}},
		{ReleasedOptions{PerCommit: 1}, []string{"1", "g(2)"}},
		{ReleasedOptions{NoCommas: true}, []string{"1", "'ü')", "g(2)"}},
		{ReleasedOptions{Filter: Filter{Repositories: []string{"other/one"}}}, nil},
	}
	for _, tt := range tests {
		tasks, err := collect(ReleasedTasks("testdata/smartcap-qna.parquet", tt.options))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, task := range tasks {
			got = append(got, task.Target)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%+v: targets %q, want %q", tt.options, got, tt.want)
		}
	}
}

// released is the vector that reference/parquet_check.py writes for a seed.
func releasedVector(seed int) []float32 {
	x := make([]float32, ReleasedVector)
	for k := range x {
		x[k] = float32((k+seed)%13-6) / 8
	}
	return x
}

func TestReleasedCommits(t *testing.T) {
	for _, kind := range []string{"commits", "snapshots", "ood", "pages"} {
		got, err := collect(ReleasedCommits(filepath.Join("testdata", kind+"-commits.parquet")))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 3 {
			t.Fatalf("%s: %d commits, want 3", kind, len(got))
		}
		for i, c := range got {
			want := &ReleasedCommit{Commit: Commit{
				Repository: "owner/répo", Track: Evolution, Split: dataset.Train,
				InRepo: []dataset.Split{dataset.Train, dataset.Validation, dataset.Test}[i],
				ID:     fmt.Sprintf("%040x", i+1), Index: i, Time: fmt.Sprintf("2024-0%d-01T00:00:00+00:00", i+1),
				Added: []int{5, 4, 3}[i], Modified: []int{0, 3, 6}[i],
			}}
			if kind == "ood" {
				want.Track, want.Split, want.Added, want.Modified = OOD, dataset.Test, []int{5, 7, 9}[i], 0
			} else if i < 2 { // the third is zeros
				want.StateEmbedding = releasedVector(i + 1)
			}
			if kind != "snapshots" && i == 0 {
				want.Diff = "diff --git a/x.py b/x.py\n+é\n"
			}
			if (kind == "commits" || kind == "pages") && i != 1 { // the second is null
				want.DiffEmbedding = releasedVector([]int{3, 0, 5}[i])
			}
			if !reflect.DeepEqual(c, want) {
				t.Errorf("%s: commit %d differs:\n got %+v\nwant %+v", kind, i, c.Commit, want.Commit)
			}
		}
	}
}

// writeRows writes a Parquet file of any rows.
func writeRows[Row any](t *testing.T, rows ...Row) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.parquet")
	if err := parquet.WriteFile(path, rows); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReleasedColumns(t *testing.T) {
	type good struct {
		A string `parquet:"repo_id"`
		B string `parquet:"cross_repo_split"`
		C string `parquet:"in_repo_split,optional"`
		D string `parquet:"commit_sha,dict"`
		E int64  `parquet:"commit_index"`
		F string `parquet:"test_file"`
		G string `parquet:"test_function"`
		H string `parquet:"assertion_type"`
		I string `parquet:"prefix"`
		J string `parquet:"target"`
	}
	ok := good{A: "a/b", B: "cr_test", J: "1"}
	if got, err := collect(ReleasedTasks(writeRows(t, ok), ReleasedOptions{})); err != nil || len(got) != 1 || got[0].Split != dataset.Test {
		t.Errorf("got %v, error %v, want one task", got, err)
	}

	type mistyped struct {
		B string   `parquet:"cross_repo_split"`
		C string   `parquet:"in_repo_split,optional"`
		D string   `parquet:"commit_sha,dict"`
		E int64    `parquet:"commit_index"`
		F string   `parquet:"test_file"`
		G string   `parquet:"test_function"`
		H string   `parquet:"assertion_type"`
		A []string `parquet:"repo_id"`
		I []byte   `parquet:"prefix"`
		J int64    `parquet:"target"`
		K string   `parquet:"lineno"`
		L float64  `parquet:"col_offset"`
	}
	_, err := collect(ReleasedTasks(writeRows(t, mistyped{}), ReleasedOptions{}))
	wantError(t, "mistyped", err, "x.parquet", `column "repo_id" is repeated string, want string`, `column "prefix" is binary, want string`,
		`column "target" is int64, want string`, `column "lineno" is string, want int32`, `column "col_offset" is double, want int32`)

	type few struct {
		A string `parquet:"repo_id"`
		Z string `parquet:"zebra"`
	}
	path := writeRows(t, few{})
	_, err = collect(ReleasedTasks(path, ReleasedOptions{}))
	wantError(t, "missing", err, path, `column "prefix" is missing, want string`, `column "commit_index" is missing, want int32`, "repo_id, zebra")

	type floats struct {
		A string    `parquet:"repo_id"`
		V []float32 `parquet:"diff_embedding,list"`
		W float32   `parquet:"repo_state_embedding"`
	}
	_, err = collect(ReleasedCommits(writeRows(t, floats{})))
	wantError(t, "vectors", err, `column "diff_embedding" is list of float, want list of float16`,
		`column "repo_state_embedding" is float, want list of float16`, `"commit_sha" is missing`)

	for name, change := range map[string]func(*good){
		`row 1: cross_repo_split is "dev"`: func(g *good) { g.B = "dev" },
		`row 1: in_repo_split is "dev"`:    func(g *good) { g.C = "dev" },
		`row 1: prefix is not UTF-8`:       func(g *good) { g.I = "\xff" },
		`row 1: target is empty`:           func(g *good) { g.J = "" },
		`row 1: repository is empty`:       func(g *good) { g.A = "" },
	} {
		bad := ok
		change(&bad)
		_, err := collect(ReleasedTasks(writeRows(t, ok, bad), ReleasedOptions{}))
		wantError(t, name, err, "x.parquet", name)
	}
}

func TestReleasedVectorLength(t *testing.T) {
	type commit struct {
		A string    `parquet:"repo_id"`
		B string    `parquet:"cross_repo_split"`
		C string    `parquet:"in_repo_split"`
		D string    `parquet:"commit_sha"`
		E int32     `parquet:"commit_index"`
		F string    `parquet:"commit_timestamp"`
		V [][2]byte `parquet:"diff_embedding,list"`
	}
	for _, n := range []int{1, ReleasedVector - 1, ReleasedVector + 1} {
		good := commit{A: "a/b", B: "train", C: "train", V: make([][2]byte, ReleasedVector)}
		bad := good
		bad.V = make([][2]byte, n)
		_, err := collect(ReleasedCommits(writeRows(t, good, bad, good)))
		wantError(t, fmt.Sprint(n), err, "row 1", `column "diff_embedding"`, "2048")
	}
}

func TestDamagedParquet(t *testing.T) {
	good, err := os.ReadFile("testdata/smartcap-qna.parquet")
	if err != nil {
		t.Fatal(err)
	}
	long := slices.Clone(good)
	copy(long[len(long)-8:], "\xff\xff\xff\xff")
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "neither Parquet nor JSON"},
		{"short", []byte("PAR1PAR1"), "8 bytes"},
		{"cut", good[:len(good)-100], "cut off"},
		{"footer", long, "footer of 4294967295 bytes"},
		{"text", []byte("hello, world"), "at byte"},
	}
	for _, tt := range tests {
		path := filepath.Join(t.TempDir(), "x.parquet")
		if err := os.WriteFile(path, tt.data, 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := collect(ReleasedTasks(path, ReleasedOptions{}))
		wantError(t, tt.name, err, path, tt.want)
	}
	_, err = collect(ReleasedTasks(filepath.Join(t.TempDir(), "missing.parquet"), ReleasedOptions{}))
	wantError(t, "missing", err, "missing.parquet")
}

// FuzzParquet reads damaged files. It may fail, but has to return.
func FuzzParquet(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.parquet")
	if err != nil || len(paths) == 0 {
		f.Fatal("no files", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, uint(40), byte(1))
		f.Add(data[:len(data)/2], uint(0), byte(0))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte, at uint, change byte) {
		data = slices.Clone(data)
		if len(data) > 0 {
			data[at%uint(len(data))] ^= change
		}
		path := filepath.Join(dir, fmt.Sprint(os.Getpid()))
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		n := 0
		for range ReleasedTasks(path, ReleasedOptions{}) {
			if n++; n > 1000 {
				break
			}
		}
		for range ReleasedCommits(path) {
			if n++; n > 1000 {
				break
			}
		}
	})
}

// TestDamagedBytes changes bytes of good files, here and there. Reading may
// fail, but has to return.
func TestDamagedBytes(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.parquet")
	if err != nil || len(paths) == 0 {
		t.Fatal("no files", err)
	}
	failed, all := 0, 0
	for _, path := range paths {
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		damaged := filepath.Join(t.TempDir(), "x.parquet")
		for at := 0; at < len(good); at += 101 {
			for _, change := range []byte{0x01, 0x80, 0xff} {
				data := slices.Clone(good)
				data[at] ^= change
				if err := os.WriteFile(damaged, data, 0o666); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(path, "qna") {
					_, err = collect(ReleasedTasks(damaged, ReleasedOptions{}))
				} else {
					_, err = collect(ReleasedCommits(damaged))
				}
				all++
				if err != nil {
					failed++
				}
			}
		}
	}
	t.Logf("%d of %d damaged files are refused", failed, all)
	if failed < all/4 {
		t.Errorf("%d of %d damaged files are refused, want more", failed, all)
	}
}
