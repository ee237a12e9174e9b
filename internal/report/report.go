// Package report shows the results of RepoPeftBench: one HTML page that needs
// nothing beside it, the same in Markdown, and the data behind each table and
// figure as CSV.
//
// It reads the folders of scored runs. What can be compared is a part of the
// report of its own: runs on one benchmark, with one base, in one precision. Of
// these the tasks fall into suites:
//
//	CR   of test repositories
//	IR   of training repositories, the test tasks inside of them
//	OOD  of repositories that began after the cut-off date
//
// for each track and kind of task. Tasks that settings may be chosen by, those
// of validation repositories and all other tasks of training repositories, are
// in a section of their own and in no other.
//
// Averages are over tasks (micro) unless they are called macro, which is over
// repositories; intervals are of 95 % and draw repositories. Methods are
// compared on the tasks that both have answered.
//
// Everything is built as a document of tables and figures first, which the
// writers of HTML and Markdown render without computing anything. The same input
// gives the same bytes.
package report

import (
	"errors"
	"fmt"

	"github.com/code2lora/code2lora/internal/stats"
)

// Options say what a report is made of.
type Options struct {
	Title string
	Runs  []string // folders of scored runs
	// Names are labels of methods, SPEC=LABEL. A spec may have equals signs.
	Names     []string
	Benchmark string   // folder of the benchmark, of which only the manifest is read; "": not known
	Audits    []string // files with an audit.Report each
	Grids     []string // records of tuning, grid.json
	Costs     string   // file with the costs of methods, or ""
	// Parameters of the base, for costs that the file doesn't have; 0: unknown.
	Parameters float64
	// Scaling has the runs of a curve.
	Scaling []Point
	Stats   stats.Options // of all intervals and tests; its Average is ignored
}

// Point is a run of a method that was trained on a number of repositories.
type Point struct {
	Repositories int
	Run          string // folder
}

// Report is a report that can be written.
type Report struct {
	doc  document
	runs []*run // all that were read; their numbers are indices + 1
}

// builder makes the sections of a report.
type builder struct {
	Options
	runs  []*run
	costs *Costs
	doc   document

	sources []source
}

// Build reads the results and makes a report of them.
func Build(o Options) (*Report, error) {
	if len(o.Runs) == 0 && len(o.Scaling) == 0 {
		return nil, errors.New("no runs to report on")
	}
	if err := o.Stats.Validate(); err != nil {
		return nil, err
	}
	if !(o.Parameters >= 0) {
		return nil, fmt.Errorf("%g parameters: want 0 or more", o.Parameters)
	}
	o.Stats.Average = stats.Micro
	if o.Title == "" {
		o.Title = "RepoPeftBench"
	}
	b := &builder{Options: o}
	b.doc.Title = o.Title
	if o.Costs != "" {
		var err error
		if b.costs, err = ReadCosts(o.Costs); err != nil {
			return nil, err
		}
		if err := b.read("costs", o.Costs); err != nil {
			return nil, err
		}
		if b.Parameters == 0 {
			b.Parameters = b.costs.Parameters
		}
	}
	if err := b.build(); err != nil {
		return nil, err
	}
	return &Report{doc: b.doc, runs: b.runs}, nil
}

func (b *builder) build() error {
	reader := newReader()
	for _, dir := range b.Runs {
		if _, err := reader.run(dir); err != nil {
			return err
		}
	}
	if err := reader.name(b.Names); err != nil {
		return err
	}
	compared := len(reader.runs)
	scaling, err := b.scalingRuns(reader)
	if err != nil {
		return err
	}
	b.runs = reader.runs
	conditions, err := group(b.runs[:compared])
	if err != nil {
		return err
	}
	if err := b.overview(conditions); err != nil {
		return err
	}
	for i, c := range conditions {
		c.id = fmt.Sprintf("part%d-", i+1)
		if len(conditions) == 1 {
			c.id = ""
		}
		if err := b.condition(c, len(conditions) > 1); err != nil {
			return err
		}
	}
	if err := b.scaling(scaling); err != nil {
		return err
	}
	if err := b.audits(); err != nil {
		return err
	}
	if err := b.tuning(conditions); err != nil {
		return err
	}
	b.provenance()
	return nil
}

// condition adds what is to say about the runs of one condition.
func (b *builder) condition(c *condition, several bool) error {
	level := 2
	if several {
		b.doc.section(2, c.id+"part", "Results: "+c.name())
		level = 3
	}
	tests := c.suites(true)
	if len(tests) == 0 {
		b.doc.section(level, c.id+"results", "Results")
		b.doc.text("There are no runs on test tasks.")
		return nil
	}
	b.results(level, c, tests)
	for _, part := range []func(int, *condition, []*suite) error{
		b.comparisons, b.distances, b.breakdowns, b.repositories, b.errorClasses, b.costSection,
	} {
		if err := part(level, c, tests); err != nil {
			return err
		}
	}
	return nil
}
