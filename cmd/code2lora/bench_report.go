package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/report"
)

func (a *app) benchReportCmd() *cobra.Command {
	var o report.Options
	var out string
	var scaling []string
	c := &cobra.Command{
		Use:   "report -o DIR RUN...",
		Short: "Show the results of scored runs as a page",
		Long: `Show the results of runs that "bench score" has scored: tables of methods and
suites with intervals over repositories, paired comparisons, breakdowns, errors,
cost against accuracy, and, where they are given, audits, a scaling curve and
what settings were chosen by.

DIR/` + report.HTMLFile + ` is one page that needs no other file, DIR/` + report.MarkdownFile + ` the same in
Markdown; DIR/` + report.DataFolder + ` has the figures as SVG, and the data of each table and
figure as CSV. Every row names the runs that it is from, by their folders
relative to DIR.

Runs on different benchmarks, bases or precisions get a part each, and are not
compared. Tasks that settings may be chosen by are shown apart from test tasks.`,
		Example: "  code2lora bench report -o report --benchmark tasks --name 'bm25:k=3=BM25' results/*\n" +
			"  code2lora bench report -o report --costs costs.json --audit audit.json --scaling 10=s10 --scaling 60=s60 results/*",
		RunE: func(_ *cobra.Command, args []string) error {
			if out == "" {
				return fmt.Errorf("%w: bench report: say where to write with -o DIR", errUsage)
			}
			if len(args)+len(scaling) == 0 {
				return fmt.Errorf("%w: bench report: give the folders of scored runs", errUsage)
			}
			if !(o.Parameters >= 0) {
				return fmt.Errorf("%w: bench report: --parameters %g: want 0 or more", errUsage, o.Parameters)
			}
			for _, s := range scaling {
				p, err := parseScaling(s)
				if err != nil {
					return fmt.Errorf("%w: bench report: %w", errUsage, err)
				}
				o.Scaling = append(o.Scaling, p)
			}
			o.Runs = args
			r, err := report.Build(o)
			if errors.Is(err, report.ErrName) {
				return fmt.Errorf("%w: bench report: --%w", errUsage, err)
			}
			if err != nil {
				return unusable(err)
			}
			w, err := r.Write(out)
			if err != nil {
				return err
			}
			return a.print(w, func(to io.Writer) {
				fmt.Fprintf(to, "%s\n%s\n%d tables and %d figures of %d runs, their data in %s\n", w.HTML, w.Markdown, w.Tables, w.Figures, w.Runs, w.Data)
			})
		},
	}
	f := c.Flags()
	f.StringVarP(&out, "output", "o", "", "write into `DIR`")
	f.StringVar(&o.Title, "title", "", "`TITLE` of the page")
	f.StringArrayVar(&o.Names, "name", nil, "show a method under another name, `METHOD=LABEL`; may be repeated")
	f.StringVar(&o.Benchmark, "benchmark", "", "`DIR` of the benchmark, for its profile; only manifest.json is read")
	f.StringArrayVar(&o.Audits, "audit", nil, "`FILE` with an audit in JSON; may be repeated")
	f.StringVar(&o.Costs, "costs", "", "`FILE` with the costs of methods in JSON")
	f.Float64Var(&o.Parameters, "parameters", 0, "`N` parameters of the base, for the FLOP of contexts (default: those of the costs)")
	f.StringArrayVar(&scaling, "scaling", nil, "a point of the scaling curve, `N=RUN`: a run of what was made from N training repositories; may be repeated")
	f.StringArrayVar(&o.Grids, "grid", nil, "`FILE` grid.json of tuning; may be repeated")
	return c
}

// parseScaling reads N=RUN.
func parseScaling(s string) (report.Point, error) {
	n, run, ok := strings.Cut(s, "=")
	repositories, err := strconv.Atoi(n)
	if !ok || err != nil || repositories < 0 || run == "" {
		return report.Point{}, fmt.Errorf("--scaling %q: want N=RUN with a number of repositories", s)
	}
	return report.Point{Repositories: repositories, Run: run}, nil
}
