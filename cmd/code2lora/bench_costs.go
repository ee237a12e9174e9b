package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/method"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/report"
	"github.com/code2lora/code2lora/internal/store"
)

func (a *app) benchCostsCmd() *cobra.Command {
	var o benchRunOptions
	c := &cobra.Command{
		Use:   "costs BENCHMARK --method METHOD... -o FILE",
		Short: "Measure what methods cost",
		Long: `Measure what methods cost: to adapt to a repository of which nothing is known yet,
and to answer a query. Methods are those of "bench run". They answer each query
one after another in one process, so that their times can be compared; those of
different runs of this command cannot. A few repositories with a few tasks each
are enough; use an otherwise idle machine.

FILE is what "bench report --costs" reads. The base is always measured, too.`,
		Example: "  code2lora bench costs tasks --method bm25:k=3 --method checkpoint --per-repository 8 -o costs.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.out == "" || len(o.methods) == 0 {
				return fmt.Errorf("%w: bench costs: give methods with --method and a file with -o FILE", errUsage)
			}
			costs, err := a.benchCosts(c, &o, args[0])
			if err != nil {
				return err
			}
			err = store.WriteFile(o.out, func(w io.Writer) error {
				enc := json.NewEncoder(w)
				enc.SetEscapeHTML(false)
				enc.SetIndent("", "  ")
				return enc.Encode(costs)
			})
			if err != nil {
				return err
			}
			return a.print(costs, func(w io.Writer) { printCosts(w, costs) })
		},
	}
	o.layout = method.DefaultLayout()
	o.runFlags(c)
	f := c.Flags()
	f.StringArrayVar(&o.methods, "method", nil, "measure this `METHOD`; may be repeated")
	f.StringVarP(&o.out, "output", "o", "", "write `FILE`")
	return c
}

// benchCosts measures methods at each level.
func (a *app) benchCosts(c *cobra.Command, o *benchRunOptions, benchmark string) (*report.Costs, error) {
	specs, levels, err := parseMethods("bench costs", append([]string{"base"}, o.methods...), o.levels)
	if err != nil {
		return nil, err
	}
	baseSpec := specs[0]
	seen := map[string]bool{}
	specs = slices.DeleteFunc(specs, func(s method.Spec) bool {
		twice := seen[s.String()]
		seen[s.String()] = true
		return twice
	})
	slices.Sort(levels)
	levels = slices.Compact(levels)
	b, err := repopeft.Open(benchmark)
	if err != nil {
		return nil, unusable(err)
	}
	tasks, err := o.tasks(b)
	if err != nil {
		return nil, err
	}
	base, err := a.loadBase(c.Context(), o.base)
	if err != nil {
		return nil, err
	}
	if err := o.layout.Validate(base.model.MaxContext(), o.newTokens); err != nil {
		return nil, fmt.Errorf("%w: bench costs: %w", errUsage, err)
	}
	costs := &report.Costs{Format: 1, Parameters: method.Parameters(&base.model.Config)}
	var notes []string
	for _, p := range a.plan(specs, levels) {
		level, specs := p.Level, p.Specs
		if specs[0].String() != "base" {
			specs = append([]method.Spec{baseSpec}, specs...) // times are multiples of its queries'
		}
		r := &method.Runner{Engine: base.engine(), Base: base.compute(), Layout: o.layout, Languages: o.read, NewTokens: o.newTokens,
			Level: level, Open: opener(o.mirrors, o.network)}
		bar := a.bar()
		r.Report = func(done int) { bar.show("%s: %d of %d queries", level, done, len(tasks)) }
		meter := &method.Meter{Runner: r, Builder: func() *method.Builder { return a.builder(base, r, tasks, nil) }}
		all, err := meter.Measure(c.Context(), specs, tasks)
		bar.done()
		if setting := (method.SettingError{}); errors.As(err, &setting) {
			return nil, fmt.Errorf("%w: bench costs: %w", errUsage, err)
		}
		if err != nil {
			return nil, err
		}
		for _, m := range all {
			costs.Methods = append(costs.Methods, report.Cost{Name: m.Name, Level: string(m.Level), AdaptSeconds: m.AdaptSeconds, AdaptFLOP: m.AdaptFLOP,
				StoredBytes: m.StoredBytes, OnceSeconds: m.OnceSeconds, OnceFLOP: m.OnceFLOP, OnceBytes: m.OnceBytes, QuerySeconds: &m.QuerySeconds, QueryFLOP: &m.QueryFLOP, ExtraTokens: &m.ExtraTokens})
			for _, n := range m.Notes {
				if !slices.Contains(notes, n) {
					notes = append(notes, n)
				}
			}
		}
		if len(notes) == 0 || !strings.HasPrefix(notes[0], "measured") {
			notes = slices.Insert(notes, 0, fmt.Sprintf("measured by %s in %s with %s on %d queries to %d repositories", tool(),
				kernel.CurrentPrecision(), base.info.Name, all[0].Queries, all[0].Repositories))
		}
	}
	costs.Note = strings.Join(notes, "; ")
	return costs, costs.Validate()
}

// printCosts writes times as multiples of the base's query at the same level.
func printCosts(w io.Writer, costs *report.Costs) {
	query := map[string]float64{}
	for _, m := range costs.Methods {
		if m.Name == "base" {
			query[m.Level] = *m.QuerySeconds
		}
	}
	known := func(x *float64, scale float64) string {
		if x == nil {
			return "?"
		}
		return number(*x / scale)
	}
	fmt.Fprintf(w, "%-50s %-10s %12s %12s %12s %12s %10s %10s %8s\n", "method", "level", "adapt, ×", "adapt GFLOP", "once GFLOP", "stored kB", "query, ×", "GFLOP", "tokens")
	for _, m := range costs.Methods {
		once := "–"
		if m.OnceFLOP != nil {
			once = known(m.OnceFLOP, 1e9)
		}
		fmt.Fprintf(w, "%-50s %-10s %12s %12s %12s %12s %10s %10s %8s\n", m.Name, m.Level, known(m.AdaptSeconds, query[m.Level]), known(m.AdaptFLOP, 1e9),
			once, known(m.StoredBytes, 1e3), known(m.QuerySeconds, query[m.Level]), known(m.QueryFLOP, 1e9), known(m.ExtraTokens, 1))
	}
	fmt.Fprintf(w, "times are multiples of a query to the base; %s\n", costs.Note)
}
