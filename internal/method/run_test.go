package method

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/engine"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/metric"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// files are those of a small repository. The answers of tests/test_a.py stand
// in it, in a copy of it, and nowhere else.
var files = map[string]string{
	"README.md":          "# Sample\n\nAreas and corners of shapes.\n",
	"pkg/shapes.py":      "def area(side):\n    return side * side\n\n\ndef corners(shape):\n    return shape.number_of_corners\n",
	"tests/test_a.py":    testFile,
	"tests/copy_of_a.py": testFile,
	"tests/test_b.py":    "from pkg.shapes import corners\n\n\ndef test_corners():\n    assert corners(make()) == 'eleven'\n",
}

const testFile = `from pkg.shapes import area


def test_area():
    assert area(2) == «secret_answer_one»
    assert area(3) == «secret_answer_two»


def test_call():
    x = «area(12)»
    assert x == «1»
`

// sample makes the repository, and the tasks of its first test file.
func sample(t *testing.T) (func(context.Context, string) (*gitrepo.Repo, error), []*repopeft.Task) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sample.git")
	git(t, "", nil, "init", "--quiet", "--bare", dir)
	var b bytes.Buffer
	fmt.Fprintf(&b, "commit refs/heads/main\ncommitter C <c@example.com> 1800000000 +0000\ndata 1\nx\n")
	for _, path := range slices.Sorted(maps.Keys(files)) {
		data := strings.NewReplacer("«", "", "»", "").Replace(files[path])
		fmt.Fprintf(&b, "M 100644 inline %s\ndata %d\n%s\n", path, len(data), data)
	}
	git(t, dir, b.Bytes(), "fast-import", "--quiet")
	commit := git(t, dir, nil, "rev-parse", "main")
	var tasks []*repopeft.Task
	source := testFile
	for {
		i, j := strings.Index(source, "«"), strings.Index(source, "»")
		if i < 0 {
			break
		}
		target := source[i+len("«") : j]
		clean := source[:i] + target + source[j+len("»"):]
		task := &repopeft.Task{Repository: "owner/sample", Track: repopeft.Static, Split: "test", InRepo: "train", Commit: commit,
			Parent: commit, File: "tests/test_a.py", Language: "python", Kind: repopeft.Assertion, Start: i, End: i + len(target),
			Prefix: source[:i], Target: target}
		if strings.HasPrefix(target, "area") {
			task.Kind = repopeft.Call
		}
		task.ID = repopeft.TaskID(task.Repository, commit, task.File, task.Kind, task.Start, task.End)
		tasks = append(tasks, task)
		source = clean
	}
	return func(ctx context.Context, name string) (*gitrepo.Repo, error) {
		return gitrepo.Open(ctx, dir, gitrepo.Options{Name: name})
	}, tasks
}

