package follow

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/state"
)

func TestUpdate(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("abc")
	j, f := newJob(t, r)
	var seen []Applied
	res, err := Update(t.Context(), j, func(a Applied) { seen = append(seen, a) })
	if err != nil {
		t.Fatal(err)
	}
	checkState(t, j, res)
	if len(seen) != 3 || !seen[0].Begun || seen[1].Begun || seen[1].Left != 1 || seen[2].Commit.ID != ids[2] || seen[2].Steps != 2 || !(seen[2].Norm > 0) {
		t.Errorf("reported %+v, want a begin and two steps", seen)
	}
	if res.Anchor != ids[0] || res.Commit != ids[2] || res.Steps != 2 || res.Applied != 3 || res.From != "" || res.Repository != ids[0] || !(res.Norm > 0) {
		t.Errorf("got %+v", res)
	}
	// One more commit is one more step.
	ids = append(ids, r.commits("d")...)
	if res = update(t, j); res.Applied != 1 || res.From != ids[2] || res.Steps != 3 || f.begins != 1 {
		t.Errorf("after one commit: got %+v and %d begins, want one step", res, f.begins)
	}
	if res = update(t, j); res.Applied != 0 || res.Commit != ids[3] || !(res.Norm > 0) {
		t.Errorf("without a commit: got %+v, want no step", res)
	}
	if got := strings.Join(f.steps, ""); got != "bcd" {
		t.Errorf("steps %q, want bcd", got)
	}
	// Without From it begins at the end.
	j2, _ := newJob(t, r)
	j2.From = ""
	if res = update(t, j2); res.Anchor != ids[3] || res.Applied != 1 || res.Steps != 0 {
		t.Errorf("from nothing: got %+v, want a state begun at the end", res)
	}
	j.Fresh, j.From = true, ""
	if res = update(t, j); res.Anchor != ids[3] || res.Steps != 0 {
		t.Errorf("fresh: got %+v, want a state begun at the end", res)
	}
}

func TestForcePush(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("abcd")
	j, f := newJob(t, r)
	update(t, j)
	r.git("reset", "-q", "--hard", ids[1])
	r.commits("xy")
	f.steps = nil
	res := update(t, j)
	if res.From != ids[1] || res.Applied != 2 || f.begins != 1 || !slices.Equal(f.steps, []string{"x", "y"}) {
		t.Errorf("got %+v, steps %q, begins %d; want x and y from the merge base %s", res, f.steps, f.begins, ids[1])
	}
	if !noted(res, "not of this history") {
		t.Errorf("notes %q say nothing of the rewritten history", res.Notes)
	}
	// Back again: the states are still there.
	r.git("reset", "-q", "--hard", ids[3])
	if res = update(t, j); res.Applied != 0 || res.Commit != ids[3] {
		t.Errorf("got %+v, want the stored state of %s", res, ids[3])
	}
	// A rebase with an amended root has nothing in common.
	r.git("checkout", "-q", "--orphan", "other")
	r.commits("z")
	res = update(t, j)
	if res.Applied != 1 || res.Repository == ids[0] {
		t.Errorf("got %+v, want a state begun anew", res)
	}
}

func TestBranches(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("abc")
	j, f := newJob(t, r)
	update(t, j)
	r.git("checkout", "-q", "-b", "side")
	side := r.commits("pq")
	j.Ref = "side"
	if res := update(t, j); res.From != ids[2] || res.Applied != 2 {
		t.Errorf("branch: got %+v, want two steps from %s", res, ids[2])
	}
	r.git("checkout", "-q", "main")
	r.commits("d")
	r.git("merge", "-q", "--no-edit", "-X", "ours", "side")
	f.steps, j.Ref = nil, "main"
	if res := update(t, j); res.Applied != 2 || f.steps[0] != "d" || !strings.HasPrefix(f.steps[1], "Merge") {
		t.Errorf("merge: got %+v and steps %q, want d and the merge as one step", res, f.steps)
	}
	s, res, err := At(t.Context(), with(j, func(j *Job) { j.Ref = side[0] }))
	if err != nil || s.Steps() != 3 || res.Applied != 0 {
		t.Errorf("At: got %v, %+v, %v, want the stored state", s, res, err)
	}
}

func with(j Job, change func(*Job)) Job {
	change(&j)
	return j
}

