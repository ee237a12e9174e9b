package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/curves"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/train"
)

func (a *app) trainCmd() *cobra.Command {
	var o struct {
		config, mirrors string
		network         bool
	}
	c := &cobra.Command{
		Use:   "train -c FILE",
		Short: "Train a hypernetwork checkpoint",
		Long: `Train a hypernetwork on the repositories that a configuration lists, and write
checkpoint.safetensors and metrics.jsonl to the folder beside it that has its
name. A run that was interrupted continues where it was saved last.

Tasks are mined from the repositories, or are the training rows of a benchmark,
with data.benchmark in the configuration. With a recurrence section, a recurrence
over commits is trained together with its head, on the evolution track.

Repositories are read from local clones under --mirrors (owner+name, owner/name
or name), and cloned only with --network. Repositories of the test split are
refused.`,
		Example: "  code2lora train -c runs/smollm2-135m.yaml --mirrors ../mirrors",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.config == "" {
				return fmt.Errorf("%w: train: give the configuration with -c FILE", errUsage)
			}
			cfg, err := readTrainConfig(o.config)
			if err != nil {
				return err
			}
			// Set before the base is loaded, so that it is packed for this
			// precision alone. Where it can't be had, the job says so.
			if p, err := kernel.ParsePrecision(cfg.Train.Precision); err == nil && kernel.SetPrecision(p) == nil {
				defer kernel.SetPrecision(kernel.Float32)
			}
			deps, _, err := a.trainDeps(c, cfg, o.mirrors, o.network)
			if err != nil {
				return err
			}
			job, err := newTrainJob(c.Context(), cfg, *deps)
			if err != nil {
				return err
			}
			repositories, tasks, validation, validationTasks := job.Counts()
			a.note("%d repositories, %d tasks to train on; %d and %d to validate on", repositories, tasks, validation, validationTasks)
			bar := a.bar()
			began := time.Now()
			last := train.Progress{}
			err = job.Do(c.Context(), func(p train.Progress) {
				last = p
				a.showStep(bar, p, began)
			})
			bar.done()
			if err != nil {
				return err
			}
			result := map[string]any{"run": cfg.Dir(), "checkpoint": filepath.Join(cfg.Dir(), train.CheckpointFile),
				"repositories": repositories, "tasks": tasks, "last": last}
			return a.print(result, func(w io.Writer) { fmt.Fprintf(w, "checkpoint  %s\n", result["checkpoint"]) })
		},
	}
	c.Flags().StringVarP(&o.config, "config", "c", "", "training configuration `FILE`")
	c.Flags().StringVar(&o.mirrors, "mirrors", "", "`DIR` with local clones of the repositories")
	c.Flags().BoolVar(&o.network, "network", false, "clone repositories that are not there")
	return c
}

// trainJob is a run of either kind.
type trainJob interface {
	Counts() (train, tasks, validation, validationTasks int)
	Do(ctx context.Context, report func(train.Progress)) error
}

// newTrainJob prepares the run that a configuration describes: of a head for
// snapshots, or of a recurrence over commits with its head.
func newTrainJob(ctx context.Context, cfg *train.Config, d train.Deps) (trainJob, error) {
	if cfg.Recurrence != nil {
		return train.NewRecurrentJob(ctx, cfg, d)
	}
	return train.NewJob(ctx, cfg, d)
}

func readTrainConfig(path string) (*train.Config, error) {
	cfg, err := train.ReadConfig(path)
	if err != nil {
		return nil, unusable(err)
	}
	return cfg, nil
}

// trainDeps loads what a run needs.
func (a *app) trainDeps(c *cobra.Command, cfg *train.Config, mirrors string, network bool) (*train.Deps, *base, error) {
	b, err := a.loadBase(c.Context(), cfg.Base)
	if err != nil {
		return nil, nil, err
	}
	cache, err := vectorCache()
	if err != nil {
		return nil, nil, err
	}
	bar := a.bar()
	return &train.Deps{Base: b.id(), Model: b.model, Tokenizer: b.tokenizer, Cache: cache, Mirrors: mirrors,
		Network: network && networkAllowed(), Tool: tool(), Report: bar.show}, b, nil
}

// showStep shows the live line of a run; validations get a line of their own.
func (a *app) showStep(b *bar, p train.Progress, began time.Time) {
	if v := p.Validation; v != nil {
		b.done()
		best := ""
		if p.Best {
			best = ", the best so far"
		}
		a.note("step %d validation (%d tasks of %d repositories%s): cross-entropy own %.4f, average %.4f, stranger %.4f; exact match own %.3f, average %.3f, stranger %.3f",
			p.Step, v.Tasks, v.Repositories, best, v.Own.CrossEntropy.Mean, v.Average.CrossEntropy.Mean, v.Stranger.CrossEntropy.Mean,
			v.Own.ExactMatch.Mean, v.Average.ExactMatch.Mean, v.Stranger.ExactMatch.Mean)
		return
	}
	b.show("step %d of %d, epoch %d: loss %.4f, gradient norm %.3f, learning rate %.2g, %.0f tokens/s, %s", p.Step, p.Steps, p.Epoch+1,
		p.Loss, p.GradNorm, p.LearningRate, p.PerSecond, time.Since(began).Round(time.Second))
}

func (a *app) plotCmd() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "plot RUN",
		Short: "Draw the learning curves of a run",
		Long: `Draw the curves in RUN/metrics.jsonl: the training loss, and the validation of
own, average and strange adapters. RUN/curves.svg is written unless -o names
another .svg or .png file.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if out == "" {
				out = filepath.Join(args[0], "curves.svg")
			}
			if ext := strings.ToLower(filepath.Ext(out)); ext != ".svg" && ext != ".png" {
				return fmt.Errorf("%w: plot: %s: want a name that ends in .svg or .png", errUsage, out)
			}
			metrics, err := curves.ReadMetrics(filepath.Join(args[0], "metrics.jsonl"))
			if err != nil {
				return unusable(err)
			}
			if err := curves.Draw(out, filepath.Base(filepath.Clean(args[0])), metrics); err != nil {
				return err
			}
			return a.print(map[string]any{"plot": out, "steps": metrics[len(metrics)-1].Step},
				func(w io.Writer) { fmt.Fprintln(w, out) })
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "write to `FILE` (.svg or .png)")
	return c
}