func git(t *testing.T, dir string, stdin []byte, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "init.defaultBranch=main"}, args...)...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// runner is one with a tiny model.
func runner(t *testing.T, level disclosure.Level) (*Runner, []*repopeft.Task) {
	t.Helper()
	m, tok, err := model.Load("../model/testdata/tiny-llama.gguf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	open, tasks := sample(t)
	return &Runner{
		Engine: &engine.Engine{Model: m, Tokenizer: tok}, Base: &compute.Local{Model: m, Base: "tiny"},
		Layout: Layout{PrefixTokens: 64, ContextTokens: 32}, Level: level, Open: open, Languages: []string{"python"}, NewTokens: 16, Texts: true,
	}, tasks
}

func predictions(t *testing.T, r *Runner, m Method, tasks []*repopeft.Task) map[string]*repopeft.Prediction {
	t.Helper()
	got := map[string]*repopeft.Prediction{}
	err := r.Run(t.Context(), m, tasks, func(ps []*repopeft.Prediction) error {
		for _, p := range ps {
			got[p.Task] = p
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(tasks) {
		t.Fatalf("%d predictions of %d tasks", len(got), len(tasks))
	}
	return got
}

func randomAdapter(m *model.Model, seed uint64) *adapter.Adapter {
	rng := rand.New(rand.NewPCG(seed, 6))
	a := adapter.New(m.Config.Dims(), []adapter.Module{adapter.QProj, adapter.VProj, adapter.DownProj}, 2, 4, false)
	for _, e := range a.Pairs() {
		for _, f := range [2][]float32{e.A, e.B} {
			for i := range f {
				f[i] = float32(rng.NormFloat64() * 0.4)
			}
		}
	}
	return a
}

// TestRunIsGreedy compares predictions with plain greedy decoding: for the
// target that is there, and for targets made of what the model itself would
// say, cut and changed in ways that put the tokens of the target beside those
// of the answer.
func TestRunIsGreedy(t *testing.T) {
	r, tasks := runner(t, disclosure.Production)
	decode := func(a *adapter.Adapter, task *repopeft.Task) string {
		q := task.Query()
		l, err := r.Layout.lay(r.Engine.Tokenizer, &q, "")
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.Engine.Complete(t.Context(), engine.Prompt{Tokens: l.ids}, a, engine.Options{MaxTokens: r.NewTokens, Stop: []string{"\n"}, NoLookup: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return metric.Strict(task.Language, string(task.Kind), c.Text)
	}
	hits := 0
	for seed := range uint64(6) {
		a := randomAdapter(r.Engine.Model, seed)
		var all []*repopeft.Task
		want := map[string]string{}
		for i, task := range tasks {
			answer := decode(a, task)
			for k, target := range []string{task.Target, answer, answer + "x", answer[:len(answer)/2], " " + answer, strings.Join(strings.Split(answer, ""), " ")} {
				if strings.TrimSpace(target) == "" {
					continue
				}
				copied := *task
				copied.Target, copied.ID = target, fmt.Sprintf("%02d%02d", i, k)
				want[copied.ID] = answer
				all = append(all, &copied)
			}
		}
		for _, texts := range []bool{true, false} {
			r.Texts = texts
			for id, p := range predictions(t, r, &Fixed{As: "random", Adapter: a}, all) {
				task := all[slices.IndexFunc(all, func(t *repopeft.Task) bool { return t.ID == id })]
				exact := metric.ExactStrict("python", string(task.Kind), p.Text, task.Target)
				if wantExact := metric.ExactStrict("python", string(task.Kind), want[id], task.Target); exact != wantExact {
					t.Errorf("seed %d, target %q: answer %q, partial %t, is exact: %t; greedy decoding gives %q, exact: %t",
						seed, task.Target, p.Text, p.Partial, exact, want[id], wantExact)
				}
				if exact {
					hits++
				} else if texts && p.Text != want[id] {
					t.Errorf("seed %d, target %q: answer %q, greedy decoding gives %q", seed, task.Target, p.Text, want[id])
				}
			}
		}
	}
	if hits == 0 {
		t.Error("no answer was right: the test compares nothing")
	}
}

// TestLikelihood compares the likelihood of a target with that of a pass over
// it alone.
func TestLikelihood(t *testing.T) {
	r, tasks := runner(t, disclosure.Production)
	tok := r.Engine.Tokenizer
	for id, p := range predictions(t, r, Base{}, tasks) {
		task := tasks[slices.IndexFunc(tasks, func(t *repopeft.Task) bool { return t.ID == id })]
		prefix := strings.TrimRight(task.Prefix, " ")
		q := task.Query()
		l, err := r.Layout.lay(tok, &q, "")
		if err != nil {
			t.Fatal(err)
		}
		target := tok.Encode(task.Prefix[len(prefix):] + task.Target)
		s := model.Sequence{Tokens: append(slices.Clone(l.ids), target...), Adapter: -1}
		for i, id := range target {
			s.Labels = append(s.Labels, model.Label{Pos: len(l.ids) - 1 + i, Target: id, Weight: 1})
		}
		res, err := r.Engine.Model.Score(t.Context(), model.Batch{Sequences: []model.Sequence{s}})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(p.NLL-res.Loss) > 1e-3*res.Loss || p.Tokens != len(target) || p.PromptTokens != len(l.ids) {
			t.Errorf("%q: %g nats over %d tokens after %d, want %g over %d after %d",
				task.Target, p.NLL, p.Tokens, p.PromptTokens, res.Loss, len(target), len(l.ids))
		}
	}
}

// spy is a method that looks at everything it is given, and says it.
type spy struct {
	seen strings.Builder
	view *disclosure.View // the last one
}

func (s *spy) Name() string { return "spy" }

func (s *spy) Prepare(ctx context.Context, v *disclosure.View) (Asker, error) {
	s.view = v
	for _, b := range v.Blobs() {
		fmt.Fprintln(&s.seen, b.Path)
	}
	err := v.Each(ctx, v.Blobs(), func(_ encoder.Blob, text []byte) error { s.seen.Write(text); return nil })
	return s, err
}

func (s *spy) Ask(_ context.Context, q repopeft.Query, _ Room) (Prompt, error) {
	// All that is in the query, but the answers of tasks above it in the file.
	fmt.Fprintf(&s.seen, "%+v", q)
	return Prompt{Context: s.seen.String()}, nil
}

// TestNoLeak runs a method that keeps all it sees: the answer of the last task
// must not be in it, and at the level production no test.
func TestNoLeak(t *testing.T) {
	for _, level := range disclosure.Levels {
		r, tasks := runner(t, level)
		second := tasks[1:2] // its prefix has the first answer, and not its own
		s := &spy{}
		predictions(t, r, s, second)
		if strings.Contains(s.seen.String(), second[0].Target) {
			t.Errorf("level %s: the answer leaked:\n%s", level, s.seen.String())
		}
		if !strings.Contains(s.seen.String(), "number_of_corners") {
			t.Errorf("level %s: production code was not seen", level)
		}
		if tests := strings.Contains(s.seen.String(), "eleven"); tests != (level == disclosure.Tree) {
			t.Errorf("level %s: another test was seen: %t", level, tests)
		}
	}
}

// TestRunOrder has the same predictions whatever the order of tasks.
func TestRunOrder(t *testing.T) {
	r, tasks := runner(t, disclosure.Tree)
	r.Layout.ContextTokens = 100
	c := &Contexts{Tokenizer: r.Engine.Tokenizer}
	m, err := c.Build(Part{Name: "bm25", Settings: map[string]string{"unit": "test"}})
	if err != nil {
		t.Fatal(err)
	}
	want := predictions(t, r, m, tasks)
	reversed := slices.Clone(tasks)
	slices.Reverse(reversed)
	for id, p := range predictions(t, r, m, reversed) {
		if *p != *want[id] {
			t.Errorf("got %+v, want %+v", p, want[id])
		}
	}
	with := 0
	for _, p := range want {
		if p.ContextTokens > 100 || p.PromptTokens > 164 {
			t.Errorf("%d tokens, of them %d of context: want at most 164 and 100", p.PromptTokens, p.ContextTokens)
		}
		if p.ContextTokens > 0 {
			with++
		}
	}
	if with == 0 {
		t.Error("no prompt has a context")
	}
}

func TestRunFails(t *testing.T) {
	r, tasks := runner(t, disclosure.Tree)
	r.Layout.PrefixTokens = 1 << 20
	if err := r.Run(t.Context(), Base{}, tasks, nil); err == nil || !strings.Contains(err.Error(), "do not fit") {
		t.Errorf("a layout that is too large: got %v", err)
	}
	r.Layout = Layout{PrefixTokens: 64, ContextTokens: 32}
	broken := errors.New("disk full")
	if err := r.Run(t.Context(), Base{}, tasks, func([]*repopeft.Prediction) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want the error of emit", err)
	}
	other := *tasks[0]
	other.Commit, other.Parent = strings.Repeat("0", 40), strings.Repeat("0", 40)
	if err := r.Run(t.Context(), Base{}, []*repopeft.Task{&other}, nil); err == nil || !strings.Contains(err.Error(), "owner/sample") {
		t.Errorf("a commit that does not exist: got %v, want an error that names the repository", err)
	}
}

// TestRunWithoutRepository: tasks that don't say what may be read of their
// repository are asked without it, and it needn't be there.
func TestRunWithoutRepository(t *testing.T) {
	r, tasks := runner(t, disclosure.Tree)
	r.Open = func(context.Context, string) (*gitrepo.Repo, error) { return nil, errors.New("no clone") }
	for _, task := range tasks {
		task.Commit, task.Parent = "", ""
	}
	s := &spy{}
	predictions(t, r, s, tasks)
	if s.view == nil || len(s.view.Blobs()) > 0 || s.view.Repository() != "owner/sample" {
		t.Errorf("the method got the view %+v, want one of owner/sample without files", s.view)
	}
	err := r.Run(t.Context(), &PastCut{As: "past"}, tasks, nil)
	if err == nil || !strings.Contains(err.Error(), "no clone") {
		t.Errorf("a method that reads the file: got %v, want the error of Open", err)
	}
	tasks[0].Parent = strings.Repeat("0", 40)
	if err := r.Run(t.Context(), s, tasks, nil); err == nil || !strings.Contains(err.Error(), "no clone") {
		t.Errorf("a task with a commit to read: got %v, want the error of Open", err)
	}
}

// TestTaskLosses compares losses with those that predictions come with.
func TestTaskLosses(t *testing.T) {
	r, tasks := runner(t, disclosure.Production)
	r.Texts = false
	slices.Reverse(tasks) // any order
	var all [][]float64
	for _, a := range []*adapter.Adapter{nil, randomAdapter(r.Engine.Model, 1), randomAdapter(r.Engine.Model, 1)} {
		got, err := r.TaskLosses(t.Context(), a, tasks)
		if err != nil || len(got) != len(tasks) {
			t.Fatalf("got %v, %v, want %d", got, err, len(tasks))
		}
		want := predictions(t, r, &Fixed{Adapter: a}, tasks)
		for i, task := range tasks {
			if p := want[task.ID]; math.Abs(got[i]-p.NLL/float64(p.Tokens)) > 1e-5 {
				t.Errorf("%q: got %g, want %g", task.Target, got[i], p.NLL/float64(p.Tokens))
			}
		}
		all = append(all, got)
	}
	if slices.Equal(all[0], all[1]) || !slices.Equal(all[1], all[2]) {
		t.Errorf("got %v, want the same of equal adapters alone", all)
	}
	if got, err := r.TaskLosses(t.Context(), nil, nil); err != nil || len(got) != 0 {
		t.Errorf("no tasks: got %v, %v", got, err)
	}
}
