package report

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/repopeft"
)

// overview says what was run.
func (b *builder) overview(conditions []*condition) error {
	b.doc.section(2, "what", "What was run")
	facts := &table{ID: "conditions", Caption: "Results are compared within a row of this table only",
		Columns: []column{{Name: "base", Text: true}, {Name: "SHA-256 of the base", Text: true}, {Name: "precision", Text: true},
			{Name: "benchmark", Text: true}, {Name: "profile", Text: true}, {Name: "methods"}, {Name: "runs"}}}
	var manifest *repopeft.Manifest
	var digest string
	if b.Benchmark != "" {
		var err error
		if manifest, digest, err = repopeft.ReadManifest(b.Benchmark); err != nil {
			return err
		}
		if err := b.read("manifest of the benchmark", filepath.Join(b.Benchmark, "manifest.json")); err != nil {
			return err
		}
	}
	found := manifest == nil
	for _, c := range conditions {
		profile := cell{Text: "not known"}
		if manifest != nil && digest == c.benchmark {
			profile.Text, found = manifest.Profile, true
		}
		methods := map[string]bool{}
		for _, r := range c.runs {
			methods[r.info.Method] = true
		}
		facts.Rows = append(facts.Rows, tableRow{Cells: []cell{{Text: c.base}, digestCell(c.baseSHA256), {Text: c.precision}, digestCell(c.benchmark),
			profile, countCell(len(methods)), countCell(len(c.runs))}})
	}
	if !found && len(conditions) > 0 {
		return fmt.Errorf("benchmark %s has digest %s, no run is on it: they are on %s", b.Benchmark, short(digest), short(conditions[0].benchmark))
	}
	b.doc.table(facts)
	if len(conditions) > 1 {
		b.doc.text("Runs on different benchmarks, bases or precisions are given, so there is a part for each combination, and no comparison between them.")
	}
	if manifest != nil {
		b.doc.text("The benchmark has %s of %s, mined by %s.", tasks(manifest.Tasks), repositories(len(manifest.Repositories)), manifest.Tool)
	}
	b.suiteTable(conditions)
	b.settings(conditions)
	b.leftOut(conditions)
	return nil
}

func digestCell(digest string) cell { return cell{Text: short(digest), Values: []any{digest}} }

// suiteTable lists the suites.
func (b *builder) suiteTable(conditions []*condition) {
	t := &table{ID: "suites", Caption: "Suites: tasks that averages are over", Columns: []column{{Name: "suite", Text: true},
		{Name: "used as", Text: true}, {Name: "tasks"}, {Name: "repositories"}, {Name: "levels", Text: true}, {Name: "languages", Text: true}}}
	if len(conditions) > 1 {
		t.Columns = append([]column{{Name: "part", Text: true}}, t.Columns...)
	}
	for _, c := range conditions {
		for _, s := range c.all {
			use := "tuning"
			if s.test {
				use = "test"
			}
			var languages []string
			for _, task := range s.tasks {
				if !slices.Contains(languages, task.Language) {
					languages = append(languages, task.Language)
				}
			}
			slices.Sort(languages)
			row := tableRow{Cells: []cell{{Text: s.name}, {Text: use}, countCell(len(s.tasks)), countCell(len(s.repos)),
				{Text: strings.Join(s.levels(), ", ")}, {Text: strings.Join(languages, ", ")}}}
			if len(conditions) > 1 {
				row.Cells = append([]cell{{Text: c.name()}}, row.Cells...)
			}
			t.Rows = append(t.Rows, row)
		}
	}
	b.doc.table(t)
	b.doc.text("CR are tasks of test repositories, IR the test tasks inside of training repositories, OOD tasks of repositories that began after the cut-off date. " +
		"At the level production a method sees no test files, at the level tree all files of the parent commit but the one that is asked about and its copies. " +
		"Methods that read nothing of a repository are the same at both levels, and shown at both where they were run at one.")
}

