package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/bench"
	"github.com/code2lora/code2lora/internal/catalog"
	"github.com/code2lora/code2lora/internal/kernel"
)

func (a *app) benchCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure the engine on this machine, and make the benchmark",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.benchMineCmd(), a.benchImportCmd(), a.benchRunCmd(), a.benchScoreCmd(), a.benchCostsCmd(), a.benchAuditCmd(), a.benchReportCmd(), a.benchSpeedCmd(), a.benchMemoryCmd())
	return c
}

func (a *app) benchSpeedCmd() *cobra.Command {
	var o struct {
		bases, only, precisions []string
		rounds                  int
	}
	c := &cobra.Command{
		Use:   "speed",
		Short: "Measure speed, and compare it with the limits of this machine",
		Long: fmt.Sprintf(`Measure products, training steps, scoring, prefill, decoding and memory, for each
model in each precision that this machine can do, and compare them with the
limits that its memory and its arithmetic set. Weights are real, tokens and
adapters random. It takes minutes for each model; use an otherwise idle machine.

Works: %s.
All but "encode" are measured unless --only says which.`, strings.Join(bench.Works(), ", ")),
		Example: "  code2lora bench speed --base smollm2-135m --only prefill,decode --rounds 3",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			precisions, err := parsePrecisions(o.precisions)
			if err != nil {
				return fmt.Errorf("%w: bench speed: --precision: %w", errUsage, err)
			}
			bar := a.bar()
			opt := bench.Options{
				Works: o.only, Precisions: precisions, Rounds: o.rounds, Peak: peakOfChild,
				Progress: func(what string) { bar.line("%s", what) },
			}
			if err := opt.Validate(); err != nil {
				return fmt.Errorf("%w: bench speed: %w", errUsage, err)
			}
			if opt.Models, err = a.benchModels(c.Context(), o.bases); err != nil {
				return err
			}
			report, err := bench.Run(c.Context(), opt)
			bar.done()
			if err != nil {
				return err
			}
			return a.print(report, func(w io.Writer) { printSpeed(w, report) })
		},
	}
	c.Flags().StringArrayVar(&o.bases, "base", nil, "base model: a `NAME` of the catalogue or a GGUF file; may be repeated (default: those on this machine)")
	c.Flags().StringSliceVar(&o.only, "only", bench.DefaultWorks(), "measure these `WORKS` only, separated by commas")
	c.Flags().StringSliceVar(&o.precisions, "precision", nil, "measure these `PRECISIONS` only, separated by commas (default: all that this machine can do)")
	c.Flags().IntVar(&o.rounds, "rounds", 5, "run each work `N` times, after one to warm up")
	return c
}

