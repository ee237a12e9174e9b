package syntax

import (
	"bytes"
	"cmp"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// scope is what the walk knows at a node.
type scope struct {
	function, class int  // innermost definitions, or None
	parent          int  // the innermost of the two
	statement       int  // the innermost statement of a block, within parent; or -1
	decoratorLine   int  // for a child of decorated_definition: its line; else 0
	ofDefinition    bool // the node is a child of a definition: its name, its block
	body            bool // the node's children are statements of parent's body
	direct          bool // the node is such a statement
	broken          bool // inside of what the parser couldn't read
}

// module is the scope of the root.
var module = scope{function: None, class: None, parent: None, statement: -1}

// within returns the scope inside of a definition that is being added.
func (w *walker) within(s scope, class bool) scope {
	inner := scope{function: s.function, class: s.class, statement: -1, broken: s.broken, ofDefinition: true}
	inner.parent = len(w.out.Definitions)
	if class {
		inner.class = inner.parent
	} else {
		inner.function = inner.parent
	}
	return inner
}

// walker collects an Outline from a syntax tree.
type walker struct {
	*flat
	out *Outline
}

// addCall records a call of what stands at a name, whose arguments end at end.
// It does so within functions only.
func (w *walker) addCall(s scope, call, name, receiver, end int) {
	if s.function == None || s.statement < 0 {
		return
	}
	c := CallSite{Name: w.text(name), Start: w.nodes[name].start, End: end, Function: s.function, Class: s.class}
	c.From, c.Line = w.nodes[s.statement].start, w.line(s.statement)
	if receiver >= 0 {
		c.Receiver = shorten(w.bytes(receiver))
	}
	if s.broken || w.nodes[call].hasBroken {
		c.Flaw = Broken
	}
	w.out.Calls = append(w.out.Calls, c)
}

// shorten returns at most the last MaxReceiver bytes of a text.
func shorten(text []byte) string {
	if cut := len(text) - MaxReceiver; cut > 0 {
		for cut < len(text) && !utf8.RuneStart(text[cut]) {
			cut++
		}
		text = text[cut:]
	}
	return string(text)
}

// clip returns at most the first MaxReceiver bytes of what serves as a name.
// Only titles and computed names are longer; these may nest.
func clip(text []byte) string {
	if len(text) > MaxReceiver {
		cut := MaxReceiver
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut]
	}
	return string(text)
}

// blanks may stand before and behind what is on a line.
const blanks = " \t\f\v\r"

// addStatement records the line of a statement that has no head and block.
func (w *walker) addStatement(s scope, i int) { w.addLine(s, i, w.codeEnd(i)) }

// addLine records the line that a statement begins on, if the statement ends
// there, or its head does, which ends at head.
func (w *walker) addLine(s scope, i, head int) {
	n := &w.nodes[i]
	if s.function == None || s.parent != s.function || s.broken || w.brokenBefore(i, head) {
		return
	}
	line := w.line(i)
	from, to := lineExtent(w.source, w.lines, line)
	if head > to || len(bytes.Trim(w.source[from:n.start], blanks)) > 0 {
		return
	}
	end := head
	if codeEnd := w.codeEnd(i); codeEnd <= to {
		if end = codeEnd; n.hasBroken {
			return
		}
		for next := w.next(i); next >= 0 && w.nodes[next].start < to; next = w.next(next) { // other statements on the line
			switch c := &w.nodes[next]; {
			case strings.HasSuffix(c.kind, "comment"):
			case w.codeEnd(next) > to || c.hasBroken || !c.named && c.kind != ";":
				return
			default:
				end = w.codeEnd(next)
			}
		}
	}
	if to, ok := w.lineEnd(end, to); ok {
		text := bytes.TrimRight(w.source[n.start:to], blanks)
		w.out.Lines = append(w.out.Lines, LineSite{Start: n.start, End: n.start + len(text), Line: line, Function: s.function, Class: s.class})
	}
}

// codeEnd returns where a node ends without comments behind it, which are in a
// statement of JavaScript that has no semicolon.
func (w *walker) codeEnd(i int) int {
	end := w.nodes[i].end
	for c := w.first(i); c >= 0; c = w.next(c) {
		if !strings.HasSuffix(w.nodes[c].kind, "comment") {
			end = w.nodes[c].end
		}
	}
	return end
}

// brokenBefore tells whether a child of a node that begins before an offset is
// broken.
func (w *walker) brokenBefore(i, offset int) bool {
	if !w.nodes[i].hasBroken {
		return false
	}
	for c := w.first(i); c >= 0 && w.nodes[c].start < offset; c = w.next(c) {
		if w.nodes[c].hasBroken {
			return true
		}
	}
	return w.nodes[i].broken
}

// lineEnd returns where the rest of a line ends, which goes from an offset to
// another: at a comment, or at its end. It isn't ok when there is something
// else before.
func (w *walker) lineEnd(from, to int) (end int, ok bool) {
	i := sort.Search(len(w.comments), func(i int) bool { return w.comments[i].Start >= from })
	if i < len(w.comments) && w.comments[i].Start < to {
		to = w.comments[i].Start
	}
	rest := bytes.Trim(w.source[from:to], blanks)
	return to, len(rest) == 0 || string(rest) == ";"
}

// lineExtent returns the extent of a line without its end.
func lineExtent(source []byte, lines []int, line int) (from, to int) {
	from, to = lines[line-1], len(source)
	if line < len(lines) {
		to = lines[line] - 1
	}
	return from, to
}

// docAbove returns the extent of the comments that end on the line above an
// offset, and begin on a line of their own.
func (w *walker) docAbove(offset int) Span {
	var doc Span
	i := sort.Search(len(w.comments), func(i int) bool { return w.comments[i].End > offset })
	for i--; i >= 0; i-- {
		c := w.comments[i]
		if c.End > offset {
			break // a comment that contains another
		}
		between := w.source[c.End:offset]
		if len(between) > 1<<10 || bytes.Count(between, []byte{'\n'}) != 1 || len(bytes.Trim(between, blanks+"\n")) > 0 {
			break
		}
		from, _ := lineExtent(w.source, w.lines, lineOf(w.lines, c.Start))
		if len(bytes.Trim(w.source[from:c.Start], blanks+"\ufeff")) > 0 {
			break
		}
		if doc.End == 0 {
			doc.End = c.End
		}
		doc.Start, offset = c.Start, c.Start
	}
	return doc
}

// sort puts all that was found in order.
func (o *Outline) sort() {
	slices.SortStableFunc(o.Sites, func(a, b Site) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End), cmp.Compare(a.From, b.From))
	})
	slices.SortStableFunc(o.Calls, func(a, b CallSite) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End))
	})
	slices.SortStableFunc(o.Lines, func(a, b LineSite) int { return cmp.Compare(a.Start, b.Start) })
}
