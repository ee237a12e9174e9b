package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// markdown writes the document with its figures as links to their files.
func (d *document) markdown(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n", escapeMarkdown(d.Title))
	for _, s := range d.Sections {
		fmt.Fprintf(&b, "\n%s %s\n", strings.Repeat("#", s.Level), escapeMarkdown(s.Title))
		for _, bl := range s.Blocks {
			switch {
			case bl.Table != nil:
				bl.Table.markdown(&b)
			case bl.Figure != nil:
				f := bl.Figure
				caption := escapeMarkdown(f.Caption)
				fmt.Fprintf(&b, "\n![%s](%s/%s.svg)\n\n", caption, DataFolder, f.ID)
				fmt.Fprintf(&b, "%s [CSV](%s/%s.csv). Runs: %s\n", caption, DataFolder, f.ID, runLinks(f.Runs))
			default:
				fmt.Fprintf(&b, "\n%s\n", escapeMarkdown(bl.Text))
			}
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (t *table) markdown(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n%s ([CSV](%s/%s.csv))\n\n|", escapeMarkdown(t.Caption), DataFolder, t.ID)
	line := "|"
	for _, c := range t.Columns {
		fmt.Fprintf(b, " %s |", escapeMarkdown(c.Name))
		if c.Text {
			line += " --- |"
		} else {
			line += " ---: |"
		}
	}
	if t.ShowsRuns() {
		b.WriteString(" run |")
		line += " --- |"
	}
	fmt.Fprintf(b, "\n%s\n", line)
	for _, r := range t.Rows {
		b.WriteString("|")
		for _, c := range r.Cells {
			fmt.Fprintf(b, " %s |", c.markdown())
		}
		if t.ShowsRuns() {
			fmt.Fprintf(b, " %s |", runLinks(r.Runs))
		}
		b.WriteString("\n")
	}
	if len(t.Notes) > 0 {
		b.WriteString("\n")
	}
	for _, n := range t.Notes {
		fmt.Fprintf(b, "- %s\n", escapeMarkdown(n))
	}
}

// ShowsRuns reports whether the table names the runs that its rows are from.
func (t *table) ShowsRuns() bool {
	for _, r := range t.Rows {
		if len(r.Runs) > 0 {
			return true
		}
	}
	return false
}

func (c cell) markdown() string {
	s := escapeMarkdown(c.Text)
	if c.Link != "" {
		s = fmt.Sprintf("[%s](<%s>)", s, c.Link)
	}
	if c.Strong && s != "" {
		s = "**" + s + "**"
	}
	if c.Note != "" {
		s += " " + escapeMarkdown(c.Note)
	}
	if c.Anchor != "" {
		s = fmt.Sprintf(`<a id="%s"></a>%s`, c.Anchor, s)
	}
	return strings.TrimSpace(s)
}

func runLinks(numbers []int) string {
	var all []string
	for _, n := range numbers {
		all = append(all, fmt.Sprintf("[R%d](#run-%[1]d)", n))
	}
	return strings.Join(all, " ")
}

// escapeMarkdown writes text on one line so that nothing in it is markup.
func escapeMarkdown(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			r = ' '
		case strings.ContainsRune("\\`*_[]<>|~&#", r):
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
