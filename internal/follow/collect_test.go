package follow

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCollectClones holds that a clone leaves the states of another one alone.
func TestCollectClones(t *testing.T) {
	r := newRepo(t)
	r.commits("ab")
	clone := filepath.Join(t.TempDir(), "clone")
	runGit(t, "", "clone", "-q", r.dir, clone)
	other := &repo{t: t, dir: clone, date: r.date}
	other.git("checkout", "-q", "-b", "theirs")
	other.commits("x")

	j, _ := newJob(t, r)
	theirs := with(j, func(j *Job) { j.Repo = open(t, clone) })
	res := update(t, theirs)
	r.git("checkout", "-q", "-b", "mine")
	r.commits("y")
	update(t, j)
	r.git("checkout", "-q", "main")
	r.git("branch", "-q", "-D", "mine")
	if n, _, err := Collect(t.Context(), j, res.Repository, 0, false); n != 1 || err != nil {
		t.Errorf("got %d, %v, want the one state that this clone made and lost", n, err)
	}
	if res = update(t, theirs); res.Applied != 0 {
		t.Errorf("got %+v, want the other clone's state untouched", res)
	}
	if n, _, err := Collect(t.Context(), j, res.Repository, 0, true); n != 1 || err != nil {
		t.Errorf("of all clones: got %d, %v, want the other's too", n, err)
	}
}

// TestCollectExact bounds what a branch keeps of states that any other replaces,
// and removes what is damaged.
func TestCollectExact(t *testing.T) {
	r := newRepo(t)
	j, f := newJob(t, r)
	dir := t.TempDir()
	j.Store, j.From, f.exact = openStore(t, dir), "", true
	var res *Result
	for _, l := range "abcdefghijkl" {
		r.commit(string(l))
		res = update(t, j)
	}
	every := with(j, func(j *Job) { j.Every = 1 })
	if n, _, err := Collect(t.Context(), every, res.Repository, 0, false); n != 0 || err != nil {
		t.Errorf("a state for each commit is asked for: got %d, %v, want none collected", n, err)
	}
	if n, _, err := Collect(t.Context(), j, res.Repository, time.Hour, false); n != 0 || err != nil {
		t.Errorf("young ones: got %d, %v, want none collected", n, err)
	}
	if n, _, err := Collect(t.Context(), j, res.Repository, 0, false); n != 12-keepExact || err != nil {
		t.Errorf("got %d, %v, want all but %d collected", n, err, keepExact)
	}
	if got := update(t, j); got.Applied != 0 {
		t.Errorf("got %+v, want the newest kept", got)
	}
	damaged := strings.TrimSuffix(entryFile(t, dir, res.Commit), ".json")
	if err := os.WriteFile(damaged+"0.json", []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if n, _, err := Collect(t.Context(), j, res.Repository, time.Hour, false); n != 1 || err != nil {
		t.Errorf("got %d, %v, want the damaged one removed, old or not", n, err)
	}
}

// entryFile returns the file of a commit's entry.
func entryFile(t *testing.T, dir, commit string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "entries", "*", "*", commit+".json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("entries of %s: got %q, %v, want one", commit, files, err)
	}
	return files[0]
}

// TestRestoreNearby holds that an update reads the nearest state and no other, and
// removes that if it is damaged.
func TestRestoreNearby(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("abc")
	j, _ := newJob(t, r)
	dir := t.TempDir()
	j.Store = openStore(t, dir)
	update(t, j)
	if err := os.Truncate(entryFile(t, dir, ids[0]), 10); err != nil {
		t.Fatal(err)
	}
	r.commits("d")
	if res := update(t, j); res.Applied != 1 || noted(res, "can't be read") {
		t.Errorf("got %+v, want one step, and nobody to notice the damage of another state", res)
	}
	damaged := entryFile(t, dir, ids[2])
	if err := os.Truncate(damaged, 10); err != nil {
		t.Fatal(err)
	}
	r.git("reset", "-q", "--hard", ids[2])
	if res := update(t, j); res.From != ids[1] || res.Applied != 1 || !noted(res, "can't be read") {
		t.Errorf("got %+v, want a step from %s, and a note", res, ids[1])
	}
	r.git("reset", "-q", "--hard", ids[0])
	other := with(j, func(j *Job) { j.From = "" })
	if res := update(t, other); res.From != "" || res.Applied != 1 || !noted(res, "can't be read") {
		t.Errorf("got %+v, want the first state made anew", res)
	}
	if list, err := j.Store.List(t.Context(), "", ""); err != nil || len(list) != 4 {
		t.Errorf("got %d states, %v, want four whole ones", len(list), err)
	}
}

// TestFrom begins anew where it is told, and says when it doesn't.
func TestFrom(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("abc")
	j, _ := newJob(t, r)
	j.From = ""
	update(t, j)
	j.From = Root
	if res := update(t, j); res.Applied != 0 || !noted(res, "had no effect") {
		t.Errorf("got %+v, want a note that there is a state", res)
	}
	j.Fresh = true
	if res := update(t, j); res.Applied != 3 || res.Anchor != ids[0] {
		t.Errorf("fresh: got %+v, want it to begin at %s", res, ids[0])
	}
	j.Fresh = false
	r.commits("d")
	if res := update(t, j); res.Applied != 1 || noted(res, "had no effect") || res.State() == nil {
		t.Errorf("got %+v, want no note, as it was begun there", res)
	}
}

// TestReanchorLate applies a policy to a state that was made without one.
func TestReanchorLate(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("abcdefgh")
	j, _ := newJob(t, r)
	if res := update(t, j); !(res.Churn > 1) {
		t.Fatalf("got %+v, want more churn", res)
	}
	j.Anchor.Churn = 1
	if res := update(t, j); res.Reanchored != 1 || res.Anchor != ids[7] || res.Churn != 0 {
		t.Errorf("got %+v, want a new anchor at %s", res, ids[7])
	}
	if res := update(t, j); res.Applied != 0 {
		t.Errorf("got %+v, want nothing to do", res)
	}
}

// TestMeasureReplaced holds that drift of a state isn't noted with another one.
func TestMeasureReplaced(t *testing.T) {
	r := newRepo(t)
	r.commits("abc")
	j, f := newJob(t, r)
	update(t, j)
	var fresh *Result
	f.beginning = func() {
		f.beginning = nil
		other := with(j, func(j *Job) { j.Fresh, j.From = true, "" })
		other.Follower = &chain{}
		fresh = update(t, other)
	}
	ds, err := Measure(t.Context(), j, 1, nil)
	if err != nil || len(ds) != 1 || fresh == nil {
		t.Fatal(ds, err)
	}
	lines, _, err := Log(t.Context(), j, 1)
	if err != nil || lines[0].State == nil || lines[0].State.Steps != 0 || lines[0].Drift != nil {
		t.Errorf("got %+v, %v, want the state that was put meanwhile, without a drift", lines, err)
	}
	checkState(t, j, fresh)
}
