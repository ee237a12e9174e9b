package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

//go:embed report.html.tmpl
var pageText string

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"picture": picture,
	"heading": func(level int, id, title string) template.HTML {
		return template.HTML(fmt.Sprintf(`<h%d id="%s">%s</h%[1]d>`, level, template.HTMLEscapeString(id), template.HTMLEscapeString(title)))
	},
	"data": func(id, suffix string) string { return DataFolder + "/" + id + suffix },
}).Parse(pageText))

// html writes the document as one page.
func (d *document) html(w io.Writer) error { return page.Execute(w, d) }

// picture makes a drawing part of the page: without the declaration that only
// a file of its own may begin with. The drawing is ours, and its texts are
// escaped by who drew it.
func picture(svg []byte) (template.HTML, error) {
	i := bytes.Index(svg, []byte("<svg"))
	if i < 0 {
		return "", fmt.Errorf("a drawing of %d bytes has no svg element", len(svg))
	}
	return template.HTML(svg[i:]), nil
}
