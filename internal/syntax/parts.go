package syntax

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// Parts is an assertion of Python taken apart, for those who lay it out anew.
// Expressions are without the parentheses around them, as in Python's own tree.
type Parts struct {
	// Kind is the family, as in [Site].
	Kind string
	// Span is the assert statement, or the call.
	Span
	// Whole is all that a bare assert asserts, without its message.
	Whole Span
	// Left, Operators and Right are the comparison of a bare assert: one more
	// expression than operators, Left and then Right. No operators: it is none.
	Left      Span
	Operators []string
	Right     []Span
	// Callee and the arguments of a call. A keyword of **x has no name.
	Callee     Span
	Positional []Span
	Keywords   []Keyword
	Function   int // innermost definitions around it, or None
	Class      int
	// Depth is the depth in the tree that Python's ast module makes. Walking by
	// depth, and within a depth by Start, is the order of ast.walk; where
	// expressions nest in unusual ways it is approximate.
	Depth int
}

// Keyword is an argument with a name.
type Keyword struct {
	Name  string
	Value Span
}

// AssertionParts returns the assertions of Python source by the rules of the
// paper's extractors, in the order of ast.walk, and the outline of the source.
// Assertions of which a part could not be read are left out.
func AssertionParts(source []byte) ([]Parts, *Outline, error) {
	if len(source) > MaxBytes {
		return nil, nil, ErrTooLarge
	}
	t, err := parseFlat("python", source)
	if err != nil {
		return nil, nil, err
	}
	o := pythonOutline(t)
	o.Language, o.Errors = "python", t.errors
	depths := t.pythonDepths()
	var all []Parts
	for i := range t.nodes {
		n := &t.nodes[i]
		if n.hasBroken {
			continue
		}
		var p Parts
		ok := false
		switch n.kind {
		case "assert_statement":
			p, ok = t.assertParts(i)
		case "call":
			p, ok = t.callParts(i)
		}
		if ok {
			p.Span, p.Depth = t.span(i), depths[i]
			p.Function, p.Class = o.around(n.start)
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b Parts) int { return cmp.Or(cmp.Compare(a.Depth, b.Depth), cmp.Compare(a.Start, b.Start)) })
	return all, o, nil
}

// around returns the innermost function and class around an offset.
func (o *Outline) around(offset int) (function, class int) {
	function, class = None, None
	for i, d := range o.Definitions { // outer ones come first
		if d.Start > offset || offset >= d.End {
			continue
		}
		if d.Class {
			class = i
		} else {
			function = i
		}
	}
	return function, class
}

// bare returns the expression within parentheses.
func (t *flat) bare(i int) int {
	for i >= 0 && t.kind(i) == "parenthesized_expression" {
		inner := t.named(i)
		if len(inner) != 1 {
			return i
		}
		i = inner[0]
	}
	return i
}

func (t *flat) assertParts(i int) (Parts, bool) {
	children := t.named(i)
	if len(children) == 0 {
		return Parts{}, false
	}
	test := t.bare(children[0])
	p := Parts{Kind: "assert", Whole: t.span(test)}
	if t.kind(test) != "comparison_operator" {
		return p, true
	}
	first := true
	for c := t.first(test); c >= 0; c = t.next(c) {
		switch n := &t.nodes[c]; {
		case strings.HasSuffix(n.kind, "comment"):
		case !n.named:
			// "not" and "in" may come as two tokens
			if word := t.text(c); len(p.Operators) > len(p.Right) {
				p.Operators[len(p.Operators)-1] += " " + word
			} else {
				p.Operators = append(p.Operators, strings.Join(strings.Fields(word), " "))
			}
		case first:
			p.Left, first = t.span(t.bare(c)), false
		default:
			p.Right = append(p.Right, t.span(t.bare(c)))
		}
	}
	return p, len(p.Right) > 0 && len(p.Right) == len(p.Operators)
}

