package method

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// reader is an encoder that notes what it reads.
type reader struct{ texts []string }

func (*reader) ID() string { return "reader" }

func (e *reader) Encode(ctx context.Context, src encoder.Source, _ func(encoder.Progress)) (*embedding.Representation, error) {
	text := ""
	err := src.Each(ctx, src.Blobs(), func(b encoder.Blob, data []byte) error {
		text += "== " + b.Path + "\n" + string(data)
		return nil
	})
	e.texts = append(e.texts, text)
	return &embedding.Representation{Input: text, Tensors: map[string]embedding.Tensor{embedding.Repository: {Shape: []int{1}, Data: []float32{1}}}}, err
}

// TestRepresentationsHide checks that what others get of a repository has been
// read at the run's level, without the file that is asked about; and that an
// audit, whose adapter answers all tasks, has read the file of none.
func TestRepresentationsHide(t *testing.T) {
	for _, level := range disclosure.Levels {
		r, tasks := runner(t, level)
		elsewhere := *tasks[0]
		elsewhere.File = "pkg/shapes.py"
		for name, read := range map[string]func(*reader, bool) error{
			"another's": func(e *reader, tests bool) error {
				_, err := r.Representations(t.Context(), e, tests, tasks)
				return err
			},
			"audit": func(e *reader, tests bool) error {
				_, err := r.AuditRepository(t.Context(), e, tests, append(slices.Clone(tasks), &elsewhere), 2)
				return err
			},
		} {
			e := &reader{}
			if err := read(e, true); err != nil {
				t.Fatal(err)
			}
			all := strings.Join(e.texts, "\n")
			if strings.Contains(all, "secret_answer") {
				t.Errorf("%s, %s: the answer was read:\n%s", level, name, all)
			}
			if got, want := strings.Contains(all, "test_b.py"), level == disclosure.Tree; got != want {
				t.Errorf("%s, %s: another test was read: %t, want %t", level, name, got, want)
			}
			if got, want := strings.Contains(all, "shapes.py"), name != "audit"; got != want {
				t.Errorf("%s, %s: the other file was read: %t, want %t", level, name, got, want)
			}
		}
	}
}

func TestStrangers(t *testing.T) {
	h := &Hypernetwork{Others: map[string]*embedding.Representation{}}
	for i := range 8 {
		h.Others[fmt.Sprintf("o/r%d", i)] = &embedding.Representation{Input: fmt.Sprint(i)}
	}
	drawn := map[string]bool{}
	for i := range 40 {
		rep, err := h.stranger("o/r3", fmt.Sprintf("test_%d.py", i))
		again, _ := h.stranger("o/r3", fmt.Sprintf("test_%d.py", i))
		if err != nil || rep.Input == "3" || again != rep {
			t.Fatalf("file %d: got %v and %v, %v; want the same other repository twice", i, rep, again, err)
		}
		drawn[rep.Input] = true
	}
	if len(drawn) != 7 {
		t.Errorf("the files of a repository had %d strangers, want all 7", len(drawn))
	}
	alone := &Hypernetwork{Others: map[string]*embedding.Representation{"o/r3": {}}}
	if _, err := alone.stranger("o/r3", "x"); err == nil {
		t.Error("a repository is its own stranger")
	}
}

// TestDescription checks that a description encoder gets the name and the README,
// as it has in training, at both levels.
func TestDescription(t *testing.T) {
	for _, level := range disclosure.Levels {
		r, tasks := runner(t, level)
		repo, err := r.Open(t.Context(), tasks[0].Repository)
		if err != nil {
			t.Fatal(err)
		}
		defer repo.Close()
		tree, err := disclosure.NewRepository(t.Context(), repo, tasks[0].Parent, level, r.Languages)
		if err != nil {
			t.Fatal(err)
		}
		enc, err := encoder.New(encoder.Options{Kind: encoder.KindDescription, Layer: 1, Chunk: 32}, r.Engine.Model, r.Engine.Tokenizer, nil)
		if err != nil {
			t.Fatal(err)
		}
		view := tree.Hide(tasks[0].File, nil)
		rep, err := Encode(t.Context(), enc, view, false)
		if err != nil {
			t.Fatal(err)
		}
		if rep == nil || rep.Files != 1 {
			t.Fatalf("%s: got %+v, want a README that was read", level, rep)
		}
		opt, _ := encoder.ParseID(enc.ID())
		snapshot, err := repo.Snapshot(t.Context(), tasks[0].Parent, opt.Filter(gitrepo.Filter{}))
		if err != nil {
			t.Fatal(err)
		}
		want, err := enc.Encode(t.Context(), encoder.FromSnapshot(snapshot), nil)
		if err != nil {
			t.Fatal(err)
		}
		if rep.Input != want.Input {
			t.Errorf("%s: another text than in training", level)
		}
		other := &reader{}
		if _, err := Encode(t.Context(), other, view, true); err != nil || strings.Contains(other.texts[0], "README") {
			t.Errorf("%s: an encoder of code read %q, %v; want no README", level, other.texts, err)
		}
	}
}

