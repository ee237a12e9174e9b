package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/execute"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/method"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/stats"
	"github.com/code2lora/code2lora/internal/store"
)

func (a *app) benchScoreCmd() *cobra.Command {
	var o benchScoreOptions
	c := &cobra.Command{
		Use:   "score BENCHMARK RUN...",
		Short: "Score the predictions of runs",
		Long: `Score the predictions of runs: exact match in the strict reading, which never sees
the target, and in the paper's, which does; edit similarity; CodeBLEU, and the
token BLEU that the paper's figures are; cross-entropy; the kind of each error.
The scores of each task are written to ` + repopeft.ScoresFile + ` in the folder of its run.

Averages are over tasks, their 95 % intervals from a bootstrap over repositories.
What is printed behind a method is its paired difference from the first one on
the tasks that both answered.

With --execute the tests that tasks are from are run with the answers in place,
in a sandbox: without network, with nothing to write on, and with limits. A test
counts where it passes with the right answer and not with any. Answers that are
not exactly one expression, or are what the test compares them with, are wrong.`,
		Example: "  code2lora bench score tasks results/*\n  code2lora bench score tasks results/* --execute --python /usr/bin/python3 --mirrors ../mirrors",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			b, err := repopeft.Open(args[0])
			if err != nil {
				return unusable(err)
			}
			runs, err := a.grade(c.Context(), b, args[1:])
			if err != nil {
				return err
			}
			if o.execute {
				if err := a.execute(c.Context(), &o, b, runs); err != nil {
					return err
				}
			}
			for _, r := range runs {
				if err := repopeft.WriteScores(filepath.Join(r.dir, repopeft.ScoresFile), slices.Values(r.scores)); err != nil {
					return err
				}
			}
			results := summarize(runs)
			return a.print(map[string]any{"runs": results}, func(w io.Writer) { printScores(w, results) })
		},
	}
	f := c.Flags()
	f.BoolVar(&o.execute, "execute", false, "run the tests with the answers in place")
	f.StringVar(&o.python, "python", "", "`PATH` of a Python with pytest and what the repositories need")
	f.StringVar(&o.mirrors, "mirrors", "", "`DIR` with local clones of the repositories")
	f.IntVar(&o.most, "execute-tasks", 20, "run tests of each repository until `N` have told right from wrong")
	return c
}

type benchScoreOptions struct {
	execute         bool
	python, mirrors string
	most            int
}

// gradedRun is a run with its scores.
type gradedRun struct {
	dir         string
	info        repopeft.RunInfo
	predictions map[string]*repopeft.Prediction
	scores      []*repopeft.Score // by task
}

