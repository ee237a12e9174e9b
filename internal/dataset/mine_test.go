package dataset

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/testutil"
)

func sources() []Source {
	return []Source{
		memory{"pallets/click", "c1", map[string]string{
			"tests/test_b.py": tasksOf(2, 2), "tests/test_a.py": golden, "click/core.py": tasksOf(3, 3),
			"tests/empty.py": "", "tests/latin.py": "\xff", "README.md": golden,
		}},
		memory{"arrow-py/arrow", "a1", map[string]string{"tests/copy.py": golden}},
	}
}

func TestMine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	o := DefaultOptions()
	o.Split = Train
	var reported []string
	m, err := Mine(context.Background(), dir, sources(), o, func(r RepositoryStats) { reported = append(reported, r.Name) })
	if err != nil {
		t.Fatal(err)
	}
	testutil.CompareLines(t, "reported", reported, []string{"arrow-py/arrow", "pallets/click"})
	click := m.Repositories[1]
	if m.Documents != 2 || m.Tasks != 15 || click.Tasks != 4 || click.Commit != "c1" || click.Files != 4 ||
		click.Dropped[DuplicateFile] != 11 || click.Dropped[NotUTF8] != 1 {
		t.Errorf("got %+v", m)
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	docs, err := d.All()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, doc := range docs {
		got = append(got, doc.Repository+" "+doc.File)
	}
	testutil.CompareLines(t, "documents", got, []string{"arrow-py/arrow tests/copy.py", "pallets/click tests/test_b.py"})
	if docs[0].Text != golden || docs[0].Task(10).Target != `"y"` || docs[0].Commit != "a1" {
		t.Errorf("document changed on its way: %+v", docs[0])
	}
	for range d.Documents() {
		break // must be possible
	}
}

func TestMineDeterministic(t *testing.T) {
	var files [2][]byte
	for i := range files {
		dir := t.TempDir()
		if _, err := Mine(context.Background(), dir, sources(), DefaultOptions(), nil); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{documentsFile, manifestFile} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files[i] = append(files[i], data...)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two runs wrote different bytes")
	}
}

func TestMineRefuses(t *testing.T) {
	train := DefaultOptions()
	train.Split = Train
	bad := DefaultOptions()
	bad.PerFile = -1
	pyjwt := memory{name: "jpadilla/pyjwt"}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for name, tt := range map[string]struct {
		ctx     context.Context
		sources []Source
		o       Options
		want    string
	}{
		"test repository": {context.Background(), []Source{pyjwt}, train, ErrTestRepository.Error()},
		"other split":     {context.Background(), []Source{memory{name: "marshmallow-code/marshmallow"}}, train, "validation split"},
		"twice":           {context.Background(), append(sources(), sources()...), train, "given twice"},
		"options":         {context.Background(), nil, bad, "per_file"},
		"cancelled":       {cancelled, sources(), train, context.Canceled.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := Mine(tt.ctx, dir, tt.sources, tt.o, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if names, _ := os.ReadDir(dir); len(names) > 0 {
				t.Errorf("left %v behind", names)
			}
		})
	}
	if _, err := Mine(context.Background(), t.TempDir(), []Source{pyjwt}, train, nil); !errors.Is(err, ErrTestRepository) {
		t.Errorf("got %v, want ErrTestRepository", err)
	}
}

