package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/store"
)

// The files of a report in its folder.
const (
	HTMLFile     = "report.html"
	MarkdownFile = "report.md"
	// DataFolder has ID.csv for each table and figure, ID.svg for each figure, and
	// ID.json for those that are a [Distances]. It belongs to the report: other
	// files with these endings in it are removed.
	DataFolder = "report-data"
)

// Written says what Write has written.
type Written struct {
	HTML     string `json:"html"`
	Markdown string `json:"markdown"`
	Data     string `json:"data"` // folder
	Tables   int    `json:"tables"`
	Figures  int    `json:"figures"`
	Runs     int    `json:"runs"`
}

// Write writes the report into a folder, which is made if it isn't there.
func (r *Report) Write(dir string) (*Written, error) {
	data := filepath.Join(dir, DataFolder)
	if err := os.MkdirAll(data, 0o777); err != nil {
		return nil, err
	}
	if err := r.link(dir); err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	w := &Written{HTML: filepath.Join(dir, HTMLFile), Markdown: filepath.Join(dir, MarkdownFile), Data: data, Runs: len(r.runs)}
	for _, s := range r.doc.Sections {
		for _, b := range s.Blocks {
			var err error
			switch {
			case b.Table != nil:
				w.Tables++
				files[b.Table.ID+".csv"], err = b.Table.csv()
			case b.Figure != nil:
				w.Figures++
				files[b.Figure.ID+".svg"] = b.Figure.SVG
				files[b.Figure.ID+".csv"], err = encodeCSV(b.Figure.Header, b.Figure.Data)
				if err == nil && b.Figure.JSON != nil {
					files[b.Figure.ID+".json"], err = json.MarshalIndent(b.Figure.JSON, "", "  ")
				}
			}
			if err != nil {
				return nil, err
			}
		}
	}
	for name, content := range files {
		if err := writeFile(filepath.Join(data, name), content); err != nil {
			return nil, err
		}
	}
	var page, text bytes.Buffer
	if err := errors.Join(r.doc.html(&page), r.doc.markdown(&text)); err != nil {
		return nil, err
	}
	if err := errors.Join(writeFile(w.HTML, page.Bytes()), writeFile(w.Markdown, text.Bytes())); err != nil {
		return nil, err
	}
	return w, removeOthers(data, files)
}

func writeFile(path string, content []byte) error {
	return store.WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// removeOthers removes what an earlier report has left in its folder.
func removeOthers(dir string, keep map[string][]byte) error {
	all, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range all {
		ext := filepath.Ext(f.Name())
		if _, ok := keep[f.Name()]; !ok && f.Type().IsRegular() && slices.Contains([]string{".csv", ".svg", ".json"}, ext) {
			if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// link shows the paths in tables relative to the report's folder.
func (r *Report) link(dir string) error {
	from, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for _, s := range r.doc.Sections {
		for _, b := range s.Blocks {
			if b.Table == nil {
				continue
			}
			for _, row := range b.Table.Rows {
				for i := range row.Cells {
					if err := row.Cells[i].link(from); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

func (c *cell) link(from string) error {
	if c.Path == "" {
		return nil
	}
	to, err := filepath.Abs(c.Path)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(from, to)
	if err != nil { // on another volume
		rel = filepath.Base(to)
	}
	c.Text = filepath.ToSlash(rel)
	c.Link = escapePath(c.Text + c.In)
	return nil
}

// escapePath makes a relative reference of a path.
func escapePath(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	if strings.Contains(parts[0], ":") {
		return "./" + strings.Join(parts, "/") // no scheme
	}
	return strings.Join(parts, "/")
}