// watcher notes what is hidden while each task is asked about.
type watcher struct{ hidden map[string][]string }

func (*watcher) Name() string { return "watcher" }

func (w *watcher) Prepare(_ context.Context, v *disclosure.View) (Asker, error) {
	return watching{w, v}, nil
}

type watching struct {
	*watcher
	view *disclosure.View
}

func (w watching) Ask(_ context.Context, q repopeft.Query, _ Room) (Prompt, error) {
	w.hidden[q.Prefix] = w.view.Hidden()
	return Prompt{}, nil
}

// TestViewsByCommit checks that tasks of one file at two commits with the same
// parent have views of their own, and that files of a commit are listed once.
func TestViewsByCommit(t *testing.T) {
	r, _ := runner(t, disclosure.Tree)
	dir := filepath.Join(t.TempDir(), "forked.git")
	git(t, "", nil, "init", "--quiet", "--bare", dir)
	test := func(of string) string {
		return fmt.Sprintf("def test_%s():\n    %s = make_%s(1, 2, 3)\n    assert %s.left == %s_right(4, 5)\n    assert %s.up == 17\n", of, of, of, of, of, of)
	}
	var b bytes.Buffer
	for i, c := range []struct {
		from  string
		files []string // path, content
	}{
		{"", []string{"copy_one.py", test("one"), "copy_two.py", test("two")}},
		{":1", []string{"test_a.py", test("one"), "test_b.py", test("three")}},
		{":1", []string{"test_a.py", test("two")}},
	} {
		fmt.Fprintf(&b, "commit refs/heads/b%d\nmark :%d\ncommitter C <c@example.com> 1800000000 +0000\ndata 1\nx\n", i, i+1)
		if c.from != "" {
			fmt.Fprintf(&b, "from %s\n", c.from)
		}
		for k := 0; k < len(c.files); k += 2 {
			fmt.Fprintf(&b, "M 100644 inline %s\ndata %d\n%s\n", c.files[k], len(c.files[k+1]), c.files[k+1])
		}
	}
	git(t, dir, b.Bytes(), "fast-import", "--quiet")
	r.Open = func(ctx context.Context, name string) (*gitrepo.Repo, error) {
		return gitrepo.Open(ctx, dir, gitrepo.Options{Name: name})
	}
	var tasks []*repopeft.Task
	parent := git(t, dir, nil, "rev-parse", "b0")
	for branch, of := range map[string]string{"b1": "one", "b2": "two"} {
		prefix, _, _ := strings.Cut(test(of), "17")
		tasks = append(tasks, &repopeft.Task{ID: of, Repository: "owner/forked", Track: repopeft.Evolution, Commit: git(t, dir, nil, "rev-parse", branch),
			Parent: parent, File: "test_a.py", Language: "python", Kind: repopeft.Assertion, Start: len(prefix), End: len(prefix) + 2, Prefix: prefix, Target: "17"})
	}
	w := &watcher{map[string][]string{}}
	predictions(t, r, w, tasks)
	for _, task := range tasks {
		if got, want := w.hidden[task.Prefix], []string{"copy_" + task.ID + ".py"}; !slices.Equal(got, want) {
			t.Errorf("task %s: hidden are %q, want %q", task.ID, got, want)
		}
	}
	repo, err := r.Open(t.Context(), "owner/forked")
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	c := &checkout{Repo: repo}
	for _, name := range []string{"test_a.py", "test_b.py", "test_a.py"} {
		first := *tasks[slices.IndexFunc(tasks, func(t *repopeft.Task) bool { return t.ID == "one" })]
		first.File = name
		if text, err := c.file(t.Context(), &first); err != nil || len(text) == 0 {
			t.Fatalf("%s: %q, %v", name, text, err)
		}
	}
	if c.lists != 1 {
		t.Errorf("the files of one commit were listed %d times, want once", c.lists)
	}
}
