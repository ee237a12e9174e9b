package follow

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/gitrepo"
)

func TestShallow(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("abcde")
	clone := filepath.Join(t.TempDir(), "clone")
	runGit(t, "", "clone", "-q", "--depth", "2", "file://"+r.dir, clone)
	j, _ := newJob(t, r)
	j.Repo = open(t, clone)
	res := update(t, j)
	if res.Anchor != ids[3] || res.Applied != 2 || !strings.HasPrefix(res.Repository, "name:") || !noted(res, "shallow") {
		t.Errorf("got %+v, want it to begin where the history was cut, with a note", res)
	}
	// The state of a commit that no ref leads to stays: the clone may not know all.
	runGit(t, clone, "checkout", "-q", "--detach")
	side := &repo{t: t, dir: clone, date: r.date}
	lost := with(j, func(j *Job) { j.Ref = side.commit("lost") })
	update(t, lost)
	runGit(t, clone, "checkout", "-q", "main")
	if n, _, err := Collect(t.Context(), j, res.Repository, 0, true); n != 0 || err != nil {
		t.Errorf("collected %d, %v, want nothing of a shallow clone", n, err)
	}
	r.commits("f")
	runGit(t, clone, "pull", "-q")
	if res = update(t, j); res.From != ids[4] || res.Applied != 1 {
		t.Errorf("after a pull: got %+v, want one step", res)
	}
	// With all of the history the states are the same, but kept apart.
	runGit(t, clone, "fetch", "-q", "--unshallow")
	if res = update(t, j); res.Repository != ids[0] || res.Applied != 6 {
		t.Errorf("after unshallow: got %+v, want all of the history", res)
	}
}

// TestEdited holds that grafts and replace refs change nothing: ids stand for
// parents, and states are found by ids.
func TestEdited(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("abcd")
	for _, c := range []struct {
		what string
		edit func()
	}{
		{"grafts", func() {
			r.write(".git/info/grafts", ids[3]+" "+ids[0]+"\n")
		}},
		{"replace refs", func() {
			r.git("replace", "--graft", ids[3], ids[1])
		}},
	} {
		j, f := newJob(t, r)
		c.edit()
		if res := update(t, j); res.Applied != 4 || strings.Join(f.steps, "") != "bcd" || !noted(res, c.what) {
			t.Errorf("%s: got %+v and steps %q, want bcd and a note", c.what, res, f.steps)
		}
	}
}

func TestMissingObject(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("abc")
	j, _ := newJob(t, r)
	blob := r.git("rev-parse", ids[2]+":src/c.py")
	object := filepath.Join(r.dir, ".git", "objects", blob[:2], blob[2:])
	data, err := os.ReadFile(object)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(object); err != nil {
		t.Fatal(err)
	}
	res, err := Update(t.Context(), j, nil)
	if !errors.Is(err, gitrepo.ErrMissingObject) || !strings.Contains(err.Error(), ids[2][:12]) || res.Commit != ids[1] {
		t.Fatalf("got %+v, %v, want it to end before %s", res, err, ids[2])
	}
	checkState(t, j, res)
	if err := os.WriteFile(object, data, 0o444); err != nil {
		t.Fatal(err)
	}
	if res = update(t, j); res.From != ids[1] || res.Applied != 1 {
		t.Errorf("after a repair: got %+v, want one step", res)
	}
}

// TestOddCommits follows commits that change no source, and such that claim to be
// older than their parents.
func TestOddCommits(t *testing.T) {
	r := newRepo(t)
	sub := newRepo(t)
	first := sub.commits("s")
	sub.git("checkout", "-q", "-b", "next")
	second := sub.commits("t")
	r.commits("a")
	j, f := newJob(t, r)
	update(t, j)
	r.git("update-index", "--add", "--cacheinfo", "160000,"+first[0]+",lib")
	r.git("commit", "-q", "-m", "submodule")
	r.git("update-index", "--cacheinfo", "160000,"+second[0]+",lib")
	r.git("commit", "-q", "-m", "bump")
	r.git("update-index", "--force-remove", "lib")
	r.write("logo.png", "\x89PNG\x00\x01")
	r.git("add", "logo.png")
	r.git("commit", "-q", "-m", "binary")
	r.git("commit", "-q", "--allow-empty", "-m", "empty")
	r.git("mv", "src/a.py", "src/z.py")
	r.git("commit", "-q", "-m", "move")
	r.git("update-index", "--chmod=+x", "src/z.py")
	r.git("commit", "-q", "-m", "mode")
	r.date = 1000000000 // years before
	r.commits("b")
	r.date = 4000000000 // in the future
	r.commits("c")
	r.date = 1500000000
	last := r.commits("d")
	res := update(t, j)
	if got, want := strings.Join(f.steps, " "), "submodule bump binary empty move mode b c d"; got != want || res.Commit != last[0] {
		t.Errorf("steps %q to %s, want %q", got, res.Commit, want)
	}
	lines, _, err := Log(t.Context(), j, 0)
	if err != nil || len(lines) != 10 {
		t.Fatal(len(lines), err)
	}
	for _, l := range lines[3:] { // until b
		if churn := l.State.Notes[noteChurn]; churn != 0 {
			t.Errorf("%s: churn %g, want 0", l.Commit.Subject, churn)
		}
	}
	if !(lines[0].State.Notes[noteChurn] > 0) {
		t.Error("d has no churn")
	}
}

