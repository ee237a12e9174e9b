package metric

import (
	"fmt"
	"strings"

	"github.com/code2lora/code2lora/internal/syntax"
)

// CodeScore is the CodeBLEU of a prediction with its four parts.
type CodeScore struct {
	// Value is the mean of the parts. A data flow match of 0 counts as 1, as in
	// the package: it is meant for targets without data flow, and also raises
	// predictions that share none with the target.
	Value    float64
	NGram    float64 // BLEU of words between blanks
	Weighted float64 // recall of n-grams, with keywords of more weight
	Syntax   float64 // share of the target's subtrees that the prediction has
	DataFlow float64 // share of the target's data flow that the prediction has; 0 without any
	// Flows is the number of the target's data flow items. Without any, the
	// last part says nothing.
	Flows int
}

// codeLanguage is what CodeBLEU needs to know of a language.
type codeLanguage struct {
	keywords []string
	clean    func(string) string // without comments
	flow     flowRules
}

// CodeBLEU returns the CodeBLEU of a prediction as the package codebleu 0.7
// gives it, for go, java, javascript and python; typescript and tsx, which it
// doesn't know, have the rules of javascript and their own grammar.
//
// It is meant for whole functions, and of short texts it says little: "foo"
// against "bar" gives ½, since the trees are the same and there is no data
// flow. A Python text that begins with a string loses it, as a docstring would.
func CodeBLEU(language, prediction, reference string) (CodeScore, error) {
	l, ok := codeLanguages[language]
	if !ok {
		return CodeScore{}, fmt.Errorf("CodeBLEU of language %q: want go, java, javascript, python, typescript or tsx", language)
	}
	prediction, reference = strip(strings.ToValidUTF8(prediction, "\uFFFD")), strip(strings.ToValidUTF8(reference, "\uFFFD"))
	var score CodeScore
	score.NGram, score.Weighted = codeNgrams(fields(prediction), fields(reference), l.keywords)
	p, err := syntax.ParseTree(language, []byte(l.clean(prediction)))
	if err != nil {
		return CodeScore{}, fmt.Errorf("CodeBLEU: prediction: %w", err)
	}
	r, err := syntax.ParseTree(language, []byte(l.clean(reference)))
	if err != nil {
		return CodeScore{}, fmt.Errorf("CodeBLEU: target: %w", err)
	}
	score.Syntax = syntaxMatch(p, r)
	score.DataFlow, score.Flows = flowMatch(dataFlow(p, l.flow), dataFlow(r, l.flow))
	last := score.DataFlow
	if last == 0 {
		last = 1
	}
	score.Value = (score.NGram + score.Weighted + score.Syntax + last) / 4
	return score, nil
}

// syntaxMatch returns the share of the target's subtrees, leaves apart, whose
// form is anywhere in the prediction.
func syntaxMatch(prediction, reference *syntax.Tree) float64 {
	shapes := syntax.Shapes{}
	has := map[int]bool{}
	for _, shape := range subtrees(shapes, prediction) {
		has[shape] = true
	}
	match := 0
	all := subtrees(shapes, reference)
	for _, shape := range all {
		if has[shape] {
			match++
		}
	}
	return float64(match) / float64(len(all))
}

// subtrees returns the forms of the root and of all nodes with children.
func subtrees(shapes syntax.Shapes, t *syntax.Tree) (all []int) {
	for i, shape := range shapes.Of(t) {
		if i == 0 || len(t.Nodes[i].Children) > 0 {
			all = append(all, shape)
		}
	}
	return all
}

// flowMatch returns the share of the target's items that the prediction has,
// each as often as it has it.
func flowMatch(prediction, reference []string) (share float64, total int) {
	left := map[string]int{}
	for _, item := range prediction {
		left[item]++
	}
	match := 0
	for _, item := range reference {
		if left[item] > 0 {
			left[item]--
			match++
		}
	}
	if len(reference) == 0 {
		return 0, 0
	}
	return float64(match) / float64(len(reference)), len(reference)
}

// The keywords that have more weight, as the package lists them: so True is
// one of JavaScript, and true is not.
var (
	pythonKeywords = strings.Fields(`False None True and as assert async await break class continue def del elif else except finally
		for from global if import in is lambda nonlocal not or pass raise return try while with yield match case type`)
	goKeywords = strings.Fields(`break default func interface select case defer go map struct chan else goto package switch const
		fallthrough if range type continue for import return var false true`)
	javaKeywords = strings.Fields(`abstract assert boolean break byte case catch char class const continue default do double else
		enum extends final finally float for goto if implements import instanceof int interface long native new package private
		protected public return short static strictfp super switch synchronized this throw throws transient try void volatile while`)
	scriptKeywords = strings.Fields(`await break case catch class const continue debugger default delete do else enum export extends
		false finally for function if implements import in instanceof interface let new null package private protected public return
		super switch static this throw try True typeof var void while with yield`)

	scriptCode    = codeLanguage{scriptKeywords, withoutCComments, scriptFlow}
	codeLanguages = map[string]codeLanguage{
		"python":     {pythonKeywords, withoutPythonComments, pythonFlow},
		"go":         {goKeywords, withoutCComments, goFlow},
		"java":       {javaKeywords, withoutCComments, javaFlow},
		"javascript": scriptCode,
		"typescript": scriptCode,
		"tsx":        scriptCode,
	}
)
