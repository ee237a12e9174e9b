package execute

import (
	"strings"

	"github.com/code2lora/code2lora/internal/syntax"
)

// An answer is put where the right one stood, in parentheses, so that it can't
// take in what is beside it: "4 or True" behind "f() ==" would always be true.
// What closes the parentheses itself, or leaves the rest to a comment, is no
// expression, and isn't run.

// isExpression reports whether a text is exactly one expression of Python, which
// may stand in parentheses. One that has a yield is none here: it makes a
// generator of its test, of which nothing is run.
func isExpression(text string) bool {
	t, ok := parenthesized(text)
	if !ok {
		return false
	}
	for i := range t.Nodes {
		if t.Nodes[i].Kind == "yield" {
			return false
		}
	}
	return true
}

// parenthesized parses a text in parentheses. It is false if that is anything
// else than an expression in parentheses, from the first byte to the last.
func parenthesized(text string) (*syntax.Tree, bool) {
	t, err := syntax.ParseTree("python", []byte("("+text+")"))
	if err != nil || t.HasErrors() {
		return nil, false
	}
	i := 0
	for _, kind := range []string{"module", "expression_statement"} {
		if t.Nodes[i].Kind != kind || len(t.Nodes[i].Children) != 1 {
			return nil, false
		}
		i = t.Nodes[i].Children[0]
	}
	n := t.Nodes[i]
	return t, n.Kind == "parenthesized_expression" && n.Start == 0 && n.End == len(t.Source)
}

// canonical returns the tokens of an expression, without comments and without
// parentheses around it.
func canonical(text string) string {
	t, ok := parenthesized(text)
	if !ok || t.Depth > 1000 { // more than a goroutine should descend
		return text
	}
	i := 0
	for {
		n := t.Nodes[i]
		var inner []int
		for _, c := range n.Children {
			if t.Nodes[c].Named && t.Nodes[c].Kind != "comment" {
				inner = append(inner, c)
			}
		}
		if len(inner) != 1 || n.Kind != "module" && n.Kind != "expression_statement" && n.Kind != "parenthesized_expression" {
			break
		}
		i = inner[0]
	}
	var b strings.Builder
	var walk func(i int)
	walk = func(i int) {
		n := t.Nodes[i]
		switch {
		case n.Kind == "comment":
		case len(n.Children) == 0 || n.Kind == "string": // not all of a string is in its nodes
			b.WriteString(t.Text(i))
			b.WriteByte(0)
		default:
			for _, c := range n.Children {
				walk(c)
			}
		}
	}
	walk(i)
	return b.String()
}

// compared returns what an expression from start to end is compared with, in
// canonical form: what is before it in its comparison or in the arguments of its
// call.
func compared(source []byte, start, end int) map[string]bool {
	t, err := syntax.ParseTree("python", source)
	if err != nil {
		return nil
	}
	all := map[string]bool{}
	for i := range t.Nodes {
		n := &t.Nodes[i]
		if n.Start != start || n.End != end || n.Parent < 0 {
			continue
		}
		parent := &t.Nodes[n.Parent]
		if parent.Kind != "comparison_operator" && parent.Kind != "argument_list" {
			continue
		}
		for _, c := range parent.Children {
			if s := &t.Nodes[c]; s.Named && s.End <= start && s.Kind != "comment" {
				all[canonical(t.Text(c))] = true
			}
		}
		break
	}
	return all
}
