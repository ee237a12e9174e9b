package method

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// past repositories have commits 0 to 6, of which 1, 3, 4 and 6 are kept. Each
// writes MARK_n into pkg/core.py. checks.py is a test by its content only.
var keptAt = []int{1, 3, 4, 6}

// words are those of production code, of each commit others.
var words = []string{"socket", "matrix", "render", "token", "graph", "colour", "user"}

// askedAt is the file of the tasks of a commit; the last one is in no folder of
// tests.
func askedAt(n int) string {
	if n == 6 {
		return "checks.py"
	}
	return fmt.Sprintf("tests/test_%d.py", n)
}

func askedText(n int) string {
	text := fmt.Sprintf("import unittest\n\n\nclass C%d(unittest.TestCase):\n", n)
	for k := range 4 { // so that none of them is taken for a copy of another
		text += fmt.Sprintf("    def helper_%d_%d(self, a%d):\n        value%d = a%d * %d\n        return [value%d, other%d]\n\n", n, k, n, n, n, n*10+k, n, k*10+n)
	}
	return text + fmt.Sprintf("    def test%d(self):\n        self.assertEqual(run(%d), SECRET_%d)\n", n, n, n)
}

// evolving makes a runner with a repository that has a history, and its tasks.
func evolving(t *testing.T, level disclosure.Level) (*Runner, []*repopeft.Task, []string) {
	t.Helper()
	r, _ := runner(t, level)
	dir := filepath.Join(t.TempDir(), "history.git")
	git(t, "", nil, "init", "--quiet", "--bare", dir)
	var b bytes.Buffer
	for n := range 7 {
		fmt.Fprintf(&b, "commit refs/heads/main\ncommitter C <c@example.com> %d +0000\ndata 1\nx\n", 1800000000+n)
		if n > 0 && n%2 == 0 { // merges are followed along their first parent
			fmt.Fprintf(&b, "merge refs/heads/side\n")
		}
		files := map[string]string{
			"pkg/core.py": fmt.Sprintf("def run(x):\n    return x * MARK_%d\n\n\n", n) + strings.Repeat(fmt.Sprintf("def %s(%s):\n    return %[1]s\n", words[n], words[(n+3)%7]), 9),
			"checks.py":   strings.ReplaceAll(askedText(6), "SECRET_6", fmt.Sprintf("OLD_SECRET_%d", n)),
		}
		if slices.Contains(keptAt, n) {
			files[askedAt(n)] = askedText(n)
		}
		for _, path := range slices.Sorted(maps.Keys(files)) {
			fmt.Fprintf(&b, "M 100644 inline %s\ndata %d\n%s\n", path, len(files[path]), files[path])
		}
		fmt.Fprintf(&b, "\ncommit refs/heads/side\ncommitter C <c@example.com> %d +0000\ndata 1\ny\nM 100644 inline side.py\ndata 14\nMARK_SIDE = 1\n\n\n", 1800000000+n)
	}
	git(t, dir, b.Bytes(), "fast-import", "--quiet")
	ids := strings.Fields(git(t, dir, nil, "rev-list", "--first-parent", "--reverse", "main"))
	var tasks []*repopeft.Task
	var kept []string
	for i, n := range keptAt {
		text := askedText(n)
		at := strings.Index(text, "SECRET")
		task := &repopeft.Task{Repository: "owner/history", Track: repopeft.Evolution, Split: "test", InRepo: "test", Commit: ids[n], Parent: ids[n-1],
			CommitIndex: i, File: askedAt(n), Language: "python", Kind: repopeft.Assertion, Start: at, End: at + 8, Prefix: text[:at], Target: text[at : at+8]}
		task.ID = repopeft.TaskID(task.Repository, task.Commit, task.File, task.Kind, task.Start, task.End)
		tasks, kept = append(tasks, task), append(kept, ids[n])
	}
	r.Open = func(ctx context.Context, name string) (*gitrepo.Repo, error) {
		return gitrepo.Open(ctx, dir, gitrepo.Options{Name: name})
	}
	r.Kept = func(string, repopeft.Track) ([]string, error) { return kept, nil }
	r.Suite = tasks
	return r, tasks, ids
}

// scribe is a follower whose state is all that it has read.
type scribe struct {
	filter gitrepo.Filter
	begun  *int
	tests  bool
}

type script string

func (script) Steps() int                       { return 0 }
func (s script) MarshalBinary() ([]byte, error) { return []byte(s), nil }

