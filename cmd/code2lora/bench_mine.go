package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/mine"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// mineFlags are the flags of bench mine.
type mineFlags struct {
	dir, work, profile, mirrors, since, cutoff           string
	tracks, kinds, languages                             []string
	jobs, perFunction, perFile, perRepository, perCommit int
	maxPrefix, maxSuffix, minTasks                       int
	near, shared                                         float64
	network, strictExit                                  bool
}

// errSomeFailed is returned with --strict-exit.
var errSomeFailed = errors.New("repositories could not be mined")

func (a *app) benchMineCmd() *cobra.Command {
	var o mineFlags
	c := &cobra.Command{
		Use:   "mine LIST|REPO...",
		Short: "Mine the benchmark from repositories",
		Long: `Mine the tasks of RepoPeftBench from the histories of repositories, and write
tasks.parquet, commits.parquet and manifest.json to the folder --out.

LIST is a file with a repository a line: owner/name and, behind tabs, its split
and the commit to mine. The names are looked for among the clones of --mirrors;
with --network others are cloned. REPO is a path or a URL.

A repository that can't be read is left out, and the manifest says why; the exit
code is 3 if all are, and 1 with --strict-exit if any is. What has been mined is kept
in the folder --work: a run that was interrupted goes on where it was, and a
repository with new commits costs these.

docs/benchmark.md has the rules of both profiles.`,
		Example: "  code2lora bench mine repositories.tsv --mirrors ../mirrors --out bench --track static,evolution --kind assertion,call,line",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			opt, err := o.options(c)
			if err != nil {
				return fmt.Errorf("%w: bench mine: %w", errUsage, err)
			}
			sources, err := mineSources(args)
			if err != nil {
				return err
			}
			return a.mine(c, sources, opt, o.strictExit)
		},
	}
	f := c.Flags()
	f.StringVarP(&o.dir, "out", "o", "", "write the benchmark to `DIR`")
	f.StringVar(&o.work, "work", "", "keep shards in `DIR` (default: work in the folder of --out)")
	f.StringVar(&o.profile, "profile", string(mine.Strict), "`RULES` to mine by: strict or paper")
	f.StringSliceVar(&o.tracks, "track", []string{string(repopeft.Static)}, "`TRACKS` to mine: static, evolution, ood")
	f.StringSliceVar(&o.kinds, "kind", []string{string(repopeft.Assertion)}, "`KINDS` of tasks: assertion, call, line")
	f.StringSliceVar(&o.languages, "language", []string{"python"}, "`LANGUAGES`: "+strings.Join(mine.Languages, ", "))
	f.StringVar(&o.mirrors, "mirrors", "", "`DIR` with local clones of the repositories")
	f.BoolVar(&o.network, "network", false, "clone repositories that are not there")
	f.StringVar(&o.since, "since", "", "leave out the evolution tasks of commits before `DATE` (YYYY-MM-DD)")
	f.StringVar(&o.cutoff, "cutoff", "", "repositories that began on `DATE` or later are OOD; others have no evolution tasks from then on")
	f.IntVar(&o.jobs, "jobs", runtime.NumCPU(), "mine `N` repositories at the same time")
	f.BoolVar(&o.strictExit, "strict-exit", false, "fail if any repository could not be mined")
	f.IntVar(&o.perFunction, "per-function", 0, "at most `N` tasks of a kind in a function (default: the profile's, 5)")
	f.IntVar(&o.perFile, "per-file", 0, "at most `N` in a file (20)")
	f.IntVar(&o.perRepository, "per-repository", 0, "at most `N` in a repository of the static track (200)")
	f.IntVar(&o.perCommit, "per-commit", 0, "at most `N` in a commit, of the profile strict (8)")
	f.IntVar(&o.maxPrefix, "max-prefix", 0, "keep `N` bytes before a target, of the profile strict (32768)")
	f.IntVar(&o.maxSuffix, "max-suffix", 0, "keep `N` bytes behind a target, of the profile strict (8192)")
	f.IntVar(&o.minTasks, "min-tasks", 0, "leave repositories with fewer than `N` static tasks out of that track (strict 0, paper 30)")
	f.Float64Var(&o.near, "near", 0, "`SIMILARITY` from which on tasks of different splits are duplicates (strict 0.8, paper 0, which is none)")
	f.Float64Var(&o.shared, "shared", 0, "`PART` of its files from which on a repository is a copy (strict 0.5, paper 0, which is none)")
	return c
}

// options returns the options of the profile, changed by the flags.
func (m *mineFlags) options(c *cobra.Command) (mine.Options, error) {
	o := mine.Defaults(mine.Profile(m.profile))
	o.Dir, o.Work, o.Mirrors, o.Jobs, o.Tool = m.dir, m.work, m.mirrors, m.jobs, tool()
	o.Network = m.network && networkAllowed()
	o.Tracks, o.Kinds, o.Languages = words[repopeft.Track](m.tracks), words[repopeft.Kind](m.kinds), m.languages
	for _, f := range []struct {
		name string
		to   *int
		n    int
	}{
		{"per-function", &o.PerFunction, m.perFunction}, {"per-file", &o.PerFile, m.perFile},
		{"per-repository", &o.PerRepository, m.perRepository}, {"per-commit", &o.PerCommit, m.perCommit},
		{"max-prefix", &o.MaxPrefixBytes, m.maxPrefix}, {"max-suffix", &o.MaxSuffixBytes, m.maxSuffix}, {"min-tasks", &o.MinTasks, m.minTasks},
	} {
		if c.Flags().Changed(f.name) {
			*f.to = f.n
		}
	}
	if c.Flags().Changed("near") {
		o.Near = m.near
	}
	if c.Flags().Changed("shared") {
		o.Shared = m.shared
	}
	for _, d := range []struct {
		name, value string
		to          *time.Time
	}{{"since", m.since, &o.Since}, {"cutoff", m.cutoff, &o.Cutoff}} {
		if d.value == "" {
			continue
		}
		t, err := time.Parse(time.DateOnly, d.value)
		if err != nil {
			return o, fmt.Errorf("--%s %q: want a date as 2025-04-01", d.name, d.value)
		}
		*d.to = t
	}
	if o.Dir == "" {
		return o, errors.New("give the folder for the benchmark with --out DIR")
	}
	return o, o.Validate()
}

