package syntax

import (
	"bytes"
	"strings"
)

// What the languages with braces have in common.

// isBranch tells whether a node is a statement without braces around it, which
// an if or a loop has for its body.
func (w *walker) isBranch(i int) bool {
	n := &w.nodes[i]
	if !strings.HasSuffix(n.kind, "_statement") {
		return false
	}
	parent := w.kind(n.parent)
	return parent == "else_clause" || strings.HasSuffix(parent, "_statement") &&
		(n.field == "body" || n.field == "consequence" || n.field == "alternative")
}

// compound records the line of a statement that has others within, as its
// role body or consequence.
func (w *walker) compound(s scope, i int) {
	body := w.field(i, "body")
	if body < 0 {
		body = w.field(i, "consequence")
	}
	if body < 0 {
		return
	}
	b := &w.nodes[body]
	switch {
	case w.endLine(body) == w.line(i): // if (x) y();
		w.addLine(s, i, b.end)
	case b.end > b.start && w.source[b.start] == '{': // if (x) {
		w.addLine(s, i, b.start+1)
	default: // if (x)
		if before := b.prev; before >= 0 {
			w.addLine(s, i, w.nodes[before].end)
		}
	}
}

// label records the line of a case of a switch. That of the default case is
// as little worth asking for as "else".
func (w *walker) label(s scope, i int) {
	if bytes.HasPrefix(w.bytes(i), []byte("default")) {
		return
	}
	if colon := w.child(i, ":"); colon >= 0 {
		w.addLine(s, i, w.nodes[colon].end)
	}
}

// define adds a definition, of which the caller knows the name and nature, the
// extent, and the body if it has one. What precedes it (decorators, "export")
// begins at above. It returns the scope inside.
func (w *walker) define(d Definition, s scope, above int) scope {
	d.Line, d.EndLine = lineOf(w.lines, d.Start), lineOf(w.lines, max(d.Start, d.End-1))
	if d.DecoratorLine == 0 {
		d.DecoratorLine = d.Line
	}
	d.Parent, d.Direct = s.parent, s.direct
	d.Signature = Span{d.Start, d.End}
	if d.Body.End > 0 {
		head := bytes.TrimRight(w.source[d.Start:max(d.Start, d.Body.Start)], blanks+"\n")
		d.Signature.End = d.Start + len(head)
	}
	d.Doc = w.docAbove(above)
	inner := w.within(s, d.Class)
	w.out.Definitions = append(w.out.Definitions, d)
	return inner
}

// comparison returns the right-hand side of a comparison, in parentheses or
// not, or -1.
func (w *walker) comparison(i int) int {
	for i >= 0 && w.kind(i) == "parenthesized_expression" {
		i = w.withoutComments(i, 0)
	}
	switch w.kind(i) {
	case "binary_expression", "instanceof_expression":
	default:
		return -1
	}
	switch w.kind(w.field(i, "operator")) {
	case "==", "!=", "===", "!==", "<", ">", "<=", ">=", "in", "instanceof":
		return w.field(i, "right")
	}
	return -1
}

// aimComparison sets the target of a site to the right-hand side of the
// comparison that it asserts.
func (w *walker) aimComparison(site *Site, i int) {
	if site.Flaw != "" {
		return
	}
	if right := w.comparison(i); right >= 0 {
		w.aim(site, right, right)
		return
	}
	site.Flaw = NoComparison
}

// withoutImports leaves out the lines that imports begin on.
func (o *Outline) withoutImports() {
	if len(o.Imports) == 0 {
		return
	}
	at := map[int]bool{}
	for _, i := range o.Imports {
		at[i.Start] = true
	}
	lines := o.Lines[:0]
	for _, l := range o.Lines {
		if !at[l.Start] {
			lines = append(lines, l)
		}
	}
	o.Lines = lines
}