// callParts takes a call apart if it is an assertion: a method of unittest on
// self, pytest.raises or pytest.approx, or a name that begins with "assert_",
// which isn't an attribute of something that ends in ".mock" or is "mock".
func (t *flat) callParts(i int) (Parts, bool) {
	callee := t.field(i, "function")
	if callee < 0 {
		return Parts{}, false
	}
	p := Parts{Callee: t.span(callee)}
	name, receiver := "", []byte(nil)
	switch t.kind(callee) {
	case "identifier":
		name = t.text(callee)
	case "attribute":
		object, attribute := t.field(callee, "object"), t.field(callee, "attribute")
		if object < 0 || attribute < 0 {
			return p, false
		}
		name, receiver = t.text(attribute), t.bytes(object)
	default:
		return p, false
	}
	_, method := paperMethods[name]
	switch {
	case string(receiver) == "self" && method:
		p.Kind = "self." + name
	case string(receiver) == "pytest" && (name == "raises" || name == "approx"):
		p.Kind = "pytest." + name
	case strings.HasPrefix(name, "assert_") && name != "assert_" && !bytes.HasSuffix(receiver, []byte(".mock")):
		p.Kind = "assert_*"
	default:
		return p, false
	}
	list := t.field(i, "arguments")
	if t.kind(list) == "generator_expression" {
		p.Positional = []Span{t.span(list)}
		return p, true
	}
	if list < 0 {
		return p, false
	}
	for _, c := range t.named(list) {
		switch t.kind(c) {
		case "keyword_argument":
			name, value := t.field(c, "name"), t.field(c, "value")
			if name < 0 || value < 0 {
				return p, false
			}
			p.Keywords = append(p.Keywords, Keyword{t.text(name), t.span(t.bare(value))})
		case "dictionary_splat":
			if inner := t.named(c); len(inner) == 1 {
				p.Keywords = append(p.Keywords, Keyword{"", t.span(t.bare(inner[0]))})
			}
		default:
			p.Positional = append(p.Positional, t.span(t.bare(c)))
		}
	}
	return p, true
}

// paperMethods are the methods of unittest that the paper's extractors know.
var paperMethods = func() map[string]bool {
	m := map[string]bool{}
	for name := range unittestArgs {
		m[name] = true
	}
	return m
}()

// pythonDepths returns the depth that each node has in the tree of Python's ast
// module, which has no nodes for blocks, brackets and lists of arguments, and
// more for some that the grammar has not.
func (t *flat) pythonDepths() []int {
	depths := make([]int, len(t.nodes))
	for i := range t.nodes {
		n := &t.nodes[i]
		if n.parent < 0 {
			continue
		}
		parent := &t.nodes[n.parent]
		depths[i] = depths[n.parent]
		if n.named && !t.transparent(i) {
			depths[i]++
		}
		switch {
		case n.kind == "with_item", n.kind == "keyword_argument":
			// withitem and keyword are nodes, and have been counted
		case parent.kind == "interpolation" && n.named:
			depths[i]++ // FormattedValue
		case n.kind == "elif_clause":
			for c := n.prev; c >= 0; c = t.nodes[c].prev { // each is the else of the one before
				if t.nodes[c].kind == "elif_clause" {
					depths[i]++
				}
			}
		}
		if n.kind == "else_clause" && parent.kind == "if_statement" {
			for c := n.prev; c >= 0; c = t.nodes[c].prev {
				if t.nodes[c].kind == "elif_clause" {
					depths[i]++
				}
			}
		}
	}
	return depths
}

// transparent tells whether a node of the grammar is none in Python's tree.
func (t *flat) transparent(i int) bool {
	n := &t.nodes[i]
	switch n.kind {
	case "block", "parenthesized_expression", "argument_list", "decorated_definition", "else_clause", "finally_clause",
		"with_clause", "as_pattern", "pair", "decorator", "expression_list", "type", "interpolation", "case_clause_body", "lambda_parameters":
		return true
	case "expression_statement":
		switch t.kind(t.first(i)) {
		case "assignment", "augmented_assignment":
			return true
		}
	case "boolean_operator": // "a and b and c" is one node
		p := n.parent
		return t.kind(p) == "boolean_operator" && t.first(p) == i && t.operator(p) == t.operator(i)
	}
	return false
}

// operator returns the text of a node's operator.
func (t *flat) operator(i int) string { return t.text(t.field(i, "operator")) }