func words[T ~string](from []string) []T {
	var to []T
	for _, s := range from {
		to = append(to, T(strings.TrimSpace(s)))
	}
	return to
}

// mineSources reads the arguments: a file is a list, everything else a
// repository.
func mineSources(args []string) ([]mine.Source, error) {
	var all []mine.Source
	for _, arg := range args {
		if info, err := os.Stat(arg); err == nil && info.Mode().IsRegular() {
			list, err := mine.ReadList(arg)
			if err != nil {
				return nil, unusable(err)
			}
			all = append(all, list...)
			continue
		}
		all = append(all, mine.Source{Spec: arg})
	}
	return all, nil
}

func (a *app) mine(c *cobra.Command, sources []mine.Source, opt mine.Options, strictExit bool) error {
	bar := a.bar()
	began := time.Now()
	failed := 0
	m, err := mine.Run(c.Context(), sources, opt, func(p mine.Progress) {
		if p.Err != nil {
			failed++
			bar.done()
			a.note("%s is left out: %v", p.Name, p.Err)
		}
		bar.show("%d of %d repositories mined, %s, %s", p.Done, p.Total, p.Name, time.Since(began).Round(time.Second))
	})
	bar.done()
	if errors.Is(err, mine.ErrNothing) {
		return unusable(err)
	}
	if err != nil {
		return err
	}
	if failed > 0 && strictExit {
		return fmt.Errorf("%d of %d %w; the benchmark is in %s", failed, len(sources), errSomeFailed, opt.Dir)
	}
	result := newMineResult(m, opt, failed)
	return a.print(result, func(w io.Writer) { result.print(w) })
}

// mineResult is what bench mine prints with --json.
type mineResult struct {
	Benchmark    string                                                     `json:"benchmark"`
	Profile      string                                                     `json:"profile"`
	Repositories map[dataset.Split]int                                      `json:"repositories"`
	Excluded     int                                                        `json:"excluded"` // forks, copies and those that failed
	Failed       int                                                        `json:"failed"`
	Tasks        int                                                        `json:"tasks"`
	Commits      int                                                        `json:"commits"`
	Counts       map[repopeft.Track]map[dataset.Split]map[repopeft.Kind]int `json:"counts"`
	Dropped      map[repopeft.Track]map[string]int                          `json:"dropped"`
	Skipped      map[string]int                                             `json:"skipped"`
}

func newMineResult(m *repopeft.Manifest, o mine.Options, failed int) *mineResult {
	r := &mineResult{Benchmark: o.Dir, Profile: m.Profile, Excluded: len(m.Excluded), Failed: failed, Tasks: m.Tasks, Commits: m.Commits,
		Repositories: map[dataset.Split]int{}, Counts: map[repopeft.Track]map[dataset.Split]map[repopeft.Kind]int{},
		Dropped: map[repopeft.Track]map[string]int{}, Skipped: map[string]int{}}
	for _, repo := range m.Repositories {
		r.Repositories[repo.Split]++
		for why, n := range repo.Skipped {
			r.Skipped[why] += n
		}
		for track, c := range repo.Tracks {
			if r.Counts[track] == nil {
				r.Counts[track], r.Dropped[track] = map[dataset.Split]map[repopeft.Kind]int{}, map[string]int{}
			}
			if r.Counts[track][repo.Split] == nil {
				r.Counts[track][repo.Split] = map[repopeft.Kind]int{}
			}
			for kind, n := range c.Kinds {
				r.Counts[track][repo.Split][kind] += n
			}
			for why, n := range c.Dropped {
				r.Dropped[track][why] += n
			}
		}
	}
	return r
}

func (r *mineResult) print(w io.Writer) {
	fmt.Fprintf(w, "benchmark     %s (%s): %d tasks, %d commits\n", r.Benchmark, r.Profile, r.Tasks, r.Commits)
	fmt.Fprintf(w, "repositories  %d train, %d validation, %d test; %d left out\n",
		r.Repositories[dataset.Train], r.Repositories[dataset.Validation], r.Repositories[dataset.Test], r.Excluded)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "TRACK\tKIND\tTRAIN\tVALIDATION\tTEST\t")
	for _, track := range slices.Sorted(maps.Keys(r.Counts)) {
		for _, kind := range []repopeft.Kind{repopeft.Assertion, repopeft.Call, repopeft.Line} {
			n := r.Counts[track]
			if sum := n[dataset.Train][kind] + n[dataset.Validation][kind] + n[dataset.Test][kind]; sum > 0 {
				fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t\n", track, kind, n[dataset.Train][kind], n[dataset.Validation][kind], n[dataset.Test][kind])
			}
		}
	}
	t.Flush()
	for _, track := range slices.Sorted(maps.Keys(r.Dropped)) {
		for _, why := range slices.Sorted(maps.Keys(r.Dropped[track])) {
			fmt.Fprintf(w, "dropped       %s: %d %s\n", track, r.Dropped[track][why], why)
		}
	}
}
