package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/follow"
	"github.com/code2lora/code2lora/internal/state"
	"github.com/code2lora/code2lora/internal/store"
)

// updateFlags are those of update that watch has too.
type updateFlags struct {
	followFlags
	from, out string
	fresh     bool
	every     int
	anchorAt  float64
	keep      time.Duration
}

// defaultKeep is how long states of commits that nothing leads to are kept: as
// long as git keeps such commits for the sake of the reflog.
const defaultKeep = 30 * 24 * time.Hour

func (o *updateFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.from, "from", "", "if nothing is known of the history, or with --fresh, begin at `REF` on it, or at its \"root\" (default: at its end)")
	f.IntVar(&o.every, "every", 0, "also keep the state of every `N`-th commit (default 1; for states that can't drift, 0: the last alone)")
	f.Float64Var(&o.anchorAt, "anchor-at", follow.DefaultPolicy.Churn, "begin a state that can drift anew when the churn since its anchor passes `CHURN` (0: never)")
	f.DurationVar(&o.keep, "keep", defaultKeep, "collect states of commits that no ref leads to when they are older than `AGE`: those of this clone, once a day (if given: of all clones, at once)")
	f.StringVarP(&o.out, "output", "o", "", "also write the adapter to `DIR`")
	o.followFlags.add(c)
}

// commitJSON is a commit that was applied.
type commitJSON struct {
	Commit     string   `json:"commit"`
	Subject    string   `json:"subject"`
	Steps      int      `json:"steps"`
	Covers     int      `json:"covers"`
	Begun      bool     `json:"begun,omitempty"`
	Reanchored bool     `json:"reanchored,omitempty"`
	Churn      float64  `json:"churn"`
	Norm       *float64 `json:"norm,omitempty"`
	Seconds    float64  `json:"seconds"`
}

// updateJSON is the result of an update.
type updateJSON struct {
	Repository       string             `json:"repository"`
	Mode             string             `json:"mode"`
	Commit           string             `json:"commit"`
	From             string             `json:"from,omitempty"`
	Anchor           string             `json:"anchor"`
	Steps            int                `json:"steps"`
	Applied          int                `json:"applied"`
	OneStep          int                `json:"one_step,omitempty"`
	Reanchored       int                `json:"reanchored"`
	Exact            bool               `json:"exact"`
	Churn            float64            `json:"churn"`
	Norm             *float64           `json:"norm,omitempty"`
	Seconds          float64            `json:"seconds"`
	SecondsPerCommit *float64           `json:"seconds_per_commit,omitempty"`
	AnchorSeconds    float64            `json:"anchor_seconds"`
	Commits          []commitJSON       `json:"commits"`
	Collected        int                `json:"collected"`
	Notes            []string           `json:"notes,omitempty"`
	Adapter          *adapterJSON       `json:"adapter,omitempty"`
	Check            *follow.Comparison `json:"check,omitempty"`
	CheckRatio       *float64           `json:"check_ratio,omitempty"`
}

func (a *app) updateCmd() *cobra.Command {
	var o updateFlags
	var check, background bool
	c := &cobra.Command{
		Use:   "update REPO",
		Short: "Carry the state of a repository to its newest commit",
		Long: `Carry the state of a repository along first parents to its newest commit, from
the nearest commit whose state is kept; that costs what has changed since. If there
is none, a state is begun from nothing. After a forced push or a rebase, it goes
on from the newest commit with a state that is still part of the history.

Ctrl-C ends it between two commits; what was reached is kept.`,
		Example: "  code2lora update . -o .code2lora/adapter\n  code2lora update ../flask --at main --from root",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if background {
				release, ok, err := turn(c.Context(), args[0])
				if err != nil || !ok {
					return err
				}
				defer release()
			}
			f, err := a.openFollowed(c.Context(), args[0], o.followFlags)
			if err != nil {
				return err
			}
			j, err := a.update(c.Context(), f, o, c.Flags().Changed("keep"))
			if err != nil {
				return err
			}
			if check {
				if err := a.check(c.Context(), f, j); err != nil {
					return err
				}
			}
			return a.print(j, func(w io.Writer) { printUpdate(w, f.Repo.Name(), j) })
		},
	}
	o.add(c)
	f := c.Flags()
	f.BoolVar(&o.fresh, "fresh", false, "begin anew at the commit, whatever is kept")
	f.BoolVar(&check, "check", false, "compare with a state made from scratch, without cached vectors: cost and distance")
	f.BoolVar(&background, "background", false, "for hooks: if an update of the repository is waiting already, leave it to that one")
	return c
}