// settings tells where runs that are compared were not made alike.
func (b *builder) settings(conditions []*condition) {
	for _, c := range conditions {
		for _, name := range []string{"layout", "new_tokens", "texts"} {
			byValue := map[string][]string{}
			for _, r := range c.runs {
				if v, ok := r.info.Settings[name]; ok {
					text := fmt.Sprint(v) // maps are printed in the order of their keys
					byValue[text] = append(byValue[text], r.name())
				}
			}
			if len(byValue) < 2 {
				continue
			}
			var all []string
			for v, names := range byValue {
				all = append(all, fmt.Sprintf("%s in %s", v, strings.Join(names, " ")))
			}
			slices.Sort(all)
			b.doc.text("Note: the runs of %s differ in their setting %q: %s.", c.name(), name, strings.Join(all, "; "))
		}
		if slices.ContainsFunc(c.runs, (*run).cut) {
			b.doc.text("Note: in some runs wrong answers end where they were known to be wrong (they were made without --texts); " +
				"they have no edit similarity, CodeBLEU and token BLEU, and the classes of their errors are of these beginnings.")
		}
	}
}

// provenance lists the runs.
func (b *builder) provenance() {
	b.doc.section(2, "run-list", "Runs")
	b.doc.text("Every row of a table and every figure names the runs that it is from. Folders are relative to this report.")
	t := &table{ID: "runs", Caption: "Runs", Columns: []column{{Name: "name", Text: true}, {Name: "folder", Text: true}, {Name: "method", Text: true},
		{Name: "level", Text: true}, {Name: "tasks"}, {Name: "state", Text: true}, {Name: "SHA-256 of the scores", Text: true},
		{Name: "tool", Text: true}, {Name: "seed"}, {Name: "command", Text: true}}}
	for _, r := range b.runs {
		state := r.left
		if state == "" {
			state = "finished"
		}
		t.Rows = append(t.Rows, tableRow{Cells: []cell{{Text: r.name(), Anchor: fmt.Sprintf("run-%d", r.number)}, {Path: r.dir, In: "/run.json"}, {Text: r.info.Method},
			{Text: r.info.Level}, countCell(len(r.scores)), {Text: state}, digestCell(r.digest), {Text: r.info.Tool},
			{Text: fmt.Sprint(r.info.Seed)}, {Text: commandLine(r.info.Command)}}})
	}
	b.doc.table(t)
	if len(b.sources) > 0 {
		t := &table{ID: "files", Caption: "Other files that the report was made of", Columns: []column{{Name: "what", Text: true}, {Name: "file", Text: true}, {Name: "SHA-256", Text: true}}}
		for _, s := range b.sources {
			t.Rows = append(t.Rows, tableRow{Cells: []cell{{Text: s.what}, {Path: s.path}, digestCell(s.digest)}})
		}
		b.doc.table(t)
	}
}

// source is a file that the report was made of.
type source struct{ what, path, digest string }

// read notes that a file is used.
func (b *builder) read(what, path string) error {
	digest, err := digestOf(path)
	b.sources = append(b.sources, source{what, path, digest})
	return err
}

// leftOut says in a line each what the report could have and doesn't.
func (b *builder) leftOut(conditions []*condition) {
	for _, part := range []struct {
		missing bool
		what    string
	}{
		{len(b.Audits) == 0, "the audit of a checkpoint: no audit was given"},
		{b.costs == nil, "the cost of adaptation, and when it has paid for itself: no costs were given"},
		{len(b.Scaling) == 0, "the scaling curve: no runs were given for it"},
		{len(b.Grids) == 0, "the grids that settings were chosen from: no records of them were given"},
		{!slices.ContainsFunc(conditions, func(c *condition) bool { return len(c.suites(false)) > 0 }), "results of tuning: no runs on validation tasks were given"},
	} {
		if part.missing {
			b.doc.text("Left out: %s.", part.what)
		}
	}
}

// commandLine writes a command so that a shell reads it, without the folder of
// the program.
func commandLine(args []string) string {
	var all []string
	for i, a := range args {
		if i == 0 {
			a = filepath.Base(a)
		}
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\$`!*?[]{}()<>|&;#~") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		all = append(all, a)
	}
	return strings.Join(all, " ")
}
