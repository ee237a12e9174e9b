package mine

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/syntax"
)

// paperStatic makes a task of an assertion by the paper's snapshot extractor
// (arXiv 2606.06492; create_qnas_v2.py). Where that one cuts at the wrong place,
// in statements of several lines and behind non-ASCII text, this one doesn't.
func paperStatic(text string, p *syntax.Parts, o *syntax.Outline) (item, dataset.Reason) {
	it := item{Kind: repopeft.Assertion, Family: p.Kind, Line: 1 + strings.Count(text[:p.Start], "\n")}
	if p.Function == syntax.None {
		return it, dataset.NoFunction
	}
	it.Function = o.Definitions[p.Function].Name
	if p.Class != syntax.None {
		it.Class = o.Definitions[p.Class].Name
	}
	last := len(p.Positional) - 1
	switch {
	case p.Kind == "assert" && len(p.Operators) == 0:
		return it, dataset.NoComparison
	case p.Kind == "assert":
		it.setTarget(text, "", p.Right[0])
	case last < 0:
		return it, dataset.NoArgument
	case p.Kind == "self.assertRaises" || p.Kind == "self.assertTrue" || p.Kind == "self.assertFalse" ||
		p.Kind == "self.assertIsNone" || p.Kind == "self.assertIsNotNone":
		it.setTarget(text, ")", p.Positional[0])
	case p.Kind == "self.assertRaisesRegex":
		it.setTarget(text, ")", p.Positional[:min(2, last+1)]...)
	case p.Kind == "pytest.raises" || p.Kind == "pytest.approx":
		it.setKeywords(text, p)
	case strings.HasPrefix(p.Kind, "self.") && last < 1:
		return it, dataset.NoArgument
	default:
		it.setTarget(text, ")", p.Positional[last])
	}
	return it, ""
}

// setTarget makes the target of expressions, joined by ", ", and an ending.
func (it *item) setTarget(text, ending string, parts ...syntax.Span) {
	var words []string
	for _, p := range parts {
		words = append(words, text[p.Start:p.End])
	}
	it.Start, it.End = parts[0].Start, parts[len(parts)-1].End
	it.collapse(strings.Join(words, ", ") + ending)
}

// setKeywords makes the target of pytest's calls: the first argument and the
// keywords.
func (it *item) setKeywords(text string, p *syntax.Parts) {
	it.Start, it.End = p.Positional[0].Start, p.Positional[0].End
	target := text[it.Start:it.End]
	for _, k := range p.Keywords {
		name := k.Name + "="
		if k.Name == "" {
			name = "None=" // as the code prints it
		}
		target += ", " + name + text[k.Value.Start:k.Value.End]
		it.End = max(it.End, k.Value.End)
	}
	it.collapse(target + ")")
}

// collapse sets the target, on one line.
func (it *item) collapse(target string) {
	it.multiline = strings.Contains(target, "\n")
	if it.multiline {
		target = strings.Join(strings.Fields(target), " ")
	}
	it.Target = target
}

// paperReject applies the paper's quality filters.
func (r Rules) paperReject(text string, it item) dataset.Reason {
	t := strings.TrimSpace(it.Target)
	line := text[strings.LastIndexByte(text[:it.Start], '\n')+1 : it.Start]
	switch {
	case t == "":
		return reasonEmptyTarget
	case t[0] == ',':
		return reasonComma
	case t == ")" || t == "))" || t == ")))" || t == "]" || t == "]]" || t == "}":
		return reasonBracket
	case utf8.RuneCountInString(t) > r.MaxTargetBytes:
		return dataset.TooLong
	case strings.Contains(line, "(,"):
		return reasonMalformed
	}
	return ""
}

// paperItem is a task with its file.
type paperItem struct {
	file string
	item
}

// selectPaper applies the paper's caps: per function and per file, of the tasks
// with the shortest targets; then a target is asked for once in a file; then the
// repository's cap, divided among the classes of targets by their shares.
func selectPaper(all []paperItem, r Rules, dropped counter) []paperItem {
	slices.SortStableFunc(all, shortestFirst)
	type function struct{ file, name string }
	inFunction, inFile, seen := map[function]int{}, map[string]int{}, map[function]bool{}
	all = keep(all, dataset.OverFunction, dropped, func(p paperItem) bool {
		f := function{p.file, p.Function}
		inFunction[f]++
		return r.PerFunction == 0 || inFunction[f] <= r.PerFunction
	})
	all = keep(all, dataset.OverFile, dropped, func(p paperItem) bool {
		inFile[p.file]++
		return r.PerFile == 0 || inFile[p.file] <= r.PerFile
	})
	all = keep(all, dataset.RepeatedInFile, dropped, func(p paperItem) bool {
		t := function{p.file, p.Target}
		defer func() { seen[t] = true }()
		return !seen[t]
	})
	if r.PerRepository == 0 || len(all) <= r.PerRepository {
		return all
	}
	quota := shares(all, r.PerRepository)
	return keep(all, reasonOverClass, dropped, func(p paperItem) bool {
		c := repopeft.Difficulty(p.Target)
		quota[c]--
		return quota[c] >= 0
	})
}

func keep(all []paperItem, why dataset.Reason, dropped counter, wanted func(paperItem) bool) []paperItem {
	var kept []paperItem
	for _, p := range all {
		if wanted(p) {
			kept = append(kept, p)
		}
	}
	dropped.add(why, len(all)-len(kept))
	return kept
}

func shortestFirst(a, b paperItem) int {
	if a.multiline != b.multiline {
		if b.multiline {
			return -1
		}
		return 1
	}
	return cmp.Compare(utf8.RuneCountInString(a.Target), utf8.RuneCountInString(b.Target))
}

// shares divides n among the classes by their sizes, with largest remainders;
// of equal ones the class that comes first has it.
func shares(all []paperItem, n int) map[string]int {
	counts := map[string]int{}
	var order []string
	for _, p := range all {
		c := repopeft.Difficulty(p.Target)
		if counts[c]++; counts[c] == 1 {
			order = append(order, c)
		}
	}
	quota, rest := map[string]int{}, n
	for _, c := range order {
		quota[c] = counts[c] * n / len(all)
		rest -= quota[c]
	}
	slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(counts[b]*n%len(all), counts[a]*n%len(all)) })
	for _, c := range order[:rest] {
		quota[c]++
	}
	return quota
}

// paperSeed seeds all that is random in the paper's code.
const paperSeed = 3407

// randomSides divides the tasks of a repository at random, as the paper does:
// assertions of one function come to both sides.
func randomSides(all []paperItem) {
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	newPyRandom(paperSeed).shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	train, validation := len(all)*8/10, len(all)/10
	for rank, i := range order {
		switch {
		case rank < train:
			all[i].InRepo = dataset.Train
		case rank < train+validation:
			all[i].InRepo = dataset.Validation
		default:
			all[i].InRepo = dataset.Test
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