func TestMeasure(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("a")
	j, f := newJob(t, r)
	update(t, j)
	if _, err := Measure(t.Context(), j, 3, nil); !errors.Is(err, ErrNoStates) {
		t.Errorf("at the anchor: got %v, want %v", err, ErrNoStates)
	}
	ids = append(ids, r.commits("bcdefg")...)
	res := update(t, j)
	begins := f.begins
	var seen int
	ds, err := Measure(t.Context(), j, 3, func(Drift) { seen++ })
	if err != nil || len(ds) != 3 || seen != 3 || f.begins != begins+3 {
		t.Fatalf("got %+v, %v, want three", ds, err)
	}
	for i, d := range ds {
		if want := 2 * (i + 1); d.Steps != want || d.Commit != ids[want] || d.Anchor != ids[0] || !(d.Distance > 0) || d.Anchored == nil || !(*d.Anchored > 0) || d.Distance == *d.Anchored || !(d.Churn > 0) {
			t.Errorf("%d: got %+v, want %d steps and a distance", i, d, want)
		}
	}
	lines, _, err := Log(t.Context(), j, 1)
	if err != nil || *lines[0].Drift != ds[2].Distance {
		t.Errorf("log: got %+v, %v, want the drift noted", lines, err)
	}
	checkState(t, j, res)

	// What is exact has none.
	x, g := newJob(t, r)
	g.exact, x.Every = true, 1
	update(t, x)
	if ds, err = Measure(t.Context(), x, 100, nil); err != nil || len(ds) != 6 {
		t.Fatal(ds, err)
	}
	for _, d := range ds {
		if d.Distance != 0 {
			t.Errorf("exact: got %+v, want no distance", d)
		}
	}
}

func TestCheck(t *testing.T) {
	r := newRepo(t)
	r.commits("abc")
	for _, exact := range []bool{false, true} {
		j, f := newJob(t, r)
		f.exact = exact
		j.Every = 1
		res := update(t, j)
		c, err := Check(t.Context(), j, res, &chain{exact: exact})
		if err != nil || c.Equal != exact || (c.Distance == 0) != exact || c.Seconds <= 0 {
			t.Errorf("exact %t: got %+v, %v", exact, c, err)
		}
		if _, err := Check(t.Context(), j, res, &chain{id: "other"}); err == nil {
			t.Error("another follower: want an error")
		}
	}
}

// TestNothing follows a repository that has no source at first.
func TestNothing(t *testing.T) {
	r := newRepo(t)
	r.write("README", "nothing yet\n")
	first := r.record("readme")
	j, f := newJob(t, r)
	f.nothing = true
	if res := update(t, j); !math.IsNaN(res.Norm) || res.Commit != first {
		t.Errorf("got %+v, want a state without a norm", res)
	}
	f.nothing = false
	r.commits("a")
	if res := update(t, j); res.From != first || !(res.Norm > 0) {
		t.Errorf("got %+v, want a step from %s", res, first)
	}
}

// TestCheckpoints shares states between two checkpoints, but not their norms.
func TestCheckpoints(t *testing.T) {
	r := newRepo(t)
	r.commits("ab")
	j, f := newJob(t, r)
	j.Checkpoint = "one"
	one := update(t, j)
	j.Checkpoint, f.scale = "two", 3
	two := update(t, j)
	if two.Applied != 0 || math.Abs(two.Norm-3*one.Norm) > 1e-6*two.Norm {
		t.Errorf("norm %g after %d commits, want three times %g without any", two.Norm, two.Applied, one.Norm)
	}
	lines, _, err := Log(t.Context(), j, 1)
	if err != nil || lines[0].State == nil || lines[0].Norm != nil {
		t.Errorf("got %+v, %v, want no norm of the other checkpoint", lines, err)
	}
}

// TestSHA256 follows a repository whose ids have 64 digits.
func TestSHA256(t *testing.T) {
	r := newRepo(t)
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	runGit(t, "", "init", "-q", "-b", "main", "--object-format=sha256", r.dir)
	ids := r.commits("abc")
	j, f := newJob(t, r)
	if res := update(t, j); len(res.Commit) != 64 || res.Commit != ids[2] || strings.Join(f.steps, "") != "bc" {
		t.Errorf("got %+v, steps %q", res, f.steps)
	}
	f.exact, j.Store = true, newStore(t)
	if res := update(t, j); res.Applied != 3 || res.OneStep != 2 {
		t.Errorf("exact: got %+v", res)
	}
}
