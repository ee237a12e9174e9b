package metric

import (
	"maps"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/syntax"
)

// The data flow of a text is a list of items: a token, and the tokens that its
// value comes from. This is the algorithm of CodeBLEU (Ren et al. 2020; Guo et
// al., GraphCodeBERT, arXiv 2009.08366) as the package codebleu 0.7 has it,
// with its peculiarities, which are kept so that the numbers agree:
//
//   - a token's text is cut from its line by byte columns counted as
//     characters, so it is another text behind a character of several bytes;
//   - any construct that lacks an expected part leaves the whole text without
//     data flow, and so does nesting beyond maxFlowDepth, where Python gives up.
//
// Loops are gone through twice, so that nested ones take time exponential in
// their depth. Ours gives up after maxFlowSteps; the package would go on.
//
// Where the package's order depends on the hashes of strings, which change
// from one process to the next, ours is that of the text.

// maxFlowDepth is about where the package reaches Python's limit of 1000
// nested calls.
const maxFlowDepth = 900

// maxFlowSteps is a hundred times what a long function needs.
const maxFlowSteps = 1 << 17

// states tells where each name got its value.
type states map[string][]int

// flowWalk collects the data flow of a tree.
type flowWalk struct {
	flowRules
	tree   *syntax.Tree
	lines  [][]rune
	rows   []int          // offsets of lines
	tokens map[[2]int]int // extent -> position
	names  []string       // of each position
	steps  int
	failed bool
}

// dataFlow returns the items of a tree, where the names of variables are
// replaced by numbers in the order of their appearance.
func dataFlow(t *syntax.Tree, rules flowRules) []string {
	if t.Depth > maxFlowDepth {
		return nil
	}
	w := &flowWalk{flowRules: rules, tree: t, tokens: map[[2]int]int{}}
	at := 0
	for line := range strings.SplitSeq(string(t.Source), "\n") {
		w.lines = append(w.lines, []rune(line))
		w.rows = append(w.rows, at)
		at += len(line) + 1
	}
	w.index(0)
	items, _ := w.visit(0, states{})
	if w.failed {
		return nil
	}
	return normalFlow(joinFlow(usedFlow(byPosition(items))))
}

// isToken reports whether a node is a token to data flow.
func (w *flowWalk) isToken(i int) bool {
	n := &w.tree.Nodes[i]
	whole := n.Kind == "string_literal" || n.Kind == "string" || n.Kind == "character_literal"
	return (len(n.Children) == 0 || whole) && n.Kind != "comment"
}

// index numbers the tokens.
func (w *flowWalk) index(i int) {
	if w.isToken(i) {
		n := &w.tree.Nodes[i]
		// Of tokens in one place, which are missing ones, the last is meant.
		w.tokens[[2]int{n.Start, n.End}] = len(w.names)
		w.names = append(w.names, w.text(n.Start, n.End))
		return
	}
	for _, c := range w.tree.Nodes[i].Children {
		w.index(c)
	}
}

// text returns a token's text: bytes counted as characters, and without the
// newlines in it.
func (w *flowWalk) text(start, end int) string {
	row, column := w.position(start)
	lastRow, lastColumn := w.position(end)
	if row == lastRow {
		return cut(w.lines[row], column, lastColumn)
	}
	text := cut(w.lines[row], column, len(w.lines[row]))
	for _, line := range w.lines[row+1 : lastRow] {
		text += string(line)
	}
	return text + cut(w.lines[lastRow], 0, lastColumn)
}

func (w *flowWalk) position(at int) (row, column int) {
	row, found := slices.BinarySearch(w.rows, at)
	if !found {
		row--
	}
	return row, at - w.rows[row]
}

// cut returns the characters of a line from one column to another.
func cut(line []rune, from, to int) string {
	to = min(to, len(line))
	if from >= to {
		return ""
	}
	return string(line[from:to])
}

// token returns the position and text of a token.
func (w *flowWalk) token(i int) (at int, name string) {
	n := &w.tree.Nodes[i]
	at = w.tokens[[2]int{n.Start, n.End}]
	return at, w.names[at]
}

