package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/curves"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/follow"
	"github.com/code2lora/code2lora/internal/method"
	"github.com/code2lora/code2lora/internal/mine"
	"github.com/code2lora/code2lora/internal/stats"
	"github.com/code2lora/code2lora/internal/store"
)

// driftFlags are the flags of drift.
type driftFlags struct {
	followFlags
	samples, tasks, prefixTokens int
	out                          string
}

// driftJSON is the result of drift.
type driftJSON struct {
	Drift  []follow.Drift    `json:"drift"`
	Loss   *follow.LossDrift `json:"loss,omitempty"`
	Output string            `json:"output"`
	Notes  []string          `json:"notes,omitempty"`
}

func (a *app) driftCmd() *cobra.Command {
	var o driftFlags
	c := &cobra.Command{
		Use:   "drift REPO",
		Short: "Measure how far kept states are from fresh ones",
		Long: `Compare the adapters of kept states with those of states that are begun at the
same commits: the distance ‖ΔW − ΔW'‖ / ‖ΔW'‖. It reads all of the repository at each
commit, so a few of them are taken, evenly spread.

With --tasks the loss is compared too, on assertions of the repository's tests at
each commit. No state has read a test, so these are held out: a checkpoint that
reads tests is refused.`,
		Example: "  code2lora update . --from root\n  code2lora drift . --samples 20 --tasks 50 -o drift",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.tasks < 0 {
				return fmt.Errorf("%w: drift: --tasks %d: want 0, for no losses, or more", errUsage, o.tasks)
			}
			f, err := a.openFollowed(c.Context(), args[0], o.followFlags)
			if err != nil {
				return err
			}
			if o.tasks > 0 {
				if f.Losses, err = f.heldOut(o.tasks, o.prefixTokens, a.bar().show); err != nil {
					return err
				}
			}
			j, err := a.drift(c.Context(), f, o)
			if err != nil {
				return err
			}
			return a.print(j, func(w io.Writer) { printDrift(w, j, o.tasks > 0) })
		},
	}
	f := c.Flags()
	f.IntVar(&o.samples, "samples", 10, "measure at `N` commits")
	f.IntVar(&o.tasks, "tasks", 0, "also measure losses, on at most `N` assertions of the tests at each commit")
	f.IntVar(&o.prefixTokens, "prefix-tokens", 512, "for --tasks: keep at most `N` tokens of what is before an assertion's answer")
	f.StringVarP(&o.out, "output", "o", "", "write drift.jsonl and drift.svg to `DIR`")
	o.add(c)
	return c
}

// drift measures, and writes what it has got, also if that ends with an error.
func (a *app) drift(ctx context.Context, f *followed, o driftFlags) (*driftJSON, error) {
	bar := a.bar()
	done := 0
	list, err := follow.Measure(ctx, f.Job, o.samples, func(d follow.Drift) {
		done++
		bar.show("%d of at most %d commits, the last at distance %.4f", done, o.samples, d.Distance)
	})
	bar.done()
	if o.out != "" && len(list) > 0 {
		err = errors.Join(err, writeDrift(o.out, list))
	}
	if err != nil {
		return nil, err
	}
	j := &driftJSON{Drift: list, Loss: follow.SummarizeLosses(list), Output: o.out}
	for _, d := range list {
		if o.tasks > 0 && d.Loss == nil {
			j.Notes = append(j.Notes, fmt.Sprintf("%.12s has no assertion in a Python test that makes a task, and so no losses", d.Commit))
		}
	}
	a.noteAll(j.Notes)
	return j, nil
}

// heldOut returns what scores adapters on at most n assertions of the tests at a
// commit, as [follow.Job] wants it. They are those of "bench mine", spread over as
// many files as there are, and laid out as for "bench run". show is told what is
// being done.
func (f *followed) heldOut(n, prefixTokens int, show func(format string, args ...any)) (func(context.Context, string, []*adapter.Adapter) ([][]float64, error), error) {
	if r, ok := f.Follower.(evolve.Represented); !ok || r.ReadsTests() {
		return nil, unusable(errors.New("--tasks: the states of this checkpoint read test files, so that the assertions in them are not held out; use one whose encoder has tests: false"))
	}
	rules := mine.Defaults(mine.Strict).Rules
	rules.PerFile, rules.PerRepository = 1, n // more of a file if there are fewer files
	r := &method.Runner{Engine: f.base.engine(), Base: f.base.compute(), Layout: method.Layout{PrefixTokens: prefixTokens}}
	if err := r.Layout.Validate(f.base.model.MaxContext(), rules.MaxTargetBytes); err != nil {
		return nil, fmt.Errorf("%w: drift: --prefix-tokens: %w", errUsage, err)
	}
	return func(ctx context.Context, commit string, adapters []*adapter.Adapter) ([][]float64, error) {
		tasks, err := rules.Tasks(ctx, f.Repo, commit)
		if err != nil {
			return nil, err
		}
		all := make([][]float64, len(adapters))
		for i, ad := range adapters {
			show("scoring %d tasks at %.12s, %d of %d", len(tasks), commit, i+1, len(adapters))
			if all[i], err = r.TaskLosses(ctx, ad, tasks); err != nil {
				return nil, err
			}
		}
		return all, nil
	}, nil
}

func printDrift(w io.Writer, j *driftJSON, tasks bool) {
	for _, d := range j.Drift {
		fmt.Fprintf(w, "%.12s  %5d steps  churn %.3f  distance %.6f  cosine %.6f",
			d.Commit, d.Steps, d.Churn, d.Distance, d.Cosine)
		if d.Anchored != nil {
			fmt.Fprintf(w, "  (state at the anchor: %.6f)", *d.Anchored)
		}
		fmt.Fprintf(w, "  %.3f s", d.Seconds)
		if tasks {
			fmt.Fprintf(w, "  %4d tasks", d.Tasks)
		}
		if l := d.Loss; l != nil {
			fmt.Fprintf(w, "  loss: base %.4f  evolved %.4f  fresh %.4f  evolved - fresh %+.4f", l.Base, l.Evolved, l.Fresh, l.EvolvedFresh)
			if l.Anchored != nil {
				fmt.Fprintf(w, "  (state at the anchor: %.4f, evolved - anchor %+.4f)", *l.Anchored, *l.EvolvedAnchored)
			}
		}
		fmt.Fprintln(w)
	}
	if j.Loss == nil {
		return
	}
	line := func(what string, iv *stats.Interval) {
		if iv != nil {
			fmt.Fprintf(w, "%-16s  %+.4f [%+.4f, %+.4f] nats per token, over %d commits\n", what, iv.Mean, iv.Low, iv.High, iv.N)
		}
	}
	line("evolved - fresh", j.Loss.EvolvedFresh)
	line("evolved - anchor", j.Loss.EvolvedAnchored)
}

// writeDrift writes the measurements and their drawing.
func writeDrift(dir string, list []follow.Drift) error {
	if err := store.WriteFile(filepath.Join(dir, "drift.jsonl"), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		for _, d := range list {
			if err := enc.Encode(d); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	drawing, err := curves.Drift(list)
	if err != nil {
		return err
	}
	return store.WriteFile(filepath.Join(dir, "drift.svg"), func(w io.Writer) error {
		_, err := drawing.WriteTo(w)
		return err
	})
}
