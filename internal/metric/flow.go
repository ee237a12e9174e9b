package metric

import (
	"cmp"
	"fmt"
	"slices"
)

// flowRules are the kinds of nodes that a language's data flow distinguishes.
type flowRules struct {
	assignments  []string // with fields left and right
	pairwise     bool     // left and right sides with as many parts are assigned one by one
	definitions  []string // with fields name and value
	increments   []string
	ifs          []string
	branches     []string // children of an if that begin from the state before it
	keepState    bool     // the state before an if counts behind it, too
	fors         []string
	forEach      []string // with fields name, value and body
	whiles       []string
	forHead      string // the child of a for behind which all is visited again
	forUpdate    bool   // its field update is visited first
	doFirst      string // children of this kind are visited before their siblings
	pairwiseFors bool   // a for has fields left and right, and is as an assignment
}

var (
	pythonFlow = flowRules{
		assignments: []string{"assignment", "augmented_assignment", "for_in_clause"}, pairwise: true,
		definitions: []string{"default_parameter"},
		ifs:         []string{"if_statement"}, branches: []string{"elif_clause", "else_clause"},
		fors: []string{"for_statement"}, pairwiseFors: true, whiles: []string{"while_statement"}, doFirst: "for_in_clause",
	}
	goFlow = flowRules{
		assignments: []string{"assignment_statement"}, definitions: []string{"var_spec"}, increments: []string{"inc_statement"},
		ifs: []string{"if_statement", "else"}, keepState: true,
		fors: []string{"for_statement"}, forHead: "for_clause", forUpdate: true,
	}
	javaFlow = flowRules{
		assignments: []string{"assignment_expression"}, definitions: []string{"variable_declarator"},
		increments: []string{"update_expression"}, ifs: []string{"if_statement", "else"},
		fors: []string{"for_statement"}, forHead: "local_variable_declaration",
		forEach: []string{"enhanced_for_statement"}, whiles: []string{"while_statement"},
	}
	scriptFlow = flowRules{
		assignments: []string{"assignment_pattern", "augmented_assignment_expression"}, definitions: []string{"variable_declarator"},
		increments: []string{"update_expression"}, ifs: []string{"if_statement", "else"}, keepState: true,
		fors: []string{"for_statement"}, forHead: "variable_declaration", whiles: []string{"while_statement"},
	}
)

// flow is an item of data flow.
type flow struct {
	name     string
	at       int // position among the tokens
	relation string
	from     []string // names, beside
	fromAt   []int    // their positions
}

func byPosition(items []flow) []flow {
	slices.SortStableFunc(items, func(a, b flow) int { return cmp.Compare(a.at, b.at) })
	return items
}

// mergeFlow makes one of the items that have the same token and relation.
func mergeFlow(items []flow) []flow {
	return joinBy(items, func(f flow) string { return fmt.Sprint(f.name, "\x00", f.at, "\x00", f.relation) })
}

// joinFlow makes one of the items that have the same token, with the relation
// of the last.
func joinFlow(items []flow) []flow {
	last := map[int]string{}
	for _, f := range items {
		last[f.at] = f.relation
	}
	joined := joinBy(items, func(f flow) string { return fmt.Sprint(f.at) })
	for i := range joined {
		joined[i].relation = last[joined[i].at]
	}
	return joined
}

func joinBy(items []flow, key func(flow) string) (joined []flow) {
	index := map[string]int{}
	for _, f := range items {
		k := key(f)
		i, ok := index[k]
		if !ok {
			index[k] = len(joined)
			joined = append(joined, f)
			continue
		}
		j := &joined[i]
		j.from = set(slices.Concat(j.from, f.from))
		j.fromAt = sortedSet(slices.Concat(j.fromAt, f.fromAt))
	}
	return byPosition(joined)
}

// set returns the different names, in the order of their appearance.
func set(names []string) (different []string) {
	for _, name := range names {
		if !slices.Contains(different, name) {
			different = append(different, name)
		}
	}
	return different
}

func sortedSet(at []int) []int { return slices.Compact(slices.Sorted(slices.Values(at))) }

// usedFlow drops the items that come from nowhere and that no other comes
// from.
func usedFlow(items []flow) (used []flow) {
	at := map[int]bool{}
	for _, f := range items {
		if len(f.fromAt) > 0 {
			at[f.at] = true
		}
		for _, from := range f.fromAt {
			at[from] = true
		}
	}
	for _, f := range items {
		if at[f.at] {
			used = append(used, f)
		}
	}
	return used
}

// normalFlow writes items with numbers for names.
func normalFlow(items []flow) (normal []string) {
	numbers := map[string]int{}
	number := func(name string) int {
		n, ok := numbers[name]
		if !ok {
			n = len(numbers)
			numbers[name] = n
		}
		return n
	}
	for _, f := range items {
		from := make([]int, len(f.from))
		for i, name := range f.from {
			from[i] = number(name)
		}
		normal = append(normal, fmt.Sprint(number(f.name), " ", f.relation, " ", from))
	}
	return normal
}