// variables appends the tokens within a node that aren't just punctuation.
// Node −1, which is missing, fails.
func (w *flowWalk) variables(i int) (at []int) {
	if i < 0 {
		w.failed = true
		return nil
	}
	if w.isToken(i) {
		if p, name := w.token(i); w.tree.Nodes[i].Kind != name {
			return []int{p}
		}
		return nil
	}
	for _, c := range w.tree.Nodes[i].Children {
		at = append(at, w.variables(c)...)
	}
	return at
}

// visit returns the items of a node and the states behind it.
func (w *flowWalk) visit(i int, before states) ([]flow, states) {
	w.steps++
	if i < 0 || w.steps > maxFlowSteps {
		w.failed = true
	}
	if w.failed {
		return nil, before
	}
	s := maps.Clone(before)
	kind := w.tree.Nodes[i].Kind
	switch {
	case w.isToken(i):
		return w.leaf(i, s)
	case slices.Contains(w.definitions, kind):
		return w.definition(i, s)
	case slices.Contains(w.assignments, kind):
		return w.assignment(i, s)
	case slices.Contains(w.increments, kind):
		at := w.variables(i)
		return byPosition(w.assign(at, at, "computedFrom", s)), s
	case slices.Contains(w.ifs, kind):
		return w.condition(i, s)
	case slices.Contains(w.fors, kind):
		return w.loop(i, s)
	case slices.Contains(w.forEach, kind):
		return w.each(i, s)
	case slices.Contains(w.whiles, kind):
		first, s := w.children(i, s)
		second, s := w.children(i, s)
		return mergeFlow(append(first, second...)), s
	}
	items, s := w.children(i, s)
	return byPosition(items), s
}

func (w *flowWalk) leaf(i int, s states) ([]flow, states) {
	at, name := w.token(i)
	kind := w.tree.Nodes[i].Kind
	if kind == name {
		return nil, s
	}
	if from, ok := s[name]; ok {
		return []flow{{name, at, "comesFrom", []string{name}, slices.Clone(from)}}, s
	}
	if kind == "identifier" {
		s[name] = []int{at}
	}
	return []flow{{name, at, "comesFrom", nil, nil}}, s
}

// children visits all children, those of doFirst first.
func (w *flowWalk) children(i int, s states) (items []flow, _ states) {
	for _, first := range []bool{true, false} {
		for _, c := range w.tree.Nodes[i].Children {
			if (w.tree.Nodes[c].Kind == w.doFirst) == first {
				var more []flow
				more, s = w.visit(c, s)
				items = append(items, more...)
			}
		}
	}
	return items, s
}

// assign gives each of the variables left one item for each of right.
func (w *flowWalk) assign(left, right []int, relation string, s states) (items []flow) {
	for _, l := range left {
		for _, r := range right {
			items = append(items, flow{w.names[l], l, relation, []string{w.names[r]}, []int{r}})
		}
		s[w.names[l]] = []int{l}
	}
	return items
}

func (w *flowWalk) definition(i int, s states) ([]flow, states) {
	name, value := w.tree.Child(i, "name"), w.tree.Child(i, "value")
	left := w.variables(name)
	if value < 0 {
		var items []flow
		for _, l := range left {
			items = append(items, flow{w.names[l], l, "comesFrom", nil, nil})
			s[w.names[l]] = []int{l}
		}
		return byPosition(items), s
	}
	right := w.variables(value)
	items, s := w.visit(value, s)
	return byPosition(append(items, w.assign(left, right, "comesFrom", s)...)), s
}

func (w *flowWalk) assignment(i int, s states) ([]flow, states) {
	left, right := w.tree.Child(i, "left"), w.tree.Child(i, "right")
	if w.pairwise {
		return w.pairs(i, left, right, s)
	}
	items, s := w.visit(right, s)
	return byPosition(append(items, w.assign(w.variables(left), w.variables(right), "computedFrom", s)...)), s
}

// pairs is an assignment of Python, whose sides are lists of parts.
func (w *flowWalk) pairs(i, left, right int, s states) ([]flow, states) {
	lefts, rights := []int{left}, []int{right}
	switch {
	case w.tree.Nodes[i].Kind == "for_in_clause":
		rights[0] = w.tree.Nodes[i].Children[len(w.tree.Nodes[i].Children)-1]
	case right < 0:
		return nil, s
	default:
		lefts, rights = w.sides(left, right)
	}
	items, s := w.assignSides(lefts, rights, s)
	return byPosition(items), s
}