func TestEvery(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("abcdef")
	j, _ := newJob(t, r)
	j.Every = 2
	update(t, j)
	lines, _, err := Log(t.Context(), j, 0)
	if err != nil {
		t.Fatal(err)
	}
	var stored []string
	for _, l := range lines {
		if l.State != nil {
			stored = append(stored, l.Commit.Subject)
			if l.Norm == nil || *l.Norm <= 0 {
				t.Errorf("%s: notes %v without a norm", l.Commit.Subject, l.State.Notes)
			}
		}
	}
	if got := strings.Join(stored, ""); got != "feca" {
		t.Errorf("states of %q, want feca: the first, each second, the last; newest first", got)
	}
	// The state between is replayed from the nearest, and stored.
	s, res, err := At(t.Context(), with(j, func(j *Job) { j.Ref = ids[3] }))
	if err != nil || s.Steps() != 3 || res.From != ids[2] || res.Applied != 1 {
		t.Errorf("At: got %v, %+v, %v, want one step from %s", s, res, err, ids[2])
	}
	if lines, _, _ = Log(t.Context(), j, 3); len(lines) != 3 || lines[2].State == nil {
		t.Errorf("log of 3: got %+v, want the state of d too", lines)
	}
}

func TestExact(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("abcd")
	j, f := newJob(t, r)
	f.exact, j.From = true, ""
	update(t, j)
	r.git("mv", "src/a.py", "src/moved.py")
	r.commits("efg")
	if res := update(t, j); res.Applied != 3 || res.OneStep != 3 || res.Steps != 3 || len(f.steps) != 1 || res.Churn != 0 || !res.Exact {
		t.Errorf("got %+v and steps %q, want one over three commits", res, f.steps)
	}
	// Any state will do, also one of another branch.
	r.git("checkout", "-q", "-b", "side", ids[1])
	r.commits("x")
	if res := update(t, j); res.Applied != 1 || res.OneStep != 1 || f.begins != 1 {
		t.Errorf("branch: got %+v and %d begins, want one step from a state elsewhere", res, f.begins)
	}
	j.Every, j.Ref = 1, "main"
	r.git("checkout", "-q", "main")
	r.commits("hi")
	if res := update(t, j); res.Applied != 2 || res.OneStep != 0 {
		t.Errorf("every commit: got %+v, want two steps", res)
	}
}

