package report

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/audit"
)

// nasty is a method whose name is markup wherever it is written.
const nasty = `bm25:q=</td><script>x|&amp;"'*_` + "`[a](b)"

// everything builds a report with all that there can be.
func everything(t *testing.T, dir string) *Report {
	t.Helper()
	runs := filepath.Join(dir, "results & more")
	if err := os.MkdirAll(runs, 0o777); err != nil {
		t.Fatal(err)
	}
	o := Options{Title: "A <title> & more", Names: []string{nasty + "=<i>best</i> | of & all"}, Parameters: 1e8,
		Audits: []string{auditFile(t, filepath.Join(dir, "a<b>.json"), audit.Weakly)},
		Grids:  []string{writeJSON(t, filepath.Join(dir, "grid.json"), map[string]any{"points": []any{map[string]any{"name": "<p>"}}, "best": 0})}}
	for i, m := range []string{"base", nasty, "checkpoint", "checkpoint:which=average", "adapter:dir=x+" + nasty} {
		for _, level := range []string{"production", "tree"} {
			s := shape{sizes: []int{5, 7, 9}, hits: []int{i, i + 1, i / 2}, context: 10 * i, nll: 1}
			tuning := shape{perRepo: 3, hits: []int{i}, split: "validation"}
			o.Runs = append(o.Runs, simple(t, runs, m, level, s, tuning))
		}
	}
	for i, n := range []int{0, 5, 10, 20} {
		o.Scaling = append(o.Scaling, Point{n, simple(t, runs, fmt.Sprintf("checkpoint:file=<%d>", n), "tree", shape{perRepo: 6, hits: []int{i + 1, i, i + 2}})})
	}
	return build(t, o)
}

// parse reads a page, and fails if elements are not closed in order. It returns
// the page's elements and its text.
func parse(t *testing.T, page []byte) (elements []xml.StartElement, text string) {
	t.Helper()
	page = bytes.TrimPrefix(page, []byte("<!DOCTYPE html>\n"))
	page = regexp.MustCompile(`<meta([^>]*)>`).ReplaceAll(page, []byte("<meta$1/>")) // has no end
	d := xml.NewDecoder(bytes.NewReader(page))
	var all strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return elements, all.String()
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			elements = append(elements, token.Copy())
		case xml.CharData:
			all.Write(token)
		}
	}
}

func TestHTML(t *testing.T) {
	dir := t.TempDir()
	w, err := everything(t, dir).Write(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(w.HTML)
	if err != nil {
		t.Fatal(err)
	}
	elements, text := parse(t, page)
	ids, pictures := map[string]int{}, 0
	var references []string
	for _, e := range elements {
		switch e.Name.Local {
		case "script", "link", "img", "iframe", "image", "object", "i":
			t.Errorf("the page has an element %s", e.Name.Local)
		case "svg":
			pictures++
		}
		for _, a := range e.Attr {
			switch {
			case a.Name.Local == "id":
				ids[a.Value]++
			case a.Name.Local == "href" && e.Name.Local == "a":
				references = append(references, a.Value)
			case a.Name.Local == "src" || a.Name.Local == "href" || strings.HasPrefix(a.Name.Local, "on"):
				t.Errorf("element %s has %s=%q", e.Name.Local, a.Name.Local, a.Value)
			}
		}
	}
	if bytes.Contains(page, []byte("@import")) || bytes.Contains(page, []byte("url(")) {
		t.Error("the style refers to something outside")
	}
	if pictures != w.Figures || pictures < 5 {
		t.Errorf("%d pictures, want %d", pictures, w.Figures)
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("id %q is there %d times", id, n)
		}
	}
	for _, r := range references {
		if target, ok := strings.CutPrefix(r, "#"); ok {
			if ids[target] == 0 {
				t.Errorf("a reference to %q, which is not there", r)
			}
		} else if path, err := url.PathUnescape(r); err != nil {
			t.Error(err)
		} else if _, err := os.Stat(filepath.Join(dir, "out", path)); err != nil {
			t.Errorf("reference %q: %v", r, err)
		}
	}
	for _, want := range []string{"A <title> & more", "<i>best</i> | of & all", nasty, "<p>", "of <this>", "results & more/run01", "a<b>"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page doesn't say %q", want)
		}
	}
}

// TestFollow: every row and figure names runs that are in the list.
func TestFollow(t *testing.T) {
	r := everything(t, t.TempDir())
	known := map[int]bool{}
	for _, run := range r.runs {
		known[run.number] = true
	}
	check := func(what string, numbers []int) {
		for _, n := range numbers {
			if !known[n] {
				t.Errorf("%s names run %d, which is not listed", what, n)
			}
		}
		if len(numbers) == 0 {
			t.Errorf("%s names no run", what)
		}
	}
	without := []string{"conditions", "suites", "audits", "grid-1", "runs", "files"}
	for _, s := range r.doc.Sections {
		for _, b := range s.Blocks {
			if b.Figure != nil {
				check(b.Figure.ID, b.Figure.Runs)
			}
			if b.Table == nil {
				continue
			}
			for i, row := range b.Table.Rows {
				if !slices.Contains(without, b.Table.ID) {
					check(fmt.Sprintf("%s row %d", b.Table.ID, i), row.Runs)
				}
				if len(row.Cells) != len(b.Table.Columns) {
					t.Errorf("%s row %d: %d cells of %d columns", b.Table.ID, i, len(row.Cells), len(b.Table.Columns))
				}
			}
		}
	}
}

