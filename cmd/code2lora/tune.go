package main

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/train"
	"github.com/code2lora/code2lora/internal/tune"
)

func (a *app) tuneCmd() *cobra.Command {
	var o struct {
		config    string
		ownOfTest bool
	}
	c := &cobra.Command{
		Use:   "tune -c FILE",
		Short: "Fit adapters by gradient, without a hypernetwork",
		Long: `Fit LoRA adapters, or all weights of some layers, to the tasks of mined datasets:
one shared adapter for all training repositories, or one for each of them. With a
grid, every combination of options is tried, and the best is chosen by validation
tasks alone. Results are in the folder beside the configuration that has its name.
What was interrupted continues where it was saved last.

Repositories of the test split are left out. With --own-tasks-of-test, adapters
are fitted to them instead, each to its own in-repository training tasks, which is
what a user could do; they are kept apart, and nothing is chosen by them.`,
		Example: "  code2lora tune -c runs/single-lora.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.config == "" {
				return fmt.Errorf("%w: tune: give the configuration with -c FILE", errUsage)
			}
			cfg, err := tune.ReadConfig(o.config)
			if err != nil {
				return unusable(err)
			}
			corpus, err := cfg.Corpus(o.ownOfTest)
			if err != nil {
				return unusable(err)
			}
			// Set before the base is loaded, so that it is packed for this
			// precision alone.
			p, err := kernel.ParsePrecision(cfg.Fit.Precision)
			if err != nil {
				return unusable(err)
			}
			if err := kernel.SetPrecision(p); err != nil {
				return unusable(fmt.Errorf("configuration %s: fit.precision: %w", o.config, err))
			}
			defer kernel.SetPrecision(kernel.Float32)
			b, err := a.loadBase(c.Context(), cfg.Base)
			if err != nil {
				return err
			}
			bar := a.bar()
			began := time.Now()
			job := &tune.Job{Config: cfg, Corpus: corpus, OwnOfTest: o.ownOfTest, Deps: tune.Deps{
				Base: b.id(), Backend: b.compute(), Model: b.model, Tokenizer: b.tokenizer, Tool: tool(),
				Report:   func(format string, args ...any) { bar.done(); a.note(format, args...) },
				Progress: func(name string, p tune.Progress) { a.showFit(bar, name, p, began) },
			}}
			out, err := job.Do(c.Context())
			bar.done()
			if err != nil {
				return err
			}
			return a.print(out, func(w io.Writer) { printTuned(w, out) })
		},
	}
	c.Flags().StringVarP(&o.config, "config", "c", "", "configuration `FILE`")
	c.Flags().BoolVar(&o.ownOfTest, "own-tasks-of-test", false, "fit test repositories instead, each to its own training tasks")
	return c
}

// showFit shows the live line of a fit; validations get a line of their own.
func (a *app) showFit(b *bar, name string, p tune.Progress, began time.Time) {
	if v := p.Validation; v != nil {
		b.done()
		best := ""
		if p.Best {
			best = ", the best so far"
		}
		a.note("%s: step %d validation (%d tasks%s): cross-entropy %.4f, exact match %.3f", name, p.Step, v.Tasks, best, v.CrossEntropy, v.ExactMatch)
		return
	}
	b.show("%s: step %d of %d, epoch %d: loss %.4f, gradient norm %.3f, learning rate %.2g, %d draws, %.0f tokens/s, %s", name, p.Step, p.Steps,
		p.Epoch+1, p.Loss, p.GradNorm, p.LearningRate, p.Draws, p.PerSecond, time.Since(began).Round(time.Second))
}

func printTuned(w io.Writer, out *tune.Outcome) {
	if g := out.Grid; g != nil {
		for i, p := range g.Points {
			mark := ""
			if i == g.Best {
				mark = "  (best)"
			}
			if p.Error != "" {
				mark = "  failed: " + p.Error
			}
			fmt.Fprintf(w, "%-40s  cross-entropy %.4f, exact match %.4f%s\n", p.Name, p.Validation.CrossEntropy, p.Validation.ExactMatch, mark)
		}
	}
	if r := out.Shared; r != nil {
		fmt.Fprintf(w, "adapter        %s\n", tune.AdapterDir(out.Dir))
		printTotal(w, "base", r.BaseValidation)
		printTotal(w, fmt.Sprintf("step %d of %d", r.BestStep, r.Steps), r.Validation)
		fmt.Fprintf(w, "training       %d tasks of %d repositories, %d draws, %s\n", r.Tasks, r.Repositories, r.Draws, seconds(r.Seconds))
	}
	if r := out.Repositories; r != nil {
		fmt.Fprintf(w, "adapters       %s\nrepositories   %d fitted, %d failed, %d without training tasks, %s\n",
			filepath.Join(out.Dir, "OWNER+NAME", "adapter"), r.Fitted, r.Failed, r.WithoutTasks, seconds(r.Seconds))
	}
}

func printTotal(w io.Writer, what string, t *train.Total) {
	if t != nil {
		fmt.Fprintf(w, "%-14s cross-entropy %.4f, exact match %.4f\n", what, t.CrossEntropy, t.ExactMatch)
	}
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Second)
}