func (s scribe) ReadsTests() bool                        { return s.tests }
func (scribe) ID() string                                { return "scribe" }
func (scribe) Decode(data []byte) (evolve.State, error)  { return script(data), nil }
func (scribe) AverageAdapter() (*adapter.Adapter, error) { return nil, errors.New("no average") }
func (s scribe) Filtered(f gitrepo.Filter) (evolve.Represented, error) {
	return scribe{f, s.begun, s.tests}, nil
}

func (s scribe) read(ctx context.Context, r *gitrepo.Repo, commit string) (string, error) {
	snap, err := r.Snapshot(ctx, commit, s.filter)
	if err != nil {
		return "", err
	}
	text := "\n@ "
	err = snap.Each(ctx, snap.Files, func(f gitrepo.File, data []byte) error {
		text += f.Path + " " + string(data)
		return nil
	})
	return text, err
}

func (s scribe) Begin(ctx context.Context, r *gitrepo.Repo, commit string, _ func(encoder.Progress)) (evolve.State, error) {
	*s.begun++
	text, err := s.read(ctx, r, commit)
	return script(text), err
}

func (s scribe) Advance(ctx context.Context, r *gitrepo.Repo, old evolve.State, step gitrepo.Step, parentTree string) (evolve.State, error) {
	if tree, err := r.Tree(ctx, step.Parents[0]); err != nil || tree != parentTree {
		return nil, fmt.Errorf("tree %s, the step's parent has %s: %w", parentTree, tree, err)
	}
	text, err := s.read(ctx, r, step.ID)
	return old.(script) + script(text), err
}

func (scribe) Representation(s evolve.State) (*embedding.Representation, error) {
	return &embedding.Representation{Input: string(s.(script)), Tensors: map[string]embedding.Tensor{"state": {Shape: []int{1}, Data: []float32{1}}}}, nil
}

func (s scribe) Generate(rep *embedding.Representation) (*adapter.Adapter, error) {
	return nil, errors.New("no adapters")
}

func (s scribe) Adapter(evolve.State) (*adapter.Adapter, error) { return s.Generate(nil) }

// marks lists the commits in which a text was written.
func marks(text string) string {
	var all []string
	for n := range 7 {
		all = append(all, slices.Repeat([]string{fmt.Sprint(n)}, strings.Count(text, fmt.Sprintf("MARK_%d\n", n)))...)
	}
	return strings.Join(all, " ")
}

// TestFollowing checks which commits the state of each task has been stepped by,
// that it ends before the task's, and that no file which is asked about is in it.
func TestFollowing(t *testing.T) {
	for _, tt := range []struct {
		steps Stepping
		want  []string
	}{
		{StepKept, []string{"0", "1 2", "1 3", "1 3 4 5"}},
		{StepAll, []string{"0", "1 2", "1 2 3", "1 2 3 4 5"}},
	} {
		for _, level := range disclosure.Levels {
			for _, tests := range []bool{false, true} {
				r, tasks, _ := evolving(t, level)
				begun := 0
				f := NewFollowing("scribe", scribe{begun: &begun, tests: tests}, Own, tt.steps)
				repo, err := r.checkout(t.Context(), tasks, false)
				if err != nil {
					t.Fatal(err)
				}
				defer repo.close()
				for i, task := range tasks {
					rep, err := r.stateAt(t.Context(), f, repo, task)
					if err != nil {
						t.Fatal(err)
					}
					if got := marks(rep.Input); got != tt.want[i] {
						t.Errorf("%s, %s: task of commit %d has seen commits %q, want %q", tt.steps, level, keptAt[i], got, tt.want[i])
					}
					if strings.Contains(rep.Input, "SECRET") {
						t.Errorf("%s, %s, tests %t: task of commit %d: a file that is asked about has been read:\n%s", tt.steps, level, tests, keptAt[i], rep.Input)
					}
				}
				if begun != 2 { // before the first kept commit, and there
					t.Errorf("%d walks were begun, want 2", begun)
				}
				// What is left of a run has the same states.
				again, err := r.checkout(t.Context(), tasks[3:], false)
				if err != nil {
					t.Fatal(err)
				}
				defer again.close()
				first, err1 := r.stateAt(t.Context(), f, repo, tasks[3])
				second, err2 := r.stateAt(t.Context(), f, again, tasks[3])
				if err1 != nil || err2 != nil || first.Input != second.Input {
					t.Errorf("%s: a run that is continued has other states (%v, %v)", tt.steps, err1, err2)
				}
			}
		}
	}
}

