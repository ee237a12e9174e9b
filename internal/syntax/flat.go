package syntax

import (
	"bytes"
	"context"
	"fmt"
	"sort"
	"strings"

	sitter "github.com/smacker/go-tree-sitter"
)

// tsx is the name of the grammar of TypeScript with elements of JSX.
const tsx = "tsx"

// flatNode is a node of a syntax tree. A node stands before its children, which
// end where limit says, so that a whole tree is walked by counting.
type flatNode struct {
	kind       string // in the grammar's words
	field      string // the role it has in its parent, or ""
	start, end int
	parent     int // index, or -1
	prev       int // the sibling before, or -1
	limit      int // index behind its last descendant
	named      bool
	broken     bool // this is what the parser couldn't read, or a token that it missed
	hasBroken  bool // it, or something within it, is broken
}

// flat is a syntax tree as plain data.
type flat struct {
	source   []byte
	nodes    []flatNode
	comments []Span
	lines    []int // offsets where the lines begin
	errors   int   // nodes that are broken
}

// parseFlat reads source by one of the grammars.
func parseFlat(grammar string, source []byte) (*flat, error) {
	g, ok := grammars[grammar]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrLanguage, grammar)
	}
	language := g()
	p := sitter.NewParser()
	defer p.Close()
	p.SetLanguage(language)
	p.SetOperationLimit(int(maxTime.Microseconds()))
	parsed, err := p.ParseCtx(context.Background(), nil, source)
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", grammar, err)
	}
	defer parsed.Close()
	t := &flat{source: source, lines: lineStarts(source), nodes: make([]flatNode, 0, len(source)/8)}
	t.fill(parsed.RootNode(), language)
	return t, nil
}

// symbol is what a grammar says about a kind of nodes.
type symbol struct {
	kind  string
	named bool
}

const errorSymbol = sitter.Symbol(^uint16(0)) // ts_builtin_sym_error

// fill copies the nodes. It has a cursor rather than calls itself, since
// hostile source nests deeper than a goroutine should.
func (t *flat) fill(root *sitter.Node, language *sitter.Language) {
	symbols := map[sitter.Symbol]symbol{}
	cursor := sitter.NewTreeCursor(root)
	defer cursor.Close()
	parent, prev := -1, -1
	for {
		n := cursor.CurrentNode()
		id := n.Symbol()
		s, ok := symbols[id]
		if !ok {
			s = symbol{language.SymbolName(id), language.SymbolType(id) == sitter.SymbolTypeRegular}
			if id == errorSymbol {
				s = symbol{"ERROR", true}
			}
			symbols[id] = s
		}
		i := len(t.nodes)
		c := flatNode{kind: s.kind, named: s.named, start: int(n.StartByte()), end: int(n.EndByte()), parent: parent, prev: prev}
		if parent >= 0 {
			c.field = cursor.CurrentFieldName()
		}
		c.broken = id == errorSymbol || c.start == c.end && n.IsMissing()
		c.hasBroken = c.broken
		if c.broken {
			t.errors++
		}
		t.nodes = append(t.nodes, c)
		if strings.HasSuffix(c.kind, "comment") {
			t.comments = append(t.comments, Span{c.start, c.end})
		}
		if cursor.GoToFirstChild() {
			parent, prev = i, -1
			continue
		}
		t.close(i)
		for prev = i; !cursor.GoToNextSibling(); {
			if !cursor.GoToParent() {
				return
			}
			prev = parent
			t.close(prev)
			parent = t.nodes[prev].parent
		}
	}
}

// close ends a node whose descendants are all there.
func (t *flat) close(i int) {
	n := &t.nodes[i]
	n.limit = len(t.nodes)
	if n.hasBroken && n.parent >= 0 {
		t.nodes[n.parent].hasBroken = true
	}
}

// walk visits the nodes from the root on. visit returns the scope of the
// node's children, and whether they can contain anything of interest.
func (t *flat) walk(root scope, visit func(i int, s scope) (scope, bool)) {
	type level struct {
		limit int
		scope
	}
	levels := []level{{len(t.nodes), root}}
	for i := 0; i < len(t.nodes); {
		for levels[len(levels)-1].limit <= i {
			levels = levels[:len(levels)-1]
		}
		inner, enter := visit(i, levels[len(levels)-1].scope)
		limit := t.nodes[i].limit
		if !enter || limit == i+1 {
			i = limit
			continue
		}
		levels = append(levels, level{limit, inner})
		i++
	}
}

// first returns the first child of a node, or -1; -1 has none.
func (t *flat) first(i int) int {
	if i >= 0 && t.nodes[i].limit > i+1 {
		return i + 1
	}
	return -1
}

// next returns the sibling behind a node, or -1.
func (t *flat) next(i int) int {
	n := t.nodes[i]
	if n.parent >= 0 && n.limit < t.nodes[n.parent].limit {
		return n.limit
	}
	return -1
}

// field returns the first child of a node that has a role, or -1.
func (t *flat) field(i int, name string) int {
	for c := t.first(i); c >= 0; c = t.next(c) {
		if t.nodes[c].field == name {
			return c
		}
	}
	return -1
}

// child returns the first child of a kind, or -1.
func (t *flat) child(i int, kind string) int {
	for c := t.first(i); c >= 0; c = t.next(c) {
		if t.nodes[c].kind == kind {
			return c
		}
	}
	return -1
}

// named returns the named children that aren't comments.
func (t *flat) named(i int) []int {
	var out []int
	for c := t.first(i); c >= 0; c = t.next(c) {
		if n := &t.nodes[c]; n.named && !strings.HasSuffix(n.kind, "comment") {
			out = append(out, c)
		}
	}
	return out
}

func (t *flat) kind(i int) string {
	if i < 0 {
		return ""
	}
	return t.nodes[i].kind
}

// bytes is the text of a node; -1 has none.
func (t *flat) bytes(i int) []byte {
	if i < 0 {
		return nil
	}
	return t.source[t.nodes[i].start:t.nodes[i].end]
}

// text is a copy of the text of a node; -1 has none.
func (t *flat) text(i int) string { return string(t.bytes(i)) }

// span is the extent of a node; -1 has none.
func (t *flat) span(i int) Span {
	if i < 0 {
		return Span{}
	}
	return Span{t.nodes[i].start, t.nodes[i].end}
}

// line returns the line that a node begins on.
func (t *flat) line(i int) int { return lineOf(t.lines, t.nodes[i].start) }

// endLine returns the line of the node's last byte.
func (t *flat) endLine(i int) int {
	n := &t.nodes[i]
	return lineOf(t.lines, max(n.start, n.end-1))
}

// lineStarts returns the offsets where lines begin.
func lineStarts(source []byte) []int {
	starts := make([]int, 1, bytes.Count(source, []byte{'\n'})+1)
	for i, c := range source {
		if c == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// lineOf returns the line of an offset, 1-based.
func lineOf(starts []int, offset int) int {
	return sort.Search(len(starts), func(i int) bool { return starts[i] > offset })
}