// TestMarkdown: each table has as many cells as columns in all its rows, so
// nothing in a name ends a cell, and no markup is left of names.
func TestMarkdown(t *testing.T) {
	dir := t.TempDir()
	w, err := everything(t, dir).Write(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(w.Markdown)
	if err != nil {
		t.Fatal(err)
	}
	bar := regexp.MustCompile(`(^|[^\\])\|`)
	columns, tables := 0, 0
	for i, line := range strings.Split(string(data), "\n") {
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		n := len(bar.FindAllString(line, -1))
		if columns == 0 {
			columns = n
			tables++
		}
		if n != columns {
			t.Errorf("line %d has %d bars, its table %d: %s", i+1, n, columns, line)
		}
	}
	if tables != w.Tables {
		t.Errorf("%d tables, want %d", tables, w.Tables)
	}
	if n := strings.Count(string(data), ". Runs: [R1](#run-1)"); n < 3 {
		t.Errorf("%d figures name the first run, want those of the suite", n)
	}
	plain := regexp.MustCompile(`<a id="run-\d+"></a>|\(<[^>]*>\)|\\.`).ReplaceAllString(string(data), "")
	if i := strings.IndexAny(plain, "<>`"); i >= 0 {
		t.Errorf("there is markup left: %q", plain[max(0, i-40):min(len(plain), i+40)])
	}
	for _, m := range regexp.MustCompile(`\((report-data/[^)]*)\)`).FindAllStringSubmatch(string(data), -1) {
		if _, err := os.Stat(filepath.Join(dir, "out", m[1])); err != nil {
			t.Error(err)
		}
	}
}

// TestData: the files beside the page can be read, and have numbers as they are.
func TestData(t *testing.T) {
	dir := t.TempDir()
	r := everything(t, dir)
	w, err := r.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	all, err := filepath.Glob(filepath.Join(w.Data, "*.csv"))
	if err != nil || len(all) != w.Tables+w.Figures {
		t.Fatalf("%d files, error %v, want %d", len(all), err, w.Tables+w.Figures)
	}
	for _, path := range all {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := csv.NewReader(bytes.NewReader(data)).ReadAll(); err != nil { // all rows are of one length
			t.Errorf("%s: %v", path, err)
		}
	}
	data, err := os.ReadFile(filepath.Join(w.Data, "static-cr-scores.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := slices.Index(rows[0], "exact")
	if column < 0 || rows[1][column] != "0.047619047619047616" || rows[1][0] != "base" { // 1 of 21
		t.Errorf("rows %q, want 1/21 in the column exact of base", rows[:2])
	}
}

// TestDeterministic: the same input gives the same bytes, in a folder that had
// another report before.
func TestDeterministic(t *testing.T) {
	dir := t.TempDir()
	r := everything(t, dir)
	if _, err := r.Write(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(dir, "b", DataFolder)
	if err := os.MkdirAll(stale, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"old.csv", "old.svg", "mine.txt"} {
		if err := os.WriteFile(filepath.Join(stale, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Title: r.doc.Title, Parameters: 1e8, Names: []string{nasty + "=<i>best</i> | of & all"},
		Audits: []string{filepath.Join(dir, "a<b>.json")}, Grids: []string{filepath.Join(dir, "grid.json")}}
	for _, run := range r.runs {
		if strings.HasPrefix(run.info.Method, "checkpoint:file=") {
			var n int
			fmt.Sscanf(run.info.Method, "checkpoint:file=<%d>", &n)
			o.Scaling = append(o.Scaling, Point{n, run.dir})
		} else {
			o.Runs = append(o.Runs, run.dir)
		}
	}
	for range 2 {
		if _, err := build(t, o).Write(filepath.Join(dir, "b")); err != nil {
			t.Fatal(err)
		}
	}
	a, b := contents(t, filepath.Join(dir, "a")), contents(t, filepath.Join(dir, "b"))
	if _, ok := b[DataFolder+"/mine.txt"]; !ok {
		t.Error("a file of another kind was removed")
	}
	delete(b, DataFolder+"/mine.txt")
	if len(a) != len(b) {
		t.Errorf("%d and %d files", len(a), len(b))
	}
	for name := range a {
		if a[name] != b[name] {
			t.Errorf("%s differs", name)
		}
	}
}

// contents are those of all files below a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		all[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestCommandLine(t *testing.T) {
	got := commandLine([]string{"/opt/bin/code2lora", "bench", "--method", "bm25:k={1,3}", "", "it's"})
	if want := `code2lora bench --method 'bm25:k={1,3}' '' 'it'\''s'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
