package syntax

import (
	"cmp"
	"slices"

	sitter "github.com/smacker/go-tree-sitter"
)

// scope is what the walk knows at a node.
type scope struct {
	function, class int  // innermost definitions, or None
	parent          int  // the innermost of the two
	decoratorLine   int  // for a child of decorated_definition: its line; else 0
	ofDefinition    bool // the node is a child of a definition: its name, its block
	body            bool // the node's children are statements of parent's body
	direct          bool // the node is such a statement
	broken          bool // inside of what the parser couldn't read
}

// walker collects a File from a syntax tree. It has a stack of its own, since
// hostile source nests deeper than a goroutine should.
type walker struct {
	source []byte
	file   *File
	scopes []scope
}

func (w *walker) walk(root *sitter.Node) {
	cursor := sitter.NewTreeCursor(root)
	defer cursor.Close()
	w.scopes = []scope{{function: None, class: None, parent: None}}
	for {
		inner, enter := w.visit(cursor.CurrentNode(), w.scopes[len(w.scopes)-1])
		if enter && cursor.GoToFirstChild() {
			w.scopes = append(w.scopes, inner)
			continue
		}
		for !cursor.GoToNextSibling() {
			if !cursor.GoToParent() {
				w.finish()
				return
			}
			w.scopes = w.scopes[:len(w.scopes)-1]
		}
	}
}

// visit records what a node is. It returns the scope of the node's children,
// and whether they can contain anything of interest.
func (w *walker) visit(n *sitter.Node, s scope) (scope, bool) {
	s.direct, s.body = s.body, false
	decoratorLine, ofDefinition := s.decoratorLine, s.ofDefinition
	s.decoratorLine, s.ofDefinition = 0, false
	if n.IsError() || n.IsMissing() {
		w.file.Errors++
		s.broken = true
		return s, true
	}
	if !n.IsNamed() {
		return s, false
	}
	kind := n.Type()
	if s.direct && (s.parent == None || w.file.Definitions[s.parent].Class) {
		w.statement(n, kind, s.parent)
	}
	switch kind {
	case "module":
		s.body = true
	case "block":
		s.body = ofDefinition // and not of an "if"
	case "decorated_definition":
		s.decoratorLine = line(n)
		s.body = s.direct // the definition within is as direct as this
	case "function_definition", "class_definition":
		return w.definition(n, kind, s, decoratorLine), true
	case "assert_statement":
		w.assertStatement(n, s)
	case "call":
		w.call(n, s)
	case "identifier", "string", "comment", "integer", "float", "import_statement",
		"import_from_statement", "future_import_statement":
		return s, false
	}
	return s, true
}

// definition records a function or class, and returns the scope inside it.
func (w *walker) definition(n *sitter.Node, kind string, s scope, decoratorLine int) scope {
	d := Definition{
		Class: kind == "class_definition",
		Start: int(n.StartByte()), End: int(n.EndByte()),
		Line: line(n), EndLine: endLine(n),
		DecoratorLine: line(n),
		Parent:        s.parent,
		Direct:        s.direct,
	}
	if decoratorLine > 0 {
		d.DecoratorLine = decoratorLine
	}
	if name := n.ChildByFieldName("name"); name != nil {
		d.Name = name.Content(w.source)
	}
	inner := scope{function: s.function, class: s.class, broken: s.broken, ofDefinition: true}
	inner.parent = len(w.file.Definitions)
	if d.Class {
		inner.class = inner.parent
	} else {
		inner.function = inner.parent
	}
	w.file.Definitions = append(w.file.Definitions, d)
	return inner
}

func (w *walker) statement(n *sitter.Node, kind string, parent int) {
	s := Statement{
		Kind:  Other,
		Start: int(n.StartByte()), End: int(n.EndByte()),
		Line: line(n), EndLine: endLine(n),
		Parent: parent,
	}
	switch kind {
	case "comment", "decorator":
		return
	case "import_statement", "import_from_statement", "future_import_statement":
		s.Kind = Import
	case "function_definition", "class_definition":
		if last := len(w.file.Statements) - 1; last >= 0 && s.End == w.file.Statements[last].End {
			return // the definition of a decorated_definition, recorded already
		}
		s.Kind = Defines
	case "decorated_definition":
		s.Kind = Defines
	case "expression_statement":
		s.Kind = Expression
		if first := n.NamedChild(0); first != nil && n.NamedChildCount() == 1 {
			switch first.Type() {
			case "assignment", "augmented_assignment":
				s.Kind = Assignment
			case "string", "concatenated_string":
				s.Kind = String
			}
		}
	}
	w.file.Statements = append(w.file.Statements, s)
}

// finish puts the sites in order.
func (w *walker) finish() {
	slices.SortStableFunc(w.file.Sites, func(a, b Site) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End), cmp.Compare(a.From, b.From))
	})
}

func line(n *sitter.Node) int { return int(n.StartPoint().Row) + 1 }

// endLine returns the line of the node's last byte.
func endLine(n *sitter.Node) int {
	end := n.EndPoint()
	if end.Column == 0 && n.EndByte() > n.StartByte() {
		return int(end.Row) // the node ends with a newline
	}
	return int(end.Row) + 1
}
