package report

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// document is a report before it is written: sections of text, tables and
// figures in the order in which they are read.
type document struct {
	Title    string
	Sections []*section
	ids      map[string]bool
}

type section struct {
	ID, Title string
	Level     int // 2 to 4, of its heading
	Blocks    []block
}

// block is one of its fields.
type block struct {
	Text   string
	Table  *table
	Figure *drawing
}

// table is a table, of which the file ID.csv has the numbers.
type table struct {
	ID, Caption string
	Columns     []column
	Rows        []tableRow
	Notes       []string
	Folded      bool // behind its caption, where the medium can
}

// column is a column of a table, and one or more of its CSV file.
type column struct {
	Name string
	Text bool     // aligned left
	CSV  []string // names of the columns of the CSV file; none: Name
}

type tableRow struct {
	Cells []cell
	Runs  []int // that it is from, numbers
}

// cell has what is shown, and what the CSV file has in its place: a string or
// number for each CSV column, or nothing for the text itself.
type cell struct {
	Text   string
	Note   string // behind the text, smaller
	Values []any
	Strong bool
	Anchor string // that others refer to
	// Path is that of a file or folder, which Write shows relative to the report
	// in place of Text, with a link to Path + In.
	Path, In string
	Link     string // set by Write
}

// drawing is a figure, of which the file ID.svg has the picture, ID.csv the data,
// and ID.json the JSON, if there is any.
type drawing struct {
	ID, Caption string
	SVG         []byte
	Header      []string
	Data        [][]any
	Runs        []int
	JSON        any
}

// section begins a section.
func (d *document) section(level int, id, title string) {
	d.Sections = append(d.Sections, &section{ID: d.unique(id), Title: title, Level: level})
}

func (d *document) last() *section { return d.Sections[len(d.Sections)-1] }

func (d *document) text(format string, args ...any) {
	d.last().Blocks = append(d.last().Blocks, block{Text: fmt.Sprintf(format, args...)})
}

func (d *document) table(t *table) {
	t.ID = d.unique(t.ID)
	d.last().Blocks = append(d.last().Blocks, block{Table: t})
}

func (d *document) figure(f *drawing) {
	f.ID = d.unique(f.ID)
	d.last().Blocks = append(d.last().Blocks, block{Figure: f})
}

// unique returns an id that nothing else in the document has. They name files.
func (d *document) unique(id string) string {
	if d.ids == nil {
		d.ids = map[string]bool{}
	}
	for i, base := 2, id; d.ids[id]; i++ {
		id = fmt.Sprintf("%s-%d", base, i)
	}
	d.ids[id] = true
	return id
}

// csv returns the content of the table's file.
func (t *table) csv() ([]byte, error) {
	var header []string
	for _, c := range t.Columns {
		if len(c.CSV) == 0 {
			header = append(header, c.Name)
		}
		header = append(header, c.CSV...)
	}
	header = append(header, "runs")
	var rows [][]any
	for _, r := range t.Rows {
		var row []any
		for i, c := range r.Cells {
			want := max(len(t.Columns[i].CSV), 1)
			vs := slices.Clone(c.Values)
			if len(vs) == 0 && want == 1 {
				vs = []any{c.Text}
			}
			for len(vs) < want {
				vs = append(vs, "")
			}
			row = append(row, vs...)
		}
		rows = append(rows, append(row, runNames(r.Runs)))
	}
	return encodeCSV(header, rows)
}

// runNames writes the numbers of runs as tables do.
func runNames(numbers []int) string {
	s := ""
	for i, n := range numbers {
		if i > 0 {
			s += " "
		}
		s += fmt.Sprintf("R%d", n)
	}
	return s
}

// encodeCSV writes strings and numbers; what is not known is empty.
func encodeCSV(header []string, rows [][]any) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.Write(header); err != nil {
		return nil, err
	}
	for _, row := range rows {
		record := make([]string, len(row))
		for i, v := range row {
			switch v := v.(type) {
			case float64:
				if !math.IsNaN(v) && !math.IsInf(v, 0) {
					record[i] = strconv.FormatFloat(v, 'g', -1, 64)
				}
			default:
				record[i] = fmt.Sprint(v)
			}
		}
		if err := w.Write(record); err != nil {
			return nil, err
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}