// TestFutureIsCaught gives tasks and lists that would let a state know of the
// task's own commit or a later one.
func TestFutureIsCaught(t *testing.T) {
	for name, change := range map[string]func(r *Runner, task *repopeft.Task, ids []string){
		"own commit":    func(_ *Runner, task *repopeft.Task, _ []string) { task.Parent = task.Commit },
		"later commit":  func(_ *Runner, task *repopeft.Task, ids []string) { task.Parent = ids[6] },
		"other history": func(_ *Runner, task *repopeft.Task, ids []string) { task.Parent = strings.Repeat("1", len(ids[0])) },
		"anchor that comes later": func(r *Runner, task *repopeft.Task, ids []string) {
			r.Kept = func(string, repopeft.Track) ([]string, error) {
				return []string{ids[5], ids[3], task.Commit, ids[6]}, nil
			}
		},
		"order": func(r *Runner, task *repopeft.Task, ids []string) {
			r.Kept = func(string, repopeft.Track) ([]string, error) {
				return []string{ids[3], ids[1], task.Commit, ids[6]}, nil
			}
		},
		"another list": func(r *Runner, task *repopeft.Task, ids []string) {
			r.Kept = func(string, repopeft.Track) ([]string, error) { return []string{ids[1], ids[2], ids[6]}, nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, steps := range []Stepping{StepKept, StepAll} {
				r, tasks, ids := evolving(t, disclosure.Tree)
				task := *tasks[2]
				r.Suite = []*repopeft.Task{&task, tasks[3]}
				change(r, &task, ids)
				begun := 0
				methods := []Method{NewFollowing("scribe", scribe{begun: &begun, tests: true}, Own, steps), &Hypernetwork{As: "x", Encoder: &reader{}, At: AtAnchor}}
				for _, m := range methods {
					err := r.Run(t.Context(), m, []*repopeft.Task{&task}, func([]*repopeft.Prediction) error { return nil })
					if err == nil || begun > 0 {
						t.Errorf("%T: got error %v after %d beginnings, want one before anything is read", m, err, begun)
					}
					if strings.Contains(name, " commit") && !errors.Is(err, ErrFuture) {
						t.Errorf("%T: got %v, want %v", m, err, ErrFuture)
					}
				}
			}
		})
	}
}

// TestAnchor checks what a checkpoint at the anchor reads.
func TestAnchor(t *testing.T) {
	for _, level := range disclosure.Levels {
		r, tasks, _ := evolving(t, level)
		for i, task := range tasks {
			e := &reader{}
			h := &Hypernetwork{As: "x", Checkpoint: &hypernet.Checkpoint{}, Encoder: e, Tests: true, Which: Nearest, At: AtAnchor} // fails once it has read
			err := r.Run(t.Context(), h, []*repopeft.Task{task}, func([]*repopeft.Prediction) error { return nil })
			if err == nil || len(e.texts) != 1 {
				t.Fatalf("task %d: %d texts were read, %v", i, len(e.texts), err)
			}
			if got, want := marks(e.texts[0]), []string{"0", "1", "1", "1"}[i]; got != want {
				t.Errorf("%s: task %d has read commits %q, want %q", level, i, got, want)
			}
			if got, want := strings.Contains(e.texts[0], "OLD_SECRET"), level == disclosure.Tree && i < 3; got != want {
				t.Errorf("%s: task %d: the other test was read: %t, want %t:\n%s", level, i, got, want, e.texts[0])
			}
		}
	}
	r, tasks := runner(t, disclosure.Tree)
	err := r.Run(t.Context(), &Hypernetwork{As: "x", At: AtAnchor}, tasks, func([]*repopeft.Prediction) error { return nil })
	if !errors.Is(err, errNoPast) {
		t.Errorf("static track: got %v, want %v", err, errNoPast)
	}
}

