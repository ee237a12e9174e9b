package repopeft

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// The classes of targets, after which the static track balances its tasks.
const (
	BoolLiteral    = "bool_literal"
	NoneLiteral    = "none_literal"
	StringLiteral  = "string_literal"
	NumericLiteral = "numeric_literal"
	Collection     = "collection"
	FuncCall       = "func_call"
	Variable       = "variable"
	ComplexExpr    = "complex_expr"
)

// Difficulties lists the classes in the order of their rules.
var Difficulties = []string{BoolLiteral, NoneLiteral, StringLiteral, NumericLiteral, Collection, FuncCall, Variable, ComplexExpr}

// Difficulty returns the class of a target by the rules of the paper's code,
// which are about Python: the target without blanks around it and without the
// brackets ")" at its end is compared with one class after the other. A call
// is what has "(" anywhere in the target, with the brackets at its end.
func Difficulty(target string) string {
	return difficulty(target, pythonWords)
}

// DifficultyIn is as Difficulty, with what the constants and strings of a
// language look like. In Python, and in languages that aren't known, it is
// Difficulty.
func DifficultyIn(language, target string) string {
	if w, ok := words[language]; ok {
		return difficulty(target, w)
	}
	return Difficulty(target)
}

// constants has the words of a language for truth and for nothing, and the
// beginnings of its strings.
type constants struct {
	truth, nothing, quotes []string
}

var (
	pythonWords = constants{[]string{"True", "False"}, []string{"None"}, []string{"'", `"`, "b'", `b"`, "f'", `f"`}}
	scriptWords = constants{[]string{"true", "false"}, []string{"null", "undefined"}, []string{"'", `"`, "`"}}
	words       = map[string]constants{
		"python":     pythonWords,
		"go":         {[]string{"true", "false"}, []string{"nil"}, []string{"'", `"`, "`"}},
		"java":       {[]string{"true", "false"}, []string{"null"}, []string{"'", `"`}},
		"javascript": scriptWords,
		"typescript": scriptWords,
		"tsx":        scriptWords,
	}
)

// pythonFloat is what Python's float() reads, digits of other scripts apart.
var pythonFloat = regexp.MustCompile(`(?i)^[+-]?(?:(?:\d+(?:_\d+)*\.?(?:\d+(?:_\d+)*)?|\.\d+(?:_\d+)*)(?:e[+-]?\d+(?:_\d+)*)?|inf|infinity|nan)$`)

func difficulty(target string, w constants) string {
	t := strings.TrimRight(strings.TrimSpace(target), ")")
	switch {
	case slices.Contains(w.truth, t):
		return BoolLiteral
	case slices.Contains(w.nothing, t):
		return NoneLiteral
	case slices.ContainsFunc(w.quotes, func(q string) bool { return strings.HasPrefix(t, q) }):
		return StringLiteral
	case pythonFloat.MatchString(strings.TrimSpace(strings.Replace(t, "-", "", 1))):
		return NumericLiteral
	case t != "" && strings.ContainsRune("[({", rune(t[0])):
		return Collection
	case strings.Contains(target, "("):
		return FuncCall
	case isIdentifier(t):
		return Variable
	}
	return ComplexExpr
}

// isIdentifier reports whether s is a name in Python; keywords are, as in
// str.isidentifier.
func isIdentifier(s string) bool {
	for i, r := range s {
		ok := r == '_' || unicode.IsLetter(r) || unicode.Is(unicode.Nl, r)
		if i > 0 {
			ok = ok || unicode.In(r, unicode.Nd, unicode.Mn, unicode.Mc, unicode.Pc)
		}
		if !ok {
			return false
		}
	}
	return s != ""
}
