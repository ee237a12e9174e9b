package report

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/audit"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/stats"
)

// audited is an audit as "bench audit" writes it.
type audited struct {
	Base       string `json:"base"`
	Checkpoint string `json:"checkpoint"`
	SHA256     string `json:"checkpoint_sha256"`
	Benchmark  string `json:"benchmark"` // digest
	Level      string `json:"level"`
	Precision  string `json:"precision"`
	audit.Report
}

// readAudit reads an audit.
func readAudit(path string) (*audited, error) {
	var r audited
	if err := readJSON(path, &r, false); err != nil {
		return nil, err
	}
	if !slices.Contains([]audit.Verdict{audit.Conditioned, audit.Weakly, audit.Not}, r.Verdict) || r.Spread == nil {
		return nil, fmt.Errorf("%s: not an audit: verdict is %q, want %s, %s or %s, and a spread", path, r.Verdict, audit.Conditioned, audit.Weakly, audit.Not)
	}
	if len(r.Steps) != len(r.Response) {
		return nil, fmt.Errorf("%s: %d steps of interpolation and %d responses", path, len(r.Steps), len(r.Response))
	}
	return &r, nil
}

// audits has a column for each audit.
func (b *builder) audits() error {
	if len(b.Audits) == 0 {
		return nil
	}
	b.doc.section(2, "audit", "Audit")
	var reports []*audited
	t := &table{ID: "audits", Caption: "Does the generator use the repository? Audits of checkpoints on unseen repositories", Columns: []column{{Name: "measure", Text: true}}}
	for _, path := range b.Audits {
		r, err := readAudit(path)
		if err != nil {
			return err
		}
		if err := b.read("audit", path); err != nil {
			return err
		}
		reports = append(reports, r)
		name := auditName(path)
		b.doc.text("%s: %s", name, r)
		t.Columns = append(t.Columns, column{Name: name, CSV: intervalColumns(name)})
	}
	for _, m := range measures(reports) {
		row := tableRow{Cells: []cell{{Text: m.name}}}
		for _, r := range reports {
			row.Cells = append(row.Cells, m.cell(r))
		}
		t.Rows = append(t.Rows, row)
	}
	t.Notes = append(t.Notes, "In brackets 95 % intervals over repositories, or least and greatest of pairs where several values are summed up. Cross-entropy is in nats per token.")
	b.doc.table(t)
	return nil
}

// auditName is a file's name, with its folder's where it says nothing.
func auditName(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	if dir := filepath.Base(filepath.Dir(path)); name == "audit" && dir != "." && dir != string(filepath.Separator) {
		return dir
	}
	return name
}

// measure is a row of the table of audits.
type measure struct {
	name string
	cell func(*audited) cell
}

func measures(reports []*audited) []measure {
	known := func(s string) string {
		if s == "" {
			return unknown
		}
		return s
	}
	all := []measure{
		{"checkpoint", func(r *audited) cell { return cell{Text: known(r.Checkpoint), Note: short(r.SHA256)} }},
		{"base", func(r *audited) cell { return cell{Text: known(r.Base), Note: r.Precision} }},
		{"benchmark", func(r *audited) cell { return cell{Text: known(short(r.Benchmark)), Note: r.Level} }},
		{"verdict", func(r *audited) cell { return cell{Text: string(r.Verdict), Strong: true} }},
		{"repositories", func(r *audited) cell { return countCell(r.Repositories) }},
		{"tasks", func(r *audited) cell { return countCell(r.Tasks) }},
		{"cosine of ΔW between repositories", func(r *audited) cell { return rangeCell(r.Spread.Cosine) }},
		{"the same, less their average", func(r *audited) cell { return rangeCell(r.Spread.Residual) }},
		{"distance from the average, of its norm", func(r *audited) cell { return rangeCell(r.Spread.Distance) }},
	}
	modules := map[string]bool{}
	for _, r := range reports {
		for m := range r.Modules {
			modules[m] = true
		}
	}
	for _, m := range slices.Sorted(maps.Keys(modules)) {
		all = append(all, measure{"cosine of ΔW, " + m, func(r *audited) cell {
			if x, ok := r.Modules[m]; ok {
				return cell{Text: number(x, 4), Values: []any{x}}
			}
			return cell{Text: unknown, Values: []any{""}}
		}})
	}
	measured := func(x float64) cell { // the audit has 0 for what it could not measure
		if x == 0 {
			return cell{Text: unknown, Values: []any{""}}
		}
		return cell{Text: number(x, 4), Values: []any{x}}
	}
	all = append(all,
		measure{"effective rank of the adapters", func(r *audited) cell {
			return cell{Text: number(r.EffectiveRank, 2), Note: fmt.Sprintf("of %d", r.Repositories-1), Values: []any{r.EffectiveRank}}
		}},
		measure{"cosine of ΔW between neighbouring commits", func(r *audited) cell { return measured(r.Commits) }},
		measure{"cosine of ΔW between any two commits of a repository", func(r *audited) cell { return measured(r.Pairs) }},
		measure{"cosine of ΔW between first and last commit", func(r *audited) cell { return measured(r.Drift) }},
		measure{"repository told from its adapter, %", func(r *audited) cell {
			c := intervalCell(r.Identified, 100, percent)
			if r.Identified.N > 0 {
				c.Note += fmt.Sprintf(", chance %s", percent(100*r.Chance))
			}
			return c
		}},
		measure{"response to interpolated repositories", responseCell},
	)
	for _, by := range []struct {
		name  string
		of    func(*audited) *audit.Comparison
		scale float64
		write func(float64) string
		diff  func(float64) string
	}{
		{"cross-entropy", func(r *audited) *audit.Comparison { return &r.CrossEntropy }, 1, three, signedThree},
		{"exact match, %", func(r *audited) *audit.Comparison { return &r.ExactMatch }, 100, percent, signedPercent},
	} {
		add := func(name string, f func(*audit.Comparison) stats.Interval, write func(float64) string) {
			all = append(all, measure{by.name + ": " + name, func(r *audited) cell { return intervalCell(f(by.of(r)), by.scale, write) }})
		}
		add("base", func(c *audit.Comparison) stats.Interval { return c.Base }, by.write)
		add("own", func(c *audit.Comparison) stats.Interval { return c.Own }, by.write)
		add("average", func(c *audit.Comparison) stats.Interval { return c.Average }, by.write)
		add("stranger", func(c *audit.Comparison) stats.Interval { return c.Stranger }, by.write)
		add("nearest", func(c *audit.Comparison) stats.Interval { return c.Nearest }, by.write)
		add("own − average", func(c *audit.Comparison) stats.Interval { return c.OwnAverage }, by.diff)
		add("own − stranger", func(c *audit.Comparison) stats.Interval { return c.OwnStranger }, by.diff)
		add("own − nearest", func(c *audit.Comparison) stats.Interval { return c.OwnNearest }, by.diff)
	}
	return all
}

func rangeCell(r hypernet.Range) cell {
	return cell{Text: number(r.Mean, 4), Note: "[" + number(r.Min, 4) + ", " + number(r.Max, 4) + "]", Values: []any{r.Mean, r.Min, r.Max}}
}

// responseCell shows how far adapters have moved at each step.
func responseCell(r *audited) cell {
	if len(r.Steps) == 0 {
		return cell{Text: unknown, Values: []any{""}}
	}
	var all []string
	for i, s := range r.Steps {
		all = append(all, fmt.Sprintf("%s→%s", number(s, 2), number(r.Response[i], 2)))
	}
	return cell{Text: strings.Join(all, " "), Values: []any{strings.Join(all, " ")}}
}
