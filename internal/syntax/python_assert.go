package syntax

import (
	"bytes"
	"slices"
	"strings"
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
func (w *pythonWalker) assertStatement(i int, s scope) {
	site := w.site("assert", i, s)
	test := w.withoutComments(i, 0)
	for test >= 0 && w.kind(test) == "parenthesized_expression" {
		test = w.withoutComments(test, 0)
	}
	switch {
	case site.Flaw != "":
	case w.kind(test) != "comparison_operator":
		site.Flaw = NoComparison
	default:
		if right := w.withoutComments(test, 1); right >= 0 {
			site.Start, site.End = w.nodes[right].start, w.nodes[right].end
		} else {
			site.Flaw = Broken
		}
	}
	w.out.Sites = append(w.out.Sites, site)
}

// withoutComments returns the k-th named child that isn't a comment, or -1.
func (w *walker) withoutComments(i, k int) int {
	for c := w.first(i); c >= 0; c = w.next(c) {
		if n := &w.nodes[c]; !n.named || strings.HasSuffix(n.kind, "comment") {
			continue
		}
		if k == 0 {
			return c
		}
		k--
	}
	return -1
}

// call records a call, and that it is an assertion if it is one:
//
//	self.assertEqual(a, b)      b; the other methods as in unittestArgs
//	pytest.raises(E, match=m)   all arguments, likewise pytest.approx
//	assert_equal(a, b)          the last positional argument, likewise x.assert_*
//
// Calls of methods of something called mock are no assertions about the code.
func (w *pythonWalker) call(i int, s scope) {
	callee, object := w.field(i, "function"), -1
	var receiver []byte
	switch w.kind(callee) {
	case "identifier":
	case "attribute":
		object, callee = w.field(callee, "object"), w.field(callee, "attribute")
		if object < 0 || callee < 0 {
			return
		}
		receiver = w.bytes(object)
	default:
		return
	}
	w.addCall(s, i, callee, object, w.nodes[i].end)
	name := w.text(callee)
	_, method := unittestArgs[name]
	switch {
	case string(receiver) == "self" && method:
		w.callSite("self."+name, i, s)
	case string(receiver) == "pytest" && (name == "raises" || name == "approx"):
		w.callSite("pytest."+name, i, s)
	case strings.HasPrefix(name, "assert_") && name != "assert_":
		if !bytes.HasSuffix(receiver, []byte(".mock")) {
			w.callSite("assert_*", i, s)
		}
	}
}

func (w *pythonWalker) callSite(kind string, i int, s scope) {
	site := w.site(kind, i, s)
	if site.Flaw == "" {
		positional, keywords := w.arguments(w.field(i, "arguments"))
		first, last := w.target(kind, positional, keywords)
		w.aim(&site, first, last)
	}
	w.out.Sites = append(w.out.Sites, site)
}

// target returns the first and the last argument of a call's target, or -1.
func (w *pythonWalker) target(kind string, positional, keywords []int) (first, last int) {
	n := len(positional)
	if n == 0 {
		return -1, -1
	}
	method, isMethod := strings.CutPrefix(kind, "self.")
	switch {
	case isMethod:
		args := unittestArgs[method]
		if args[1] >= n || slices.ContainsFunc(positional[:args[1]+1], w.isSplat) {
			return -1, -1 // which argument it is can't be told
		}
		return positional[args[0]], positional[args[1]]
	case kind == "assert_*":
		return positional[n-1], positional[n-1]
	case len(keywords) > 0: // pytest.raises, pytest.approx
		if end := keywords[len(keywords)-1]; w.nodes[end].end > w.nodes[positional[n-1]].end {
			return positional[0], end
		}
	}
	if kind == "pytest.approx" {
		return positional[0], positional[n-1]
	}
	return positional[0], positional[0]
}

func (w *pythonWalker) isSplat(i int) bool { return w.kind(i) == "list_splat" }

// arguments divides the arguments of a call.
func (w *pythonWalker) arguments(list int) (positional, keywords []int) {
	if w.kind(list) != "argument_list" {
		return nil, nil // f(x for x in y): the list is the argument
	}
	for _, arg := range w.named(list) {
		switch w.kind(arg) {
		case "keyword_argument", "dictionary_splat":
			keywords = append(keywords, arg)
		default:
			positional = append(positional, arg)
		}
	}
	return positional, keywords
}

// site returns a site without a target, for an assertion at a node.
func (w *walker) site(kind string, i int, s scope) Site {
	n := &w.nodes[i]
	site := Site{Kind: kind, From: n.start, Line: w.line(i), Function: s.function, Class: s.class}
	site.Start, site.End = site.From, site.From
	if s.broken || n.hasBroken {
		site.Flaw = Broken
	}
	return site
}

// aim sets the target of a site: from one node to another. Negative ones say
// that there is none.
func (w *walker) aim(site *Site, first, last int) {
	if first < 0 || last < 0 {
		site.Flaw = NoArgument
		return
	}
	site.Start, site.End = w.nodes[first].start, w.nodes[last].end
}