// grade scores the predictions of runs of one benchmark.
func (a *app) grade(ctx context.Context, b *repopeft.Benchmark, dirs []string) ([]*gradedRun, error) {
	var runs []*gradedRun
	wanted := map[string]bool{}
	for _, dir := range dirs {
		run, err := repopeft.OpenRun(dir)
		if err != nil {
			return nil, unusable(err)
		}
		r := &gradedRun{dir: dir, info: run.Info(), predictions: map[string]*repopeft.Prediction{}}
		finished := run.Finished()
		if err := run.Close(); err != nil {
			return nil, err
		}
		if !finished {
			a.note("note: %s is not finished: what is there is scored", dir)
		}
		if r.info.Benchmark != b.Digest {
			return nil, unusable(fmt.Errorf("%s is of another benchmark", dir))
		}
		for p, err := range repopeft.Predictions(filepath.Join(dir, "predictions.jsonl.gz")) {
			if err != nil {
				return nil, unusable(err)
			}
			r.predictions[p.Task], wanted[p.Task] = p, true
		}
		runs = append(runs, r)
	}
	for t, err := range b.Tasks(repopeft.Filter{}) {
		if err != nil {
			return nil, unusable(err)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !wanted[t.ID] {
			continue
		}
		for _, r := range runs {
			p, ok := r.predictions[t.ID]
			if !ok {
				continue
			}
			s, err := method.Grade(t, p)
			if err != nil {
				return nil, err
			}
			r.scores = append(r.scores, s)
		}
	}
	resolved := resolvedTasks(runs)
	for _, r := range runs {
		if len(r.scores) != len(r.predictions) {
			return nil, unusable(fmt.Errorf("%s answers %d tasks that the benchmark doesn't have", r.dir, len(r.predictions)-len(r.scores)))
		}
		slices.SortFunc(r.scores, func(a, b *repopeft.Score) int { return strings.Compare(a.Task, b.Task) })
		for _, s := range r.scores {
			s.Resolved = resolved[s.Task]
		}
	}
	return runs, nil
}

// resolvedTasks are those for which a run of dependency-resolved context, that
// doesn't read past the cut, found something.
func resolvedTasks(runs []*gradedRun) map[string]bool {
	found := map[string]bool{}
	for _, r := range runs {
		if r.info.Method != "dependencies" && !strings.HasPrefix(r.info.Method, "dependencies:") {
			continue
		}
		for id, p := range r.predictions {
			found[id] = found[id] || p.ContextTokens > 0
		}
	}
	return found
}

// execute runs tests with the answers of all runs in place.
func (a *app) execute(ctx context.Context, o *benchScoreOptions, b *repopeft.Benchmark, runs []*gradedRun) error {
	py := &execute.Python{Interpreter: o.python, Limits: execute.DefaultLimits()}
	if err := py.Ready(ctx); err != nil {
		return fmt.Errorf("bench score: --execute: %w", err)
	}
	scores, answers, err := a.executable(runs)
	if err != nil {
		return err
	}
	byRepository := map[string][]*repopeft.Task{}
	for t, err := range b.Tasks(repopeft.Filter{Kinds: []repopeft.Kind{repopeft.Assertion}, Languages: []string{"python"}}) {
		if err != nil {
			return unusable(err)
		}
		if len(scores[t.ID]) > 0 && t.Commit != "" { // imported ones don't always say it
			byRepository[t.Repository] = append(byRepository[t.Repository], t)
		}
	}
	bar := a.bar()
	defer bar.done()
	counts := map[execute.Verdict]int{}
	done := 0
	for _, name := range slices.Sorted(maps.Keys(byRepository)) {
		tasks := byRepository[name]
		repo, err := gitrepo.Open(ctx, gitrepo.Locate(o.mirrors, name), gitrepo.Options{Name: name, CacheDir: store.Clones()})
		if err != nil {
			return err
		}
		err = executeRepository(ctx, py, repo, tasks, o.most, func(t *repopeft.Task, test *execute.Test) (decided bool, err error) {
			verdicts, err := test.Check(ctx, answers[t.ID])
			if err != nil {
				return false, err
			}
			for i, v := range verdicts {
				counts[v]++
				if v == execute.Passed || v == execute.Failed || v == execute.Refused {
					passed := v == execute.Passed
					scores[t.ID][i].Passed, decided = &passed, true
				}
			}
			if decided {
				done++
			}
			bar.show("%d tests decided: answers %v", done, counts)
			return decided, nil
		})
		repo.Close()
		if errors.Is(err, gitrepo.ErrMissingObject) {
			a.note("note: the tests of %s are not run: %v", name, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	a.note("answers by what their tests said: %v", counts)
	return nil
}

// executable returns the answers of runs by task, and the scores that their tests
// complete. A run of which some answers are cut takes no part: those are the wrong
// ones, so that of the others nearly all pass.
func (a *app) executable(runs []*gradedRun) (scores map[string][]*repopeft.Score, answers map[string][]string, err error) {
	scores, answers = map[string][]*repopeft.Score{}, map[string][]string{}
	for _, r := range runs {
		cut := 0
		for _, p := range r.predictions {
			if p.Partial {
				cut++
			}
		}
		if cut > 0 {
			a.note("note: the tests of %s are not run: %d of its %d answers end where they were known to be wrong; bench run --texts has them whole", r.dir, cut, len(r.predictions))
			continue
		}
		for _, s := range r.scores {
			scores[s.Task], answers[s.Task] = append(scores[s.Task], s), append(answers[s.Task], r.predictions[s.Task].Text)
		}
	}
	if len(scores) == 0 {
		return nil, nil, unusable(errors.New("bench score: --execute: no run has whole answers: run the methods with --texts, in another folder"))
	}
	return scores, answers, nil
}

// triesPerTest bounds the tests of a repository that are run for each that is
// wanted: of one whose tests all need what isn't there, no more are tried.
const triesPerTest = 5

// executeRepository makes the files of each commit that tasks are of, and the
// tests of these tasks, until f has decided most of them. What is no test, and
// what f doesn't decide, isn't counted.
func executeRepository(ctx context.Context, py *execute.Python, repo *gitrepo.Repo, tasks []*repopeft.Task, most int,
	f func(*repopeft.Task, *execute.Test) (decided bool, err error)) error {
	decided, tried := 0, 0
	slices.SortStableFunc(tasks, func(a, b *repopeft.Task) int { return strings.Compare(a.Commit, b.Commit) })
	more := func() bool { return decided < most && tried < triesPerTest*most }
	for len(tasks) > 0 && more() {
		n := 1
		for n < len(tasks) && tasks[n].Commit == tasks[0].Commit {
			n++
		}
		dir, err := os.MkdirTemp("", "code2lora-tests")
		if err != nil {
			return err
		}
		err = repo.Export(ctx, tasks[0].Commit, dir)
		for _, t := range tasks[:n] {
			if err != nil || !more() {
				break
			}
			test, testErr := py.Test(dir, t)
			if testErr != nil {
				continue // a helper's assertion, for one
			}
			var yes bool
			if yes, err = f(t, test); yes {
				decided++
			}
			tried++
		}
		if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
			return err
		}
		tasks = tasks[n:]
	}
	return nil
}

// scoreSummary is what bench score prints of a run.
type scoreSummary struct {
	Dir        string         `json:"dir"`
	Method     string         `json:"method"`
	Level      string         `json:"level"`
	Exact      stats.Interval `json:"exact"`
	ExactPaper stats.Interval `json:"exact_paper"`
	// Similarities are nil where wrong answers are cut: they would be of
	// beginnings.
	EditSimilarity *stats.Interval `json:"edit_similarity,omitempty"`
	CodeBLEU       *stats.Interval `json:"code_bleu,omitempty"`
	TokenBLEU      *stats.Interval `json:"token_bleu,omitempty"`
	CrossEntropy   stats.Interval  `json:"cross_entropy"` // nats per target token, averaged over tasks
	ContextTokens  stats.Interval  `json:"context_tokens"`
	Passed         *stats.Interval `json:"passed,omitempty"` // of those run
	// MinusFirst is the difference in strict exact match from the first run, on
	// the tasks that both have.
	MinusFirst *stats.Interval `json:"minus_first,omitempty"`
	// ByDistance has strict exact match by commits with tasks since the anchor;
	// nil where all tasks are at one distance, as in the static track.
	ByDistance []distanceSummary `json:"by_distance,omitempty"`
}

func summarize(runs []*gradedRun) []scoreSummary {
	var out []scoreSummary
	for i, r := range runs {
		mean := func(f func(*repopeft.Score) float64) stats.Interval {
			values := make([]stats.Value, len(r.scores))
			for k, s := range r.scores {
				values[k] = stats.Value{Cluster: s.Repository, X: f(s)}
			}
			return stats.Mean(values, stats.Options{})
		}
		s := scoreSummary{
			Dir: r.dir, Method: r.info.Method, Level: r.info.Level,
			Exact:         mean(func(s *repopeft.Score) float64 { return oneIf(s.Exact) }),
			ExactPaper:    mean(func(s *repopeft.Score) float64 { return oneIf(s.ExactPaper) }),
			CrossEntropy:  mean(func(s *repopeft.Score) float64 { return s.NLL / float64(s.Tokens) }),
			ContextTokens: mean(func(s *repopeft.Score) float64 { return float64(s.ContextTokens) }),
		}
		if r.info.Settings["texts"] != false {
			edit := mean(func(s *repopeft.Score) float64 { return s.EditSimilarity })
			code := mean(func(s *repopeft.Score) float64 { return s.CodeBLEU })
			token := mean(func(s *repopeft.Score) float64 { return s.TokenBLEU })
			s.EditSimilarity, s.CodeBLEU, s.TokenBLEU = &edit, &code, &token
		}
		var ran []stats.Value
		for _, x := range r.scores {
			if x.Passed != nil {
				ran = append(ran, stats.Value{Cluster: x.Repository, X: oneIf(*x.Passed)})
			}
		}
		if len(ran) > 0 {
			passed := stats.Mean(ran, stats.Options{})
			s.Passed = &passed
		}
		if i > 0 {
			d := stats.Difference(exactPairs(r, runs[0]), stats.Options{})
			s.MinusFirst = &d
		}
		s.ByDistance = byDistance(r.scores)
		out = append(out, s)
	}
	return out
}

// exactPairs pairs the exact matches of two runs by task.
func exactPairs(a, b *gradedRun) []stats.Pair {
	other := map[string]*repopeft.Score{}
	for _, s := range b.scores {
		other[s.Task] = s
	}
	var pairs []stats.Pair
	for _, s := range a.scores {
		if o := other[s.Task]; o != nil {
			pairs = append(pairs, stats.Pair{Cluster: s.Repository, A: oneIf(s.Exact), B: oneIf(o.Exact)})
		}
	}
	return pairs
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func printScores(w io.Writer, results []scoreSummary) {
	fmt.Fprintf(w, "%-52s %-10s %5s  %-21s %6s %6s %6s %6s %7s %6s  %s\n", "method", "level", "tasks", "exact %", "paper", "edit", "cbleu", "xent", "context", "passed", "exact minus the first's")
	cut := false
	for _, s := range results {
		passed, edit, code, difference := "–", "–", "–", ""
		if s.EditSimilarity == nil {
			cut = true
		} else {
			edit, code = fmt.Sprintf("%.3f", s.EditSimilarity.Mean), fmt.Sprintf("%.3f", s.CodeBLEU.Mean)
		}
		if s.Passed != nil {
			passed = fmt.Sprintf("%.1f", 100*s.Passed.Mean)
		}
		if s.MinusFirst != nil {
			difference = percent(*s.MinusFirst)
		}
		fmt.Fprintf(w, "%-52s %-10s %5d  %-21s %6.1f %6s %6s %6.3f %7.0f %6s  %s\n", s.Method, s.Level, s.Exact.N, percent(s.Exact),
			100*s.ExactPaper.Mean, edit, code, s.CrossEntropy.Mean, s.ContextTokens.Mean, passed, difference)
	}
	if cut {
		fmt.Fprintln(w, "–: the wrong answers of runs without --texts are cut, and have no similarities")
	}
}

func percent(iv stats.Interval) string {
	return fmt.Sprintf("%.1f [%.1f, %.1f]", 100*iv.Mean, 100*iv.Low, 100*iv.High)
}