// tinyCheckpoint is one for a model, with an encoder that needs none.
func tinyCheckpoint(t *testing.T, m *model.Model) (*hypernet.Checkpoint, encoder.Filewise) {
	t.Helper()
	enc, err := encoder.New(encoder.Options{Kind: encoder.KindLexical, Dim: 16}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var reps []*embedding.Representation
	for range 5 {
		data := make([]float32, 32)
		for i := range data {
			data[i] = float32(rng.NormFloat64() * 0.2)
		}
		reps = append(reps, &embedding.Representation{Encoder: enc.ID(), Tensors: map[string]embedding.Tensor{embedding.Repository: {Shape: []int{32}, Data: data}}})
	}
	head, err := hypernet.New(hypernet.FactoredKind, map[string]any{"rank": 3, "mean_rank": 2, "alpha": 4, "coefficients": 3, "input": map[string]any{"components": 3}, "modules": []string{"v_proj", "down_proj"}},
		hypernet.Setup{Dims: m.Config.Dims(), Inputs: hypernet.InputsOf(reps[0])})
	if err == nil {
		err = head.Fit(reps)
	}
	if err != nil {
		t.Fatal(err)
	}
	head.Init(3)
	for _, p := range head.Params() {
		for i := range p.Value {
			p.Value[i] += float32(0.3 * rng.NormFloat64())
		}
	}
	return &hypernet.Checkpoint{Info: hypernet.Info{Name: "tiny", Encoder: enc.ID()}, Head: head}, enc.(encoder.Filewise)
}

// TestAdditiveIsFresh checks that sums carried along the commits answer as the
// checkpoint that reads each commit anew, with controls, whether a run is cut or
// not, and that the anchor's adapter answers in another way.
func TestAdditiveIsFresh(t *testing.T) {
	r, tasks, _ := evolving(t, disclosure.Production)
	ck, enc := tinyCheckpoint(t, r.Engine.Model)
	additive, err := evolve.NewAdditive(ck, enc, gitrepo.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	fresh := predictions(t, r, &Hypernetwork{As: "fresh", Checkpoint: ck, Encoder: enc}, tasks)
	stale := predictions(t, r, &Hypernetwork{As: "stale", Checkpoint: ck, Encoder: enc, At: AtAnchor}, tasks)
	average := predictions(t, r, &Hypernetwork{As: "average", Checkpoint: ck, Encoder: enc, Which: Average}, tasks)
	differ := 0
	for _, steps := range []Stepping{StepKept, StepAll} {
		got := predictions(t, r, NewFollowing("additive", additive, Own, steps), tasks)
		left := predictions(t, r, NewFollowing("additive", additive, Own, steps), tasks[2:])
		controls := predictions(t, r, NewFollowing("average", additive, Average, steps), tasks)
		for i, task := range tasks {
			p := got[task.ID]
			if math.Abs(p.NLL-fresh[task.ID].NLL) > 1e-3 {
				t.Errorf("%s: task %d: NLL %g, that of a fresh adapter is %g", steps, i, p.NLL, fresh[task.ID].NLL)
			}
			if i >= 2 && left[task.ID].NLL != p.NLL {
				t.Errorf("%s: task %d: NLL %g, in a run that was cut %g", steps, i, p.NLL, left[task.ID].NLL)
			}
			if math.Abs(p.NLL-stale[task.ID].NLL) > 1e-3 {
				differ++
			}
			if controls[task.ID].NLL != average[task.ID].NLL {
				t.Errorf("the average is another for a follower")
			}
		}
	}
	if differ == 0 {
		t.Error("the anchor's adapter is no other: the test compares nothing")
	}
	shuffled := predictions(t, r, NewFollowing("shuffled", additive, Shuffled, StepKept), tasks)
	if shuffled[tasks[3].ID].NLL == fresh[tasks[3].ID].NLL {
		t.Error("a shuffled representation changes nothing")
	}
}

// TestAuditHistory checks at which commits an audit looks.
func TestAuditHistory(t *testing.T) {
	r, tasks, _ := evolving(t, disclosure.Tree)
	begun := 0
	f := NewFollowing("scribe", scribe{begun: &begun, tests: true}, Own, StepKept)
	for commits, want := range map[int][]string{0: nil, 1: {"1"}, 2: {"1", "1 3"}, 9: {"1", "1 3"}} {
		got, err := r.AuditHistory(t.Context(), f, tasks, commits)
		if err != nil {
			t.Fatal(err)
		}
		var earlier []string
		for _, rep := range got.Earlier {
			earlier = append(earlier, marks(rep.Input))
		}
		if marks(got.Whole.Input) != "1 3 4 5" || !slices.Equal(earlier, want) {
			t.Errorf("%d commits: got states after commits %q and %q, want %q and 1 3 4 5", commits, earlier, marks(got.Whole.Input), want)
		}
		if strings.Contains(got.Whole.Input, "SECRET") {
			t.Error("a file that is asked about has been read")
		}
	}
}

// TestStates checks that others' states are those at their newest tasks, and that
// a stranger's is given.
func TestStates(t *testing.T) {
	r, tasks, _ := evolving(t, disclosure.Production)
	begun := 0
	f := NewFollowing("scribe", scribe{begun: &begun}, Stranger, StepKept)
	all, err := r.States(t.Context(), f, tasks)
	if err != nil {
		t.Fatal(err)
	}
	if rep := all["owner/history"]; rep == nil || marks(rep.Input) != "1 3 4 5" {
		t.Errorf("got %v, want the state at the parent of commit 6", all)
	}
	f.Others = map[string]*embedding.Representation{"owner/history": all["owner/history"], "other/one": {Input: "other"}}
	if rep, err := f.stranger("owner/history", "x"); err != nil || rep.Input != "other" {
		t.Errorf("got the stranger %v, %v", rep, err)
	}
}