// update updates, collects, and writes the adapter.
func (a *app) update(ctx context.Context, f *followed, o updateFlags, collect bool) (*updateJSON, error) {
	job := f.Job
	job.From, job.Fresh, job.Every, job.Anchor = o.from, o.fresh, o.every, follow.Policy{Churn: o.anchorAt}
	j := &updateJSON{Mode: f.mode, Commits: []commitJSON{}}
	bar := a.bar()
	res, err := follow.Update(ctx, job, func(p follow.Applied) {
		j.Commits = append(j.Commits, commitJSON{Commit: p.Commit.ID, Subject: p.Commit.Subject, Steps: p.Steps, Covers: p.Covers, Begun: p.Begun,
			Reanchored: p.Reanchored, Churn: p.Churn, Norm: finite(p.Norm), Seconds: p.Seconds})
		if p.Left > 0 {
			bar.show("%.12s applied, %d commits to go", p.Commit.ID, p.Left)
		}
	})
	bar.done()
	if res != nil {
		a.noteAll(res.Notes)
	}
	if err != nil {
		if res != nil && res.Applied > 0 {
			a.note("note: %d commits were applied, to %.12s; the next update goes on from there", res.Applied, res.Commit)
		}
		return nil, err
	}
	j.Repository, j.Commit, j.From, j.Anchor, j.Steps, j.Applied = res.Repository, res.Commit, res.From, res.Anchor, res.Steps, res.Applied
	j.OneStep, j.Reanchored, j.Exact, j.Churn, j.Norm, j.Seconds = res.OneStep, res.Reanchored, res.Exact, res.Churn, finite(res.Norm), res.Seconds
	j.AnchorSeconds, j.Notes = res.AnchorSeconds, res.Notes
	if j.Applied > 0 {
		j.SecondsPerCommit = finite(j.Seconds / float64(j.Applied))
	}
	if o.out != "" {
		ad, newer, err := f.write(ctx, o.out, res)
		if err != nil {
			return nil, err
		}
		if newer != "" {
			a.addNote(j, "%s has the adapter of %.12s, which is newer than %.12s, and was left as it is", o.out, newer, res.Commit)
		} else {
			d := describeAdapter(ad, o.out, sizeOf(o.out))
			j.Adapter = &d
		}
	}
	if err := a.collect(ctx, job, o, res.Repository, collect, j); err != nil {
		a.addNote(j, "old states were not collected, which the next update tries again: %v", err)
	}
	return j, nil
}

// addNote tells the user, and the JSON.
func (a *app) addNote(j *updateJSON, format string, args ...any) {
	n := fmt.Sprintf(format, args...)
	j.Notes = append(slices.Clip(j.Notes), n)
	a.noteAll([]string{n})
}

// collectEvery is how often an update collects states if nobody asks for it: to
// look at all of them takes longer than a small update.
const collectEvery = 24 * time.Hour

// collect collects states of all clones if asked, else those of this one now
// and then.
func (a *app) collect(ctx context.Context, job follow.Job, o updateFlags, repository string, asked bool, j *updateJSON) error {
	where := o.store
	if where == "" {
		where = state.Default()
	}
	if !o.shared() {
		var err error
		if where, err = filepath.Abs(where); err != nil {
			return err
		}
	}
	stamp := rootFile("collected", where+"\x00"+job.Repo.Path(), "")
	info, err := os.Stat(stamp)
	recent := err == nil && time.Since(info.ModTime()) < collectEvery
	if !asked && (o.shared() || recent) {
		return nil
	}
	if j.Collected, _, err = follow.Collect(ctx, job, repository, o.keep, asked); err != nil {
		return err
	}
	return store.WriteFile(stamp, func(io.Writer) error { return nil })
}

