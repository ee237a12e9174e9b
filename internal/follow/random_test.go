package follow

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRandomHistories lets git do what people do, in any order, and compares each
// state with a replay.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 9))
			r := newRepo(t)
			r.commits("ab")
			dir := t.TempDir()
			chained := Job{Repo: open(t, r.dir), Follower: &chain{}, Store: openStore(t, dir), From: Root, Every: 1 + rng.IntN(3)}
			exact := chained
			exact.Follower, exact.From, exact.Every = &chain{id: "exact", exact: true}, "", 0
			var did []string
			for i := range 20 {
				did = append(did, randomChange(r, rng, dir, i))
				t.Log(did[i])
				update(t, chained)
				if res := update(t, exact); res.From != "" && res.Applied != res.OneStep {
					t.Errorf("exact: %d commits in one step, want all %d", res.OneStep, res.Applied)
				}
				if rng.IntN(5) == 0 {
					res := update(t, chained)
					if _, _, err := Collect(t.Context(), chained, res.Repository, 0, false); err != nil {
						t.Fatal(err)
					}
				}
				if t.Failed() {
					t.FailNow()
				}
			}
		})
	}
}

// randomChange changes history, or damages a state, and says what it did.
func randomChange(r *repo, rng *rand.Rand, store string, i int) string {
	name := fmt.Sprintf("n%d", i)
	branches := strings.Fields(r.git("for-each-ref", "--format=%(refname:short)", "refs/heads"))
	branch := branches[rng.IntN(len(branches))]
	switch rng.IntN(9) {
	case 0:
		r.git("checkout", "-q", "-b", name)
		r.commit(name)
		return "branch " + name
	case 1:
		r.git("checkout", "-q", branch)
		return "switch to " + branch
	case 2:
		env := []string{"GIT_AUTHOR_DATE=1800000000 +0000", "GIT_COMMITTER_DATE=1800000000 +0000"}
		if _, err := tryGit(r.dir, env, "merge", "-q", "--no-edit", "-X", "ours", branch); err != nil { // one deleted what the other changed
			r.git("merge", "--abort")
			break
		}
		return "merge " + branch
	case 3:
		if _, err := tryGit(r.dir, nil, "rev-parse", "-q", "--verify", "HEAD~1"); err != nil {
			break
		}
		r.git("reset", "-q", "--hard", "HEAD~1")
		r.commit(name)
		return "forced push"
	case 4:
		r.git("commit", "-q", "--amend", "-m", name)
		return "amend"
	case 5: // the tree of two commits before
		if _, err := tryGit(r.dir, nil, "checkout", "-q", "HEAD~1", "--", "."); err != nil {
			break
		}
		r.record(name)
		return "revert"
	case 6:
		if branch != r.git("rev-parse", "--abbrev-ref", "HEAD") {
			r.git("branch", "-q", "-D", branch)
			return "delete " + branch
		}
	case 7:
		blobs, _ := filepath.Glob(filepath.Join(store, "blobs", "*", "*"))
		if len(blobs) > 0 {
			blob := blobs[rng.IntN(len(blobs))]
			if info, err := os.Stat(blob); err != nil || os.Truncate(blob, info.Size()/2) != nil {
				r.t.Fatal("cutting ", blob, ": ", err)
			}
			return "cut a state"
		}
	}
	r.commit(name)
	return "commit"
}
