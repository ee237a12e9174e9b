package metric

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/code2lora/code2lora/internal/syntax"
)

// The classes of wrong answers.
const (
	Empty           = "empty"            // nothing
	Hallucination   = "hallucination"    // far too long, or the same words again and again
	NearMiss        = "near-miss"        // edit similarity above 0.8
	SyntaxError     = "syntax error"     // can't stand where the target stands
	WrongIdentifier = "wrong identifier" // other names
	WrongLiteral    = "wrong literal"    // other constants
	TypeMismatch    = "type mismatch"    // another kind of expression
)

// ErrorClasses lists the classes in the order of their rules.
var ErrorClasses = []string{Empty, Hallucination, NearMiss, SyntaxError, WrongIdentifier, WrongLiteral, TypeMismatch}

// ErrorClass says in which way a wrong answer is wrong, by the first rule of
// the paper's analysis that fires, with two corrections. First, one closing
// bracket at the end that nothing opens is cut from both texts: the targets of
// calls end in one, and without the cut nearly all wrong answers to these were
// "syntax errors". Second, what can stand where the target stands is no syntax
// error: a list of arguments, or a statement, where the target is one.
func ErrorClass(language, expected, got string) string {
	expected, got = withoutComment(language, expected), withoutComment(language, got)
	whole := expected
	expected, got = strip(withoutBracket(language, expected)), strip(withoutBracket(language, got))
	if got == "" {
		return Empty
	}
	if isHallucination(expected, got) {
		return Hallucination
	}
	if EditSimilarity(got, expected) > 0.8 {
		return NearMiss
	}
	e, g := read(language, expected), read(language, got)
	if e.form == expression && (g.form == statement || g.form == arguments && expected == whole) {
		g = reading{} // can't be a value; arguments only can be where brackets end
	}
	if g.form == unreadable && e.form != unreadable {
		return SyntaxError
	}
	sameNames, sameConstants := slices.Equal(e.names, g.names), slices.Equal(e.constants, g.constants)
	switch {
	case len(e.names) > 0 && len(g.names) > 0 && !sameNames && sameConstants:
		return WrongIdentifier
	case len(e.constants) > 0 && len(g.constants) > 0 && !sameConstants && sameNames:
		return WrongLiteral
	case e.kind != g.kind && e.form != unreadable && g.form != unreadable:
		return TypeMismatch
	case !sameNames:
		return WrongIdentifier
	case !sameConstants:
		return WrongLiteral
	}
	return TypeMismatch
}

// withoutComment cuts the comment behind a text of one line.
func withoutComment(language, text string) string {
	if text = strip(text); strings.ContainsAny(text, "\r\n") {
		return text
	}
	return Strict(language, "line", text)
}

func isHallucination(expected, got string) bool {
	n := utf8.RuneCountInString(got)
	if n > max(100, 3*utf8.RuneCountInString(expected)) {
		return true
	}
	words := fields(got)
	different := map[string]bool{}
	for _, w := range words {
		different[w] = true
	}
	return n > 30 && len(words) > 5 && 2*len(different) < len(words)
}

// form is where a text may stand.
type form int

const (
	unreadable form = iota
	expression
	arguments // between the brackets of a call
	statement
)

// reading is what a parser finds in a text.
type reading struct {
	form             form
	kind             string   // of an expression: "bool", "number", "call" and so on; else that of the grammar
	names, constants []string // sorted, each once
}

// frame is a text around another one, so that a parser reads it as something.
type frame struct {
	form          form
	before, after string
	// inside is the kind of the node in which the text is to be alone; "" for
	// the root.
	inside string
}

