package syntax

import (
	"bytes"
	"slices"
	"strings"

	sitter "github.com/smacker/go-tree-sitter"
)

// unittestArgs gives, for each assertion method of unittest.TestCase, the
// positional arguments that are its target: the first and the last one.
var unittestArgs = map[string][2]int{
	"assertTrue": {0, 0}, "assertFalse": {0, 0},
	"assertIsNone": {0, 0}, "assertIsNotNone": {0, 0},
	"assertRaises": {0, 0}, "assertWarns": {0, 0}, "assertLogs": {0, 0},
	"assertRaisesRegex": {0, 1},

	"assertEqual": {1, 1}, "assertNotEqual": {1, 1},
	"assertIs": {1, 1}, "assertIsNot": {1, 1},
	"assertIn": {1, 1}, "assertNotIn": {1, 1},
	"assertIsInstance": {1, 1}, "assertNotIsInstance": {1, 1},
	"assertAlmostEqual": {1, 1}, "assertNotAlmostEqual": {1, 1},
	"assertDictEqual": {1, 1}, "assertListEqual": {1, 1}, "assertTupleEqual": {1, 1},
	"assertSetEqual": {1, 1}, "assertSequenceEqual": {1, 1},
	"assertMultiLineEqual": {1, 1}, "assertCountEqual": {1, 1},
	"assertRegex": {1, 1}, "assertNotRegex": {1, 1},
	"assertGreater": {1, 1}, "assertGreaterEqual": {1, 1},
	"assertLess": {1, 1}, "assertLessEqual": {1, 1},
}

// assertStatement records a bare assert. Its target is the right-hand side of
// the comparison, of the first one in a chain. Parentheses around the whole
// comparison are looked through, those around the right-hand side belong to it.
func (w *walker) assertStatement(n *sitter.Node, s scope) {
	site := w.site("assert", n, s)
	test := n.NamedChild(0)
	for test != nil && test.Type() == "parenthesized_expression" {
		test = withoutComments(test, 0)
	}
	switch {
	case site.Flaw != "":
	case test == nil || test.Type() != "comparison_operator":
		site.Flaw = NoComparison
	default:
		if right := withoutComments(test, 1); right != nil {
			site.Start, site.End = int(right.StartByte()), int(right.EndByte())
		} else {
			site.Flaw = Broken
		}
	}
	w.file.Sites = append(w.file.Sites, site)
}

// withoutComments returns the i-th named child that isn't a comment.
func withoutComments(n *sitter.Node, i int) *sitter.Node {
	for j := range int(n.NamedChildCount()) {
		child := n.NamedChild(j)
		if child.Type() == "comment" {
			continue
		}
		if i == 0 {
			return child
		}
		i--
	}
	return nil
}

// call records a call if it is an assertion:
//
//	self.assertEqual(a, b)      b; the other methods as in unittestArgs
//	pytest.raises(E, match=m)   all arguments, likewise pytest.approx
//	assert_equal(a, b)          the last positional argument, likewise x.assert_*
//
// Calls of methods of something called mock are no assertions about the code.
func (w *walker) call(n *sitter.Node, s scope) {
	callee := n.ChildByFieldName("function")
	if callee == nil {
		return
	}
	var receiver []byte // not a string: in a long chain of calls that would copy each one's receiver
	name := ""
	switch callee.Type() {
	case "identifier":
		name = callee.Content(w.source)
	case "attribute":
		object, attribute := callee.ChildByFieldName("object"), callee.ChildByFieldName("attribute")
		if object == nil || attribute == nil {
			return
		}
		receiver, name = w.source[object.StartByte():object.EndByte()], attribute.Content(w.source)
	default:
		return
	}
	_, method := unittestArgs[name]
	switch {
	case string(receiver) == "self" && method:
		w.callSite("self."+name, n, s)
	case string(receiver) == "pytest" && (name == "raises" || name == "approx"):
		w.callSite("pytest."+name, n, s)
	case strings.HasPrefix(name, "assert_") && name != "assert_":
		if !bytes.HasSuffix(receiver, []byte(".mock")) {
			w.callSite("assert_*", n, s)
		}
	}
}

func (w *walker) callSite(kind string, n *sitter.Node, s scope) {
	site := w.site(kind, n, s)
	if site.Flaw == "" {
		positional, keywords := arguments(n.ChildByFieldName("arguments"))
		first, last := target(kind, positional, keywords)
		if first == nil || last == nil {
			site.Flaw = NoArgument
		} else {
			site.Start, site.End = int(first.StartByte()), int(last.EndByte())
		}
	}
	w.file.Sites = append(w.file.Sites, site)
}

// target returns the first and the last argument of a call's target, or nils.
func target(kind string, positional, keywords []*sitter.Node) (first, last *sitter.Node) {
	n := len(positional)
	if n == 0 {
		return nil, nil
	}
	method, isMethod := strings.CutPrefix(kind, "self.")
	switch {
	case isMethod:
		args := unittestArgs[method]
		if args[1] >= n || slices.ContainsFunc(positional[:args[1]+1], isSplat) {
			return nil, nil // which argument it is can't be told
		}
		return positional[args[0]], positional[args[1]]
	case kind == "assert_*":
		return positional[n-1], positional[n-1]
	case len(keywords) > 0: // pytest.raises, pytest.approx
		if end := keywords[len(keywords)-1]; end.EndByte() > positional[n-1].EndByte() {
			return positional[0], end
		}
	}
	if kind == "pytest.approx" {
		return positional[0], positional[n-1]
	}
	return positional[0], positional[0]
}

func isSplat(n *sitter.Node) bool { return n.Type() == "list_splat" }

// arguments divides the arguments of a call.
func arguments(list *sitter.Node) (positional, keywords []*sitter.Node) {
	if list == nil || list.Type() != "argument_list" {
		return nil, nil // f(x for x in y): the list is the argument
	}
	for i := range int(list.NamedChildCount()) {
		switch arg := list.NamedChild(i); arg.Type() {
		case "comment":
		case "keyword_argument", "dictionary_splat":
			keywords = append(keywords, arg)
		default:
			positional = append(positional, arg)
		}
	}
	return positional, keywords
}

func (w *walker) site(kind string, n *sitter.Node, s scope) Site {
	site := Site{Kind: kind, From: int(n.StartByte()), Line: line(n), Function: s.function, Class: s.class}
	site.Start, site.End = site.From, site.From
	if s.broken || n.HasError() {
		site.Flaw = Broken
	}
	return site
}
