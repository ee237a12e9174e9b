package follow

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/state"
)

// keepExact is how many states of an exact follower a branch keeps: any one of
// them leads to all commits.
const keepExact = 8

// Collect removes states of a repository that are older than grace: of all
// checkpoints those whose commits no ref and no HEAD of its work trees leads to,
// and of the history of a job whose follower is exact, and which doesn't ask for
// states between, all but the newest few. It also removes what nobody can use:
// damaged states, and data without a state. repository is what the [Result] of an
// update says.
//
// States that another clone has made are left alone, as its branches aren't known
// here, unless all is set. In a shallow clone, which doesn't know what its refs
// lead to, only what nobody can use is removed.
func Collect(ctx context.Context, j Job, repository string, grace time.Duration, all bool) (removed int, freed int64, err error) {
	shallow, err := j.Repo.Shallow(ctx)
	if err != nil {
		return 0, 0, err
	}
	clone := cloneOf(j.Repo)
	old := func(e state.Entry) bool {
		return !shallow && e.Repository == repository && time.Since(e.Made) > grace && (all || clone != "" && e.Clone == clone)
	}
	entries, err := j.Store.List(ctx, repository, "")
	if err != nil && !errors.Is(err, state.ErrCorrupt) {
		return 0, 0, err
	}
	entries = slices.DeleteFunc(entries, func(e state.Entry) bool { return !old(e) })
	lost := map[string]bool{} // commits
	for _, e := range entries {
		lost[e.Commit] = true
	}
	if len(lost) > 0 {
		if err := j.Repo.Reachable(ctx, func(id string) error { delete(lost, id); return nil }); err != nil {
			return 0, 0, err
		}
	}
	spare, err := j.spare(ctx, entries)
	if err != nil {
		return 0, 0, err
	}
	return j.Store.Collect(ctx, func(e state.Entry) bool {
		return !old(e) || !lost[e.Commit] && !spare[e.Key]
	})
}

// spare returns those of the entries that the history of a job can do without.
func (j Job) spare(ctx context.Context, entries []state.Entry) (map[state.Key]bool, error) {
	if !isExact(j.Follower) || j.Every > 0 || len(entries) <= keepExact {
		return nil, nil
	}
	h, err := readHistory(ctx, j)
	if err != nil {
		return nil, err
	}
	on := slices.DeleteFunc(slices.Clone(entries), func(e state.Entry) bool {
		_, ok := h.at[e.Commit]
		return !ok || e.Model != h.key.Model
	})
	slices.SortFunc(on, func(a, b state.Entry) int { return cmp.Compare(h.at[a.Commit], h.at[b.Commit]) })
	spare := map[state.Key]bool{}
	for _, e := range on[:max(0, len(on)-keepExact)] {
		spare[e.Key] = true
	}
	return spare, nil
}

// cloneOf returns who makes states: a digest of this machine and the git
// directory, or "" if that can't be told.
func cloneOf(r *gitrepo.Repo) string {
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	dir, err := r.CommonDir()
	if err != nil {
		return ""
	}
	sum := sha256.Sum256([]byte(host + "\x00" + real(dir)))
	return hex.EncodeToString(sum[:16])
}
