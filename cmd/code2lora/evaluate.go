package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/store"
	"github.com/code2lora/code2lora/internal/train"
)

func (a *app) evaluateCmd() *cobra.Command {
	var o struct {
		config, checkpoint, mirrors, split string
		network                            bool
	}
	c := &cobra.Command{
		Use:   "evaluate -c FILE",
		Short: "Audit a checkpoint on unseen repositories",
		Long: `Audit a checkpoint on the test repositories of a training configuration: every
repository's tasks with its own adapter, with the checkpoint's average adapter,
with another repository's adapter, and with the bare base. Intervals are 95 %
bootstraps over repositories. The result is kept as report.json beside the
checkpoint. With a recurrence section, each repository's history is followed, and
its own adapters are those at some of its commits.

Only a gap between own and the other two adapters shows that the hypernetwork
uses what it reads.`,
		Example: "  code2lora evaluate -c runs/smollm2-135m.yaml --mirrors ../mirrors",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.config == "" {
				return fmt.Errorf("%w: evaluate: give the configuration with -c FILE", errUsage)
			}
			split := dataset.Split(o.split)
			if split != dataset.Test && split != dataset.Validation {
				return fmt.Errorf("%w: evaluate: split %q: want test or validation", errUsage, o.split)
			}
			cfg, err := readTrainConfig(o.config)
			if err != nil {
				return err
			}
			deps, b, err := a.trainDeps(c, cfg, o.mirrors, o.network)
			if err != nil {
				return err
			}
			if o.checkpoint == "" {
				o.checkpoint = filepath.Join(cfg.Dir(), train.CheckpointFile)
			}
			e, err := a.evaluate(c.Context(), cfg, deps, b, o.checkpoint, split)
			if err != nil {
				return err
			}
			report := filepath.Join(filepath.Dir(o.checkpoint), "report.json")
			if split != dataset.Test {
				report = filepath.Join(filepath.Dir(o.checkpoint), "report-"+o.split+".json")
			}
			err = store.WriteFile(report, func(w io.Writer) error { return encodeJSON(w, e) })
			if err != nil {
				return err
			}
			return a.print(e, func(w io.Writer) { printEvaluation(w, e, report) })
		},
	}
	f := c.Flags()
	f.StringVarP(&o.config, "config", "c", "", "training configuration `FILE`")
	f.StringVar(&o.checkpoint, "checkpoint", "", "checkpoint `FILE` (default: the run's)")
	f.StringVar(&o.mirrors, "mirrors", "", "`DIR` with local clones of the repositories")
	f.StringVar(&o.split, "split", string(dataset.Test), "`test|validation`")
	f.BoolVar(&o.network, "network", false, "clone repositories that are not there")
	precisionFlag(c, kernel.Float32)
	return c
}

// evaluate audits the checkpoint at path, which has to be of the kind that the
// configuration trains.
func (a *app) evaluate(ctx context.Context, cfg *train.Config, deps *train.Deps, b *base, path string, split dataset.Split) (*train.Evaluation, error) {
	ck, r, err := a.loadAny(path, b)
	if err != nil {
		return nil, err
	}
	if (r != nil) != (cfg.Recurrence != nil) {
		kind := map[bool]string{false: "no recurrence over commits", true: "a recurrence over commits"}
		return nil, unusable(fmt.Errorf("checkpoint %s has %s, and the configuration has %s: evaluate it with the configuration that it was trained with",
			path, kind[r != nil], kind[cfg.Recurrence != nil]))
	}
	if r != nil {
		e, err := train.EvaluateRecurrent(ctx, cfg, *deps, r.Checkpoint, split)
		if err != nil {
			return nil, err
		}
		e.CheckpointSHA256 = r.sha256
		return e, nil
	}
	e, err := train.Evaluate(ctx, cfg, *deps, ck.Checkpoint, split)
	if err != nil {
		return nil, err
	}
	e.CheckpointSHA256 = ck.sha256
	return e, nil
}

func printEvaluation(w io.Writer, e *train.Evaluation, report string) {
	u := e.Audit
	fmt.Fprintf(w, "%d tasks of %d %s repositories\n\n%-22s  %-26s  %s\n", u.Tasks, u.Repositories, e.Split,
		"", "exact match", "cross-entropy (nats per target token)")
	type row struct {
		name  string
		score train.Score
	}
	table := func(rows ...row) {
		for _, r := range rows {
			fmt.Fprintf(w, "%-22s  %-26s  %s\n", r.name, r.score.ExactMatch, r.score.CrossEntropy)
		}
	}
	table(row{"base", *u.Base}, row{"own adapter", u.Own}, row{"average adapter", u.Average}, row{"another repository's", u.Stranger},
		row{"own minus average", u.OwnAverage}, row{"own minus another's", u.OwnStranger})
	if e.SpaceWithTarget { // as in the table above
		table(row{"own minus base", e.Natural.OwnBase})
	} else {
		fmt.Fprintln(w, "\nwith the space before the target moved from the prefix to the target:")
		table(row{"base", e.Natural.Base}, row{"own adapter", e.Natural.Own}, row{"own minus base", e.Natural.OwnBase})
	}
	fmt.Fprintf(w, "\nadapters: mean distance %.3f from the average, mean cosine %.3f between repositories\nreport: %s\n",
		e.Spread.Distance.Mean, e.Spread.Cosine.Mean, report)
}