var (
	scriptFrames = []frame{{expression, "(", "\n)", "parenthesized_expression"}, {arguments, "f(", "\n)", "arguments"},
		{statement, "async function* f() {", "\n}", "statement_block"}, {statement, "async function* f() {", "\n}}", "statement_block"}}
	frames = map[string][]frame{
		"python": {{expression, "", "", "expression_statement"}, {arguments, "f(", "\n)", "argument_list"},
			{statement, "", "", ""}, {statement, "", "\n    pass", ""}},
		"go": {{expression, "package p\nvar _ = ", "", "expression_list"}, {arguments, "package p\nvar _ = f(", ")", "argument_list"},
			{statement, "package p\nfunc f() {\n", "\n}", "block"}, {statement, "package p\nfunc f() {\n", "\n}\n}", "block"}},
		"java": {{expression, "class A { Object o = ", "\n; }", "variable_declarator"}, {arguments, "class A { Object o = f(", "\n); }", "argument_list"},
			{statement, "class A { void f() {\n", "\n} }", "block"}, {statement, "class A { void f() {\n", "\n} } }", "block"}},
		"javascript": scriptFrames,
		"typescript": scriptFrames,
		"tsx":        scriptFrames,
	}
)

// read parses a text as an expression, or else as arguments, or else as
// statements, or the beginning of one. Of an unknown language nothing is
// readable.
func read(language, text string) reading {
	for _, f := range frames[language] {
		t, err := syntax.ParseTree(language, []byte(f.before+text+f.after))
		if err != nil {
			return reading{} // too long for any frame
		}
		if t.HasErrors() {
			continue
		}
		start, end := len(f.before), len(f.before)+len(text)
		nodes := f.alone(t, start, end)
		if len(nodes) == 0 || f.form == expression && !isValue(language, t, nodes) {
			continue
		}
		r := reading{form: f.form, kind: t.Nodes[nodes[0]].Kind}
		if f.form == expression {
			r.kind = kindOf(t, nodes)
		} else if f.form == arguments {
			r.kind = "arguments"
		}
		r.names, r.constants = words(t, start, end)
		return r
	}
	return reading{}
}

// alone returns the nodes that make up the text from start to end, if they are
// children of a node of the frame's kind which has only tokens and what the
// frame itself brings besides.
func (f *frame) alone(t *syntax.Tree, start, end int) []int {
	for i := range t.Nodes {
		if n := &t.Nodes[i]; f.inside == "" && i > 0 || f.inside != "" && n.Kind != f.inside {
			continue
		}
		var nodes []int
		from, to := -1, -1
		for _, c := range t.Nodes[i].Children {
			child := &t.Nodes[c]
			if child.Start < start && child.End > start || child.Start < end && child.End > end && f.form != statement {
				return nil // it goes beyond the text
			}
			if child.Start < start || child.Start >= end {
				continue
			}
			if from < 0 {
				from = child.Start
			}
			to = child.End
			if child.Named && !strings.HasSuffix(child.Kind, "comment") {
				nodes = append(nodes, c)
			}
		}
		if from == start && to >= end {
			return nodes
		}
		if f.inside != "" && t.Nodes[i].Start <= start && t.Nodes[i].End >= end {
			continue // another node of this kind may be further inside
		}
	}
	return nil
}

// isValue reports whether nodes are an expression and not what only looks like
// one to the grammar.
func isValue(language string, t *syntax.Tree, nodes []int) bool {
	if language == "python" && slices.ContainsFunc(t.Nodes[0].Children[1:], func(c int) bool { return t.Nodes[c].Kind != "comment" }) {
		return false // several statements, or a semicolon
	}
	return !slices.Contains([]string{"assignment", "augmented_assignment", "named_expression", "yield", "list_splat", "dictionary_splat"},
		t.Nodes[nodes[0]].Kind)
}

// kinds are the classes of expressions by the kinds of the grammars.
var kinds = func() map[string]string {
	kinds := map[string]string{}
	for class, names := range map[string]string{
		"bool": "true false boolean",
		"number": `integer float int_literal float_literal imaginary_literal number decimal_integer_literal hex_integer_literal
			octal_integer_literal binary_integer_literal decimal_floating_point_literal hex_floating_point_literal`,
		"string":     "string concatenated_string interpreted_string_literal raw_string_literal string_literal template_string",
		"none":       "none nil null null_literal undefined",
		"constant":   "ellipsis rune_literal character_literal regex iota",
		"identifier": "identifier this self super type_identifier",
		"attribute":  "attribute selector_expression field_access member_expression qualified_type",
		"call": `call call_expression method_invocation object_creation_expression new_expression array_creation_expression
			type_conversion_expression`,
		"collection": "list tuple set expression_list composite_literal array array_initializer sequence_expression",
		"dict":       "dictionary object",
		"expression": "boolean_operator binary_operator unary_operator not_operator comparison_operator binary_expression unary_expression update_expression instanceof_expression",
		"subscript":  "subscript index_expression array_access subscript_expression slice_expression",
	} {
		for _, name := range strings.Fields(names) {
			kinds[name] = class
		}
	}
	return kinds
}()