// check adds the comparison with a state from scratch.
func (a *app) check(ctx context.Context, f *followed, j *updateJSON) error {
	cache, err := vectorCache()
	if err != nil {
		return err
	}
	scratch, err := a.follower(f.flag, f.base, encoder.BaseOnly(cache))
	if err != nil {
		return err
	}
	if j.Check, err = follow.Check(ctx, f.Job, &follow.Result{Repository: j.Repository, Commit: j.Commit}, scratch.Follower); err != nil {
		return err
	}
	j.CheckRatio = finite(j.Seconds / j.Check.Seconds)
	return nil
}

// shownCommits is how many commits the text of an update lists.
const shownCommits = 20

func printUpdate(w io.Writer, name string, j *updateJSON) {
	fmt.Fprintf(w, "repository  %s at %.12s\n", name, j.Commit)
	if j.From != "" {
		fmt.Fprintf(w, "continued   from %.12s\n", j.From)
	} else {
		fmt.Fprintf(w, "begun       at %.12s\n", j.Anchor)
	}
	if n := len(j.Commits) - shownCommits; n > 0 {
		fmt.Fprintf(w, "            (%d commits before)\n", n)
	}
	for _, c := range j.Commits[max(0, len(j.Commits)-shownCommits):] {
		what := ""
		if c.Reanchored {
			what = "new anchor: "
		}
		if !j.Exact {
			what = fmt.Sprintf("churn %.3f  %s", c.Churn, what)
		}
		fmt.Fprintf(w, "  %.12s  %8.3f s  %s%.60s\n", c.Commit, c.Seconds, what, c.Subject)
	}
	fmt.Fprintf(w, "applied     %s in %.3f s", j.appliedText(), j.Seconds)
	if j.Reanchored > 0 {
		fmt.Fprintf(w, ", %d of them begun anew", j.Reanchored)
	}
	if j.AnchorSeconds > 0 {
		fmt.Fprintf(w, ", %.3f s from nothing", j.AnchorSeconds)
	}
	fmt.Fprintf(w, "\nstate       %d commits since its anchor %.12s\ndrift       %s\n", j.Steps, j.Anchor, driftText(j.Exact, j.Churn))
	if c := j.Check; c != nil {
		ratio := ""
		if j.CheckRatio != nil {
			ratio = fmt.Sprintf("the update took %.4f of it; ", *j.CheckRatio)
		}
		fmt.Fprintf(w, "check       from scratch in %.3f s; %sdistance %.6f, equal: %t\n", c.Seconds, ratio, c.Distance, c.Equal)
	}
	if j.Collected > 0 {
		fmt.Fprintf(w, "collected   %d states of commits that no ref leads to\n", j.Collected)
	}
	if j.Norm != nil {
		fmt.Fprintf(w, "norm        %.4f\n", *j.Norm)
	} else {
		fmt.Fprintln(w, "norm        none: there is no source that the checkpoint reads yet")
	}
	if j.Adapter != nil {
		j.Adapter.print(w)
	}
}

// appliedText says how many commits were applied, and how.
func (j *updateJSON) appliedText() string {
	switch {
	case j.OneStep < 2:
		return fmt.Sprintf("%d commits", j.Applied)
	case j.OneStep == j.Applied:
		return fmt.Sprintf("%d commits in one step", j.Applied)
	}
	return fmt.Sprintf("%d commits, %d of them in one step,", j.Applied, j.OneStep)
}

// hookFile returns a file of ours about the hooks of a repository.
func hookFile(repo, ending string) (string, error) {
	path, err := filepath.Abs(repo)
	if err != nil {
		return "", err
	}
	return rootFile("hooks", realPath(path), ending), nil
}

// rootFile returns a file in a folder of the program's folder about a path.
func rootFile(dir, path, ending string) string {
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(store.Root(), dir, filepath.Base(path)+"-"+hex.EncodeToString(sum[:6])+ending)
}

// turn waits until no other update in the background is at work on a
// repository. If one is waiting already, ok is false: that one has yet to look at
// the refs, and will see what this one would.
func turn(ctx context.Context, repo string) (release func(), ok bool, err error) {
	waiting, err := hookFile(repo, ".waiting")
	if err != nil {
		return nil, false, err
	}
	free, ok, err := store.TryLock(waiting)
	if err != nil || !ok {
		return nil, false, err
	}
	defer free()
	working, err := hookFile(repo, ".working")
	if err != nil {
		return nil, false, err
	}
	release, err = store.Lock(ctx, working)
	return release, err == nil, err
}
