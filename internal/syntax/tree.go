package syntax

import (
	"context"
	"fmt"
	"strconv"

	sitter "github.com/smacker/go-tree-sitter"
	"github.com/smacker/go-tree-sitter/golang"
	"github.com/smacker/go-tree-sitter/java"
	"github.com/smacker/go-tree-sitter/javascript"
	"github.com/smacker/go-tree-sitter/python"
	typescripttsx "github.com/smacker/go-tree-sitter/typescript/tsx"
	"github.com/smacker/go-tree-sitter/typescript/typescript"
)

// grammars are those of tree-sitter. That of Go is for trees only: outlines of
// Go come from go/parser.
var grammars = map[string]func() *sitter.Language{
	"go":         golang.GetLanguage,
	"java":       java.GetLanguage,
	"javascript": javascript.GetLanguage,
	"python":     python.GetLanguage,
	"typescript": typescript.GetLanguage,
	tsx:          typescripttsx.GetLanguage,
}

// Tree is the concrete syntax tree of a text, with every token, as the
// grammar has it. What a file contains is better asked of its outline; a Tree
// is for metrics that compare trees.
type Tree struct {
	Source []byte
	// Nodes has the root first, and each node before those within it.
	Nodes []Node
	Depth int // of the deepest node; that of the root is 1
}

// Node is a node of a [Tree].
type Node struct {
	Kind       string // in the grammar's words; of a token of its own: its text
	Field      string // the role it has in its parent, or ""
	Named      bool   // it has a rule of the grammar, and is not just a token like "("
	Missing    bool   // the parser put it in to go on
	Error      bool   // the parser couldn't read it
	Start, End int    // extent in bytes
	Parent     int    // index in Nodes, or -1
	Children   []int  // indices in Nodes, with comments

	print string // of an unreadable token: how tree-sitter prints it
}

// Text returns what a node covers.
func (t *Tree) Text(i int) string { return string(t.Source[t.Nodes[i].Start:t.Nodes[i].End]) }

// Child returns the first child of node i in a field, or -1.
func (t *Tree) Child(i int, field string) int {
	for _, c := range t.Nodes[i].Children {
		if t.Nodes[c].Field == field {
			return c
		}
	}
	return -1
}

// HasErrors reports whether the parser met with anything that it couldn't
// read, or had to put in.
func (t *Tree) HasErrors() bool {
	for i := range t.Nodes {
		if t.Nodes[i].Error || t.Nodes[i].Missing {
			return true
		}
	}
	return false
}

// ParseTree reads a text in one of the languages go, java, javascript, python,
// typescript and tsx. Text with errors has a tree too, with nodes that say so.
func ParseTree(language string, source []byte) (*Tree, error) {
	g, ok := grammars[language]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrLanguage, language)
	}
	if len(source) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(source), MaxBytes)
	}
	p := sitter.NewParser()
	defer p.Close()
	p.SetLanguage(g())
	p.SetOperationLimit(int(maxTime.Microseconds()))
	parsed, err := p.ParseCtx(context.Background(), nil, source)
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", language, err)
	}
	defer parsed.Close()
	t := &Tree{Source: source}
	t.copy(parsed.RootNode())
	return t, nil
}

// copy fills the nodes, with a cursor rather than by recursion, since hostile
// text nests deeper than a goroutine should.
func (t *Tree) copy(root *sitter.Node) {
	cursor := sitter.NewTreeCursor(root)
	defer cursor.Close()
	parent, depth := -1, 1
	for {
		i := t.add(cursor, parent)
		t.Depth = max(t.Depth, depth)
		if cursor.GoToFirstChild() {
			parent, depth = i, depth+1
			continue
		}
		if n := &t.Nodes[i]; n.Error && n.End > n.Start {
			n.print = cursor.CurrentNode().String()
		}
		for !cursor.GoToNextSibling() {
			if !cursor.GoToParent() {
				return
			}
			parent, depth = t.Nodes[parent].Parent, depth-1
		}
	}
}

// add appends the node at the cursor, and returns its index.
func (t *Tree) add(cursor *sitter.TreeCursor, parent int) int {
	n := cursor.CurrentNode()
	c := Node{
		Kind: n.Type(), Named: n.IsNamed(), Missing: n.IsMissing(), Error: n.IsError(),
		Start: int(n.StartByte()), End: int(n.EndByte()), Parent: parent,
	}
	i := len(t.Nodes)
	if parent >= 0 {
		c.Field = cursor.CurrentFieldName()
		t.Nodes[parent].Children = append(t.Nodes[parent].Children, i)
	}
	t.Nodes = append(t.Nodes, c)
	return i
}

// Shapes numbers the forms of subtrees. Trees that share one can be compared.
type Shapes map[string]int

// Of returns a number for each node of t: two nodes have the same one just
// when tree-sitter prints the same S-expression for both, which has the named
// nodes and their fields but no text.
func (s Shapes) Of(t *Tree) []int {
	shapes := make([]int, len(t.Nodes))
	inner := make([]string, len(t.Nodes)) // what is printed within each node
	for i := len(t.Nodes) - 1; i >= 0; i-- {
		n := &t.Nodes[i]
		var key []byte
		for _, c := range n.Children {
			key = t.printed(key, c, shapes, inner)
		}
		inner[i] = string(key)
		shapes[i] = s.number(t.head(i) + inner[i])
		// What is within the children is in the numbers now.
		for _, c := range n.Children {
			inner[c] = ""
		}
	}
	return shapes
}

// head is what is printed of a node apart from what is within it.
func (t *Tree) head(i int) string {
	n := &t.Nodes[i]
	switch {
	case n.print != "":
		return n.print
	case n.Missing && n.Named:
		return "(MISSING " + n.Kind
	case n.Missing:
		return "(MISSING " + strconv.Quote(n.Kind)
	case !n.Named && len(n.Children) == 0:
		return "(" + strconv.Quote(n.Kind)
	}
	return "(" + n.Kind
}

// printed appends what of a child is printed: its field and number, and of a
// token that has no name nothing but what is within it.
func (t *Tree) printed(key []byte, c int, shapes []int, inner []string) []byte {
	n := &t.Nodes[c]
	if !n.Named && !n.Missing {
		return append(key, inner[c]...)
	}
	key = append(key, ' ')
	if n.Field != "" {
		key = append(append(key, n.Field...), ':')
	}
	return strconv.AppendInt(append(key, '#'), int64(shapes[c]), 10)
}

func (s Shapes) number(key string) int {
	n, ok := s[key]
	if !ok {
		n = len(s)
		s[key] = n
	}
	return n
}