// sides returns the parts of both sides of an assignment if they are as many,
// and else the sides.
func (w *flowWalk) sides(left, right int) (lefts, rights []int) {
	lefts, rights = w.parts(left), w.parts(right)
	if len(lefts) != len(rights) || len(lefts) == 0 {
		return []int{left}, []int{right}
	}
	return lefts, rights
}

// parts returns the children of a node without commas.
func (w *flowWalk) parts(i int) []int {
	if i < 0 {
		w.failed = true
		return nil
	}
	var parts []int
	for _, c := range w.tree.Nodes[i].Children {
		if w.tree.Nodes[c].Kind != "," {
			parts = append(parts, c)
		}
	}
	return parts
}

// assignSides visits the right sides, and then gives each variable on the left
// one item with all of its right side.
func (w *flowWalk) assignSides(lefts, rights []int, s states) (items []flow, _ states) {
	for _, r := range rights {
		var more []flow
		more, s = w.visit(r, s)
		items = append(items, more...)
	}
	for k, l := range lefts {
		left, right := w.variables(l), w.variables(rights[k])
		var names []string
		for _, r := range right {
			names = append(names, w.names[r])
		}
		for _, at := range left {
			items = append(items, flow{w.names[at], at, "computedFrom", names, right})
			s[w.names[at]] = []int{at}
		}
	}
	return items, s
}

// condition is an if with its branches: each begins from the states before,
// and those behind any of them are the states behind the whole.
func (w *flowWalk) condition(i int, s states) (items []flow, _ states) {
	current := maps.Clone(s)
	var others []states
	hasElse := strings.Contains(w.tree.Nodes[i].Kind, "else")
	branched := false
	for _, c := range w.tree.Nodes[i].Children {
		kind := w.tree.Nodes[c].Kind
		hasElse = hasElse || strings.Contains(kind, "else")
		var more []flow
		branch := slices.Contains(w.branches, kind)
		if w.branches == nil { // the first one and all behind it
			branched = branched || slices.Contains(w.ifs, kind)
			branch = branched
		}
		if branch {
			var behind states
			more, behind = w.visit(c, s)
			others = append(others, behind)
		} else {
			more, current = w.visit(c, current)
		}
		items = append(items, more...)
	}
	others = append(others, current)
	if !hasElse || w.keepState {
		others = append(others, s)
	}
	merged := states{}
	for _, o := range others {
		for name, at := range o {
			merged[name] = append(merged[name], at...)
		}
	}
	for name, at := range merged {
		merged[name] = sortedSet(at)
	}
	return byPosition(items), merged
}

// loop is a for, which is gone through twice, or what is behind its head is.
func (w *flowWalk) loop(i int, s states) (items []flow, _ states) {
	n := &w.tree.Nodes[i]
	if w.pairwiseFors {
		for range 2 {
			lefts, rights := w.sides(w.tree.Child(i, "left"), w.tree.Child(i, "right"))
			if w.failed {
				return nil, s
			}
			var more []flow
			more, s = w.assignSides(lefts, rights, s)
			items = append(items, more...)
			if last := n.Children[len(n.Children)-1]; w.tree.Nodes[last].Kind == "block" {
				more, s = w.visit(last, s)
				items = append(items, more...)
			}
		}
		return mergeFlow(items), s
	}
	items, s = w.children(i, s)
	again := false
	for _, c := range n.Children {
		var more []flow
		switch {
		case again:
			more, s = w.visit(c, s)
		case w.tree.Nodes[c].Kind == w.forHead:
			if update := w.tree.Child(c, "update"); w.forUpdate && update >= 0 {
				more, s = w.visit(update, s)
			}
			again = true
		}
		items = append(items, more...)
	}
	return mergeFlow(items), s
}

// each is a for over the elements of a value.
func (w *flowWalk) each(i int, s states) (items []flow, _ states) {
	name, value, body := w.tree.Child(i, "name"), w.tree.Child(i, "value"), w.tree.Child(i, "body")
	for range 2 {
		var more []flow
		more, s = w.visit(value, s)
		items = append(items, more...)
		items = append(items, w.assign(w.variables(name), w.variables(value), "computedFrom", s)...)
		more, s = w.visit(body, s)
		items = append(items, more...)
	}
	return mergeFlow(items), s
}