// kindOf returns the class of an expression.
func kindOf(t *syntax.Tree, nodes []int) string {
	if len(nodes) > 1 {
		return "collection" // a tuple without brackets
	}
	n := &t.Nodes[nodes[0]]
	switch {
	case n.Kind == "parenthesized_expression":
		for _, c := range n.Children {
			if t.Nodes[c].Named {
				return kindOf(t, []int{c})
			}
		}
	case n.Kind == "string" && strings.ContainsAny(stringPrefix(t.Text(nodes[0])), "fF"):
		return "other" // its value is computed
	case n.Kind == "string" && strings.ContainsAny(stringPrefix(t.Text(nodes[0])), "bB"):
		return "constant"
	}
	if class, ok := kinds[n.Kind]; ok {
		return class
	}
	return "other"
}

func stringPrefix(text string) string {
	if i := strings.IndexAny(text, "'\""); i >= 0 {
		return text[:i]
	}
	return ""
}

// words returns the names and the constants of a part of a tree. Names of
// attributes, fields, keywords and parameters are none.
func words(t *syntax.Tree, start, end int) (names, constants []string) {
	skip := -1 // offset behind a constant whose parts aren't looked at
	for i := range t.Nodes {
		n := &t.Nodes[i]
		if n.Start < start || n.End > end || n.Start < skip || !n.Named {
			continue
		}
		switch kinds[n.Kind] {
		case "identifier":
			if isName(t, i) {
				names = append(names, t.Text(i))
			}
		case "bool", "none", "constant":
			constants = append(constants, t.Text(i))
			skip = n.End
		case "number":
			constants = append(constants, number(t.Text(i)))
			skip = n.End
		case "string":
			text := t.Text(i)
			if n.Kind == "concatenated_string" || n.Kind == "template_string" || strings.ContainsAny(stringPrefix(text), "fF") {
				continue // its parts are looked at
			}
			constants = append(constants, strconv.Quote(unquoted(text)))
			skip = n.End
		default:
			if n.Kind == "string_content" || n.Kind == "string_fragment" {
				constants = append(constants, strconv.Quote(t.Text(i)))
			}
		}
	}
	slices.Sort(names)
	slices.Sort(constants)
	return slices.Compact(names), slices.Compact(constants)
}

// isName reports whether an identifier is a name of its own, rather than that
// of a part of something or of a parameter.
func isName(t *syntax.Tree, i int) bool {
	n := &t.Nodes[i]
	if n.Parent < 0 {
		return true
	}
	switch parent := t.Nodes[n.Parent].Kind; {
	case n.Field == "attribute", n.Field == "field", n.Field == "property":
		return false
	case parent == "keyword_argument" && n.Field == "name":
		return false
	case strings.HasSuffix(parent, "parameters"):
		return false
	}
	return true
}

// number returns a number in a form that is equal for equal values, where it
// is one that Go reads.
func number(text string) string {
	plain := strings.ToLower(strings.ReplaceAll(text, "_", ""))
	if v, err := strconv.ParseFloat(plain, 64); err == nil {
		if strings.ContainsAny(plain, ".ex") {
			return strconv.FormatFloat(v, 'g', -1, 64) + "f" // 1.0 isn't 1
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return plain
}

// unquoted returns what is between the quotation marks of a string.
func unquoted(text string) string {
	text = text[len(stringPrefix(text)):]
	for _, mark := range []string{`"""`, "'''", `"`, "'", "`"} {
		if len(text) >= 2*len(mark) && strings.HasPrefix(text, mark) && strings.HasSuffix(text, mark) {
			return text[len(mark) : len(text)-len(mark)]
		}
	}
	return text
}