// A dataset that a failed run was to replace is no longer there, not half there.
func TestOpenRefuses(t *testing.T) {
	mined := func(t *testing.T) string {
		dir := t.TempDir()
		if _, err := Mine(context.Background(), dir, sources(), DefaultOptions(), nil); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for name, tt := range map[string]struct {
		damage func(t *testing.T, dir string) error
		want   string
	}{
		"no manifest": {func(_ *testing.T, dir string) error {
			return os.Remove(filepath.Join(dir, manifestFile))
		}, ErrUnfinished.Error()},
		"failed run": {func(t *testing.T, dir string) error {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if _, err := Mine(ctx, dir, sources(), DefaultOptions(), nil); err == nil {
				t.Error("a cancelled run succeeded")
			}
			return nil
		}, ErrUnfinished.Error()},
		"no documents": {func(_ *testing.T, dir string) error {
			return os.Remove(filepath.Join(dir, documentsFile))
		}, documentsFile},
		"other documents": {func(_ *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, documentsFile), []byte("x"), 0o666)
		}, "SHA-256"},
		"damaged manifest": {func(_ *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, manifestFile), []byte("{"), 0o666)
		}, manifestFile},
		"later format": {func(_ *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, manifestFile), []byte(`{"format":99}`), 0o666)
		}, "format 99"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := mined(t)
			if err := tt.damage(t, dir); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestDocumentValidate(t *testing.T) {
	span := func(i, j int) []Target { return []Target{{Span: Span{i, j}}} }
	for _, doc := range []Document{
		{Text: "\xff"},
		{Text: "abc", Imports: Span{2, 1}}, {Text: "abc", Imports: Span{0, 4}}, {Text: "abc", Imports: Span{-1, 1}},
		{Text: "abc", Tasks: span(-1, 2)}, {Text: "abc", Tasks: span(2, 2)}, {Text: "abc", Tasks: span(1, 4)},
		{Text: "abc", Tasks: append(span(0, 2), span(1, 3)...)},
	} {
		if doc.Validate() == nil {
			t.Errorf("%+v: no error", doc)
		}
	}
}

func TestFromSnapshot(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("needs git")
	}
	dir := t.TempDir()
	for path, text := range map[string]string{"tests/test_a.py": golden, "a.py": "x = 1\n", "tests/a.txt": "x\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	repo, err := gitrepo.Open(context.Background(), dir, gitrepo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	snap, err := repo.Snapshot(context.Background(), "", gitrepo.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	m, err := Mine(context.Background(), out, []Source{FromSnapshot("jpadilla/pyjwt", snap)}, DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := m.Repositories[0]; r.Name != "jpadilla/pyjwt" || r.Split != Test || r.Files != 1 || r.Tasks != 11 {
		t.Errorf("got %+v, want 11 tasks of one file", r)
	}
}

func TestWriteTasksJSONL(t *testing.T) {
	task := Task{File: "t.py", Line: 3, Kind: "assert", Prefix: "a\nbé\n<c> == ", Target: "1", Start: 15, End: 16}
	for _, tt := range []struct {
		o              PrefixOptions
		prefix, target string
		start          int
	}{
		{PrefixOptions{}, task.Prefix, "1", 15},
		{PrefixOptions{SpaceWithTarget: true}, "a\nbé\n<c> ==", " 1", 14},
		{PrefixOptions{MaxLines: 1}, "<c> == ", "1", 15},
		{PrefixOptions{MaxLines: 2}, "bé\n<c> == ", "1", 15},
		{PrefixOptions{MaxLines: 3}, task.Prefix, "1", 15},
		{PrefixOptions{MaxLines: 9}, task.Prefix, "1", 15},
		{PrefixOptions{MaxBytes: 7}, "<c> == ", "1", 15},
		{PrefixOptions{MaxBytes: 9}, "<c> == ", "1", 15},
		{PrefixOptions{MaxBytes: 11}, "bé\n<c> == ", "1", 15},
		{PrefixOptions{MaxBytes: 4}, " == ", "1", 15},
		{PrefixOptions{MaxBytes: 99}, task.Prefix, "1", 15},
	} {
		var b bytes.Buffer
		if err := WriteTasksJSONL(&b, []Task{task, task}, tt.o); err != nil {
			t.Fatal(err)
		}
		line, rest, _ := strings.Cut(b.String(), "\n")
		if rest != line+"\n" {
			t.Errorf("%+v: second line %q, want the first again", tt.o, rest)
		}
		var got Task
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		want := task
		want.Prefix, want.Target, want.Start = tt.prefix, tt.target, tt.start
		if got != want {
			t.Errorf("%+v: got %+v, want %+v", tt.o, got, want)
		}
	}
	var b bytes.Buffer
	if err := WriteTasksJSONL(&b, []Task{{Prefix: "\n   é", Target: "x"}}, PrefixOptions{MaxBytes: 1}); err != nil || strings.Contains(b.String(), `\u`) {
		t.Errorf("a prefix was cut inside a character: %s, %v", &b, err)
	}
}