func (a *app) benchMemoryCmd() *cobra.Command {
	var base, precision string
	c := &cobra.Command{
		Use:   "memory",
		Short: "Decode once, and print the peak memory of this process",
		Long: `Load a base model, read a prompt of 64 tokens, decode 128, and print the peak
memory of the process, with the parts of files that it had mapped. Linux only.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if precision != "" {
				p, err := parsePrecisions([]string{precision})
				if err != nil {
					return fmt.Errorf("%w: bench memory: --precision: %w", errUsage, err)
				}
				if err := kernel.SetPrecision(p[0]); err != nil {
					return err
				}
			}
			info, path, err := a.resolveBase(c.Context(), base)
			if err != nil {
				return err
			}
			if err := bench.DecodeOnce(c.Context(), bench.Model{Name: info.Name, Path: path}); err != nil {
				return unusable(err)
			}
			peak, err := bench.PeakMemory()
			if err != nil {
				return err
			}
			result := memoryResult{info.Name, kernel.CurrentPrecision().String(), peak}
			return a.print(result, func(w io.Writer) {
				fmt.Fprintf(w, "%s, %s: %.0f MB\n", result.Base, result.Precision, float64(result.PeakBytes)/1e6)
			})
		},
	}
	c.Flags().StringVar(&precision, "precision", "", "decode in this `PRECISION` (default: the one in use)")
	baseFlag(c, &base)
	return c
}

// memoryResult is what bench memory prints with --json.
type memoryResult struct {
	Base      string `json:"base"`
	Precision string `json:"precision"`
	PeakBytes int64  `json:"peak_bytes"`
}

// peakOfChild runs "bench memory" in a process of its own.
func peakOfChild(ctx context.Context, m bench.Model, p kernel.Precision) (int64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	var errOut bytes.Buffer
	child := exec.CommandContext(ctx, self, "bench", "memory", "--json", "--base", m.Path, "--precision", p.String())
	child.Stderr = &errOut
	out, err := child.Output()
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, strings.TrimSpace(errOut.String()))
	}
	var result memoryResult
	if err := json.Unmarshal(out, &result); err != nil {
		return 0, fmt.Errorf("reading what %q printed: %w", "bench memory", err)
	}
	return result.PeakBytes, nil
}

// parsePrecisions returns the precisions with the given names, or all that
// this machine can do.
func parsePrecisions(names []string) ([]kernel.Precision, error) {
	can := bench.Precisions()
	if len(names) == 0 {
		return can, nil
	}
	var ps []kernel.Precision
	for _, name := range names {
		p, err := kernel.ParsePrecision(name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(can, p) {
			return nil, fmt.Errorf("this machine cannot do %q with the kernels for %s: want one of %q", name, kernel.Implementation(), can)
		}
		ps = append(ps, p)
	}
	return ps, nil
}

// errNoModels is returned when there is nothing to measure.
var errNoModels = errors.New("no base model of the catalogue is on this machine")

// benchModels finds the models to measure: the given ones, or all of the
// catalogue that are here.
func (a *app) benchModels(ctx context.Context, names []string) (models []bench.Model, err error) {
	for _, name := range names {
		info, path, err := a.resolveBase(ctx, name)
		if err != nil {
			return nil, err
		}
		models = append(models, bench.Model{Name: info.Name, Path: path})
	}
	if len(names) > 0 {
		return models, nil
	}
	all, err := catalog.List()
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		path, ok, err := catalog.Path(ctx, m)
		if err != nil {
			return nil, err
		}
		if ok {
			models = append(models, bench.Model{Name: m.Name, Path: path})
		}
	}
	if len(models) == 0 {
		return nil, errNoModels
	}
	return models, nil
}

func printSpeed(w io.Writer, r *bench.Report) {
	m := r.Machine
	fmt.Fprintf(w, "%s, %d threads, %s/%s\ninstructions: %s\nkernels: %s; precisions: %s\n", m.Processor, m.Threads, m.OS, m.Arch,
		strings.Join(m.Instructions, " "), m.Kernel, strings.Join(m.Precisions, ", "))
	fmt.Fprintf(w, "memory: reads %.1f GB/s [%.1f, %.1f], n=%d\n", r.Bandwidth.Median, r.Bandwidth.Min, r.Bandwidth.Max, r.Bandwidth.N)
	for _, p := range m.Precisions {
		if peak, ok := r.Peak[p]; ok {
			fmt.Fprintf(w, "best product in %s: %.0f GFLOP/s\n", p, peak)
		}
	}
	if len(r.Figures) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MODEL\tWORK\tVARIANT\tPRECISION\tMEDIAN\tMIN\tMAX\tUNIT\tN\tMB/TOKEN\tMFLOP/TOKEN\tLIMIT\tREACHED")
	for _, f := range r.Figures {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d", f.Model, f.Work, f.Variant, f.Precision,
			number(f.Median), number(f.Min), number(f.Max), f.Unit, f.N)
		if l := f.Roofline; l != nil {
			fmt.Fprintf(t, "\t%s\t%s\t%s, %s\t%.0f %%", number(l.Bytes/1e6), number(l.FLOP/1e6), number(l.Limit), l.Bound, 100*l.Fraction)
		} else {
			fmt.Fprint(t, "\t\t\t\t")
		}
		fmt.Fprintln(t)
	}
	t.Flush()
}

// number writes a number with three figures or more.
func number(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.3g", x)
	}
}
