package retrieve

import (
	"cmp"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/syntax"
)

// How much a prefix needs a definition, by how it uses the name.
const (
	useCall      = 1.0 // name(
	useAttribute = 0.8 // name.
	useName      = 0.5 // anywhere else
	useNone      = 0.1
)

// uses returns how a text uses each identifier in it, the strongest use of each.
func uses(text string) map[string]float64 {
	found := map[string]float64{}
	for i := 0; i < len(text); {
		if !isWord(text[i]) {
			i++
			continue
		}
		start := i
		for i < len(text) && isWord(text[i]) {
			i++
		}
		name := text[start:i]
		use := useName
		for j := i; j < len(text); j++ {
			switch text[j] {
			case ' ', '\t', '\n', '\r':
				continue
			case '(':
				use = useCall
			case '.':
				use = useAttribute
			}
			break
		}
		found[name] = max(found[name], use)
	}
	return found
}

// sortByUse puts the blocks first whose names the prefix uses most.
func sortByUse(blocks []block, prefix string) {
	found := uses(prefix)
	score := func(b block) float64 {
		s := useNone
		for _, n := range b.names {
			s = max(s, found[n])
		}
		return s
	}
	slices.SortStableFunc(blocks, func(a, b block) int { return cmp.Compare(score(b), score(a)) })
}

// Bounds of a shortened block, as in the paper's code.
const (
	shortFunction  = 5  // line breaks of a function that stays as it is
	signatureLines = 10 // of a signature that is longer
)

// shorten returns a block whose functions are signatures. In Python a class keeps
// its header, its attributes and its constructors, and a function the first line
// of its docstring. In other languages the bodies of long functions give way to
// "{ ... }". What can't be parsed stays.
func shorten(b block) string {
	code, clause := b.code, ""
	language := gitrepo.Language(b.path)
	if language == "go" {
		clause = "package p;" // a part of a file is none without
	}
	o, err := syntax.ParseFile(b.path, []byte(clause+code))
	if err != nil || len(o.Definitions) == 0 {
		return b.text()
	}
	if language != "python" {
		return b.head + strings.TrimPrefix(shortBodies(clause+code, o), clause)
	}
	var parts []string
	for _, s := range o.Statements {
		if s.Parent != syntax.None {
			continue
		}
		i := definedBy(o, s, syntax.None)
		switch {
		case i == syntax.None:
			parts = append(parts, code[s.Start:s.End])
		case o.Definitions[i].Class:
			parts = append(parts, shortClass(code, o, s, i))
		case strings.Count(code[s.Start:s.End], "\n") > shortFunction:
			parts = append(parts, signature(code, s, &o.Definitions[i]))
		default:
			parts = append(parts, code[s.Start:s.End])
		}
	}
	if len(parts) == 0 {
		return b.text()
	}
	return b.head + strings.Join(parts, "\n\n")
}

// definedBy returns the index of the definition that is a statement of parent's
// body, or None for another statement.
func definedBy(o *syntax.Outline, s syntax.Statement, parent int) int {
	if s.Kind != syntax.Defines {
		return syntax.None
	}
	return slices.IndexFunc(o.Definitions, func(d syntax.Definition) bool {
		return d.Parent == parent && s.Start <= d.Start && d.End <= s.End
	})
}

// constructors are the methods that a shortened class keeps whole.
var constructors = map[string]bool{"__init__": true, "__new__": true, "__post_init__": true}

// shortClass returns a class with the signatures of its methods. s is its
// statement, with decorators.
func shortClass(code string, o *syntax.Outline, s syntax.Statement, class int) string {
	lines := []string{strings.TrimRight(code[s.Start:max(s.Start, o.Definitions[class].Signature.End)], " \n")}
	for _, inner := range o.Statements {
		if inner.Parent != class {
			continue
		}
		whole := lineStart(code, inner.Start) + code[inner.Start:inner.End]
		i := definedBy(o, inner, class)
		switch {
		case inner.Kind == syntax.Assignment:
			lines = append(lines, whole)
		case i == syntax.None:
		case o.Definitions[i].Class:
			lines = append(lines, lineStart(code, inner.Start)+strings.TrimSpace(code[o.Definitions[i].Start:max(o.Definitions[i].Start, o.Definitions[i].Signature.End)])+" ...")
		case constructors[o.Definitions[i].Name]:
			lines = append(lines, whole)
		default:
			lines = append(lines, lineStart(code, inner.Start)+signature(code, inner, &o.Definitions[i]))
		}
	}
	if len(lines) == 1 {
		return lines[0] + " ..."
	}
	return strings.Join(lines, "\n")
}

// lineStart returns the white space between the beginning of the line and an
// offset.
func lineStart(code string, offset int) string {
	line := code[strings.LastIndexByte(code[:offset], '\n')+1 : offset]
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
}

// signature returns a function of Python without its body: decorators, the
// signature, the first line of the docstring, and "...".
func signature(code string, s syntax.Statement, d *syntax.Definition) string {
	text := strings.TrimRight(code[s.Start:max(s.Start, d.Signature.End)], " \n")
	if lines := strings.SplitAfter(text, "\n"); len(lines) > signatureLines {
		text = strings.TrimRight(strings.Join(lines[:signatureLines], ""), "\n")
	}
	doc := docLine(code[d.Doc.Start:d.Doc.End])
	if doc == "" {
		return text + " ..."
	}
	indent := "\n" + lineStart(code, s.Start) + "    "
	return text + indent + `"""` + doc + `"""` + indent + "..."
}

// docLine returns the first line of a docstring, without its quotes.
func docLine(doc string) string {
	doc = strings.TrimLeft(doc, "rRuU")
	for _, quote := range []string{`"""`, `'''`, `"`, `'`} {
		if inner, ok := strings.CutPrefix(doc, quote); ok {
			doc = strings.TrimSpace(strings.TrimSuffix(inner, quote))
			break
		}
	}
	line, _, _ := strings.Cut(doc, "\n")
	return strings.TrimSpace(strings.ReplaceAll(line, `"""`, ""))
}

// shortBodies replaces the bodies of functions that aren't short or constructors.
func shortBodies(code string, o *syntax.Outline) string {
	var b strings.Builder
	at := 0
	for _, d := range o.Definitions {
		body := d.Body
		isConstructor := d.Name == "constructor" || d.Parent != syntax.None && d.Name == o.Definitions[d.Parent].Name
		if d.Class || isConstructor || body.Start < at || body.End <= body.Start || body.End > len(code) ||
			strings.Count(code[body.Start:body.End], "\n") <= shortFunction {
			continue
		}
		b.WriteString(code[at:body.Start])
		b.WriteString("{ ... }")
		at = body.End
	}
	return b.String() + code[at:]
}