func TestReanchor(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("abcdefgh")
	j, f := newJob(t, r)
	res := update(t, j)
	if !(res.Churn > 1) || res.Reanchored != 0 {
		t.Fatalf("got %+v, want more churn than the bytes of all sources", res)
	}
	// Tests, submodules and binaries don't count.
	r.write("tests/test_a.py", strings.Repeat("assert True\n", 100))
	r.write("data.bin", "\x00\x01")
	r.record("tests")
	if next := update(t, j); next.Churn != res.Churn {
		t.Errorf("churn %g after tests, want %g as before", next.Churn, res.Churn)
	}
	j.Store, j.Anchor.Churn = newStore(t), 1
	f.begins = 0
	var anchors []string
	res, err := Update(t.Context(), j, func(a Applied) {
		if a.Reanchored {
			anchors = append(anchors, a.Commit.Subject)
		}
		if a.Churn > 1 {
			t.Errorf("%s: churn %g, want at most 1", a.Commit.Subject, a.Churn)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	checkState(t, j, res)
	if res.Reanchored == 0 || len(anchors) != res.Reanchored || f.begins != 1+res.Reanchored || res.Anchor == ids[0] || res.AnchorSeconds <= 0 {
		t.Errorf("got %+v with anchors %q and %d begins", res, anchors, f.begins)
	}
}

// TestInterrupted holds that whatever ends an update, the next goes on.
func TestInterrupted(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("abcdef")
	j, f := newJob(t, r)
	j.Every = 100
	ctx, cancel := context.WithCancel(t.Context())
	res, err := Update(ctx, j, func(a Applied) {
		if a.Commit.ID == ids[2] {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || res == nil || res.Commit != ids[2] {
		t.Fatalf("got %+v, %v, want it to end at %s", res, err, ids[2])
	}
	checkState(t, j, res)
	f.steps = nil
	if res = update(t, j); res.From != ids[2] || strings.Join(f.steps, "") != "def" {
		t.Errorf("got %+v, steps %q, want def", res, f.steps)
	}
}

// childVar makes a test process one that updates: the repository and the store.
const childVar = "CODE2LORA_TEST_UPDATE"

// TestTwoProcesses lets processes update one repository at once.
func TestTwoProcesses(t *testing.T) {
	if spec := os.Getenv(childVar); spec != "" {
		repo, store, _ := strings.Cut(spec, "\n")
		f := &chain{}
		if _, err := Update(t.Context(), Job{Repo: open(t, repo), Follower: f, Store: openStore(t, store), From: Root}, nil); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("STEPS=%d\n", len(f.steps))
		return
	}
	r := newRepo(t)
	r.commits("abcdef")
	dir := t.TempDir()
	var wg sync.WaitGroup
	steps := make([]int, 3)
	for i := range steps {
		wg.Go(func() {
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTwoProcesses$", "-test.v")
			c.Env = append(os.Environ(), childVar+"="+r.dir+"\n"+dir)
			out, err := c.CombinedOutput()
			_, after, ok := strings.Cut(string(out), "STEPS=")
			if _, scanErr := fmt.Sscan(after, &steps[i]); err != nil || !ok || scanErr != nil {
				t.Errorf("process %d: %v\n%s", i, err, out)
			}
		})
	}
	wg.Wait()
	if n := steps[0] + steps[1] + steps[2]; n != 5 {
		t.Errorf("%d steps in all, want 5: each commit once", n)
	}
	j := Job{Repo: open(t, r.dir), Follower: &chain{}, Store: openStore(t, dir)}
	update(t, j)
}

func TestDamagedState(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("abcd")
	j, _ := newJob(t, r)
	dir := t.TempDir()
	j.Store = openStore(t, dir)
	res := update(t, j)
	e, ok, err := j.Store.Has(t.Context(), state.Key{Repository: res.Repository, Commit: ids[3], Model: Model(j.Follower)})
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	var cut int
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, e.Digest) {
			cut++
			return os.Truncate(path, e.Size/2)
		}
		return err
	}); err != nil || cut != 1 {
		t.Fatal(cut, err)
	}
	if res = update(t, j); res.From != ids[2] || res.Applied != 1 || !noted(res, "can't be read") {
		t.Errorf("state cut in half: got %+v, want a step from %s, and a note", res, ids[2])
	}
	// Bytes that the store finds whole but the follower can't read.
	if err := j.Store.Put(t.Context(), e, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if res = update(t, j); res.From != ids[2] || !noted(res, "can't be read") {
		t.Errorf("state of another format: got %+v", res)
	}
	// Another checkpoint doesn't see these states at all.
	j.Follower = &chain{id: "other"}
	if res = update(t, j); res.From != "" || res.Applied != 4 || !noted(res, "other checkpoints") {
		t.Errorf("another checkpoint: got %+v, want it to begin anew with a note", res)
	}
	if lines, _, err := Log(t.Context(), j, 1); err != nil || lines[0].State == nil || lines[0].State.Model != Model(j.Follower) {
		t.Errorf("log: got %+v, %v", lines, err)
	}
}

func TestRefused(t *testing.T) {
	r := newRepo(t)
	r.commits("ab")
	r.git("checkout", "-q", "-b", "side")
	side := r.commits("c")
	r.git("checkout", "-q", "main")
	plain := t.TempDir()
	empty := newRepo(t)
	for _, c := range []struct {
		name   string
		change func(*Job)
		want   error
	}{
		{"from elsewhere", func(j *Job) { j.From = side[0] }, ErrFrom},
		{"from nothing", func(j *Job) { j.From = "nobody" }, gitrepo.ErrRef},
		{"no such ref", func(j *Job) { j.Ref = "nobody" }, gitrepo.ErrRef},
		{"no git", func(j *Job) { j.Repo = open(t, plain) }, gitrepo.ErrNotGit},
		{"no commits", func(j *Job) { j.Repo = open(t, empty.dir) }, gitrepo.ErrEmpty},
		{"every", func(j *Job) { j.Every = -1 }, nil},
		{"threshold", func(j *Job) { j.Anchor.Churn = math.NaN() }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			j, f := newJob(t, r)
			c.change(&j)
			if _, err := Update(t.Context(), j, nil); err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if f.begins > 0 {
				t.Error("a state was begun")
			}
		})
	}
}

func TestCollect(t *testing.T) {
	r := newRepo(t)
	r.commits("ab")
	j, _ := newJob(t, r)
	r.git("checkout", "-q", "-b", "side")
	side := r.commits("cd")
	res := update(t, j)
	r.git("checkout", "-q", "main")
	linked := filepath.Join(t.TempDir(), "linked")
	r.git("worktree", "add", "-q", "--detach", linked, side[0])
	collect := func(grace time.Duration, want int) {
		t.Helper()
		n, _, err := Collect(t.Context(), j, res.Repository, grace, false)
		if err != nil || n != want {
			t.Errorf("got %d, %v, want %d states collected", n, err, want)
		}
	}
	collect(0, 0)
	r.git("branch", "-q", "-D", "side")
	collect(time.Hour, 0) // too young
	collect(0, 1)         // d; the linked work tree is at c
	r.git("worktree", "remove", linked)
	collect(0, 1)
	update(t, j)
	if n := len(list(t, j)); n != 2 {
		t.Errorf("%d states are left, want those of a and b", n)
	}
}

func list(t *testing.T, j Job) []state.Entry {
	t.Helper()
	entries, err := j.Store.List(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return entries
}
