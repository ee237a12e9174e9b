package mine

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/syntax"
)

// pythonOperators is how the paper's code writes operators.
var pythonOperators = set(`== != < <= > >= in is`)

func paperOperator(op string) string {
	if pythonOperators[op] || op == "not in" || op == "is not" {
		return " " + op + " "
	}
	return " ??? "
}

// paperCommit makes a task of an assertion by the paper's commit extractor
// (create_qnas.py): the prefix is the file before the statement, and the
// beginning of the statement written anew.
func paperCommit(text string, lines []int, p *syntax.Parts, o *syntax.Outline) (item, bool) {
	it := item{Kind: repopeft.Assertion, Family: p.Kind, Line: 1 + strings.Count(text[:p.Start], "\n")}
	of := func(s syntax.Span) string { return text[s.Start:s.End] }
	last := len(p.Positional) - 1
	inline := ""
	switch {
	case p.Kind == "assert" && len(p.Operators) == 0:
		inline = "assert "
		it.setTarget(text, "", p.Whole)
	case p.Kind == "assert":
		inline = "assert " + of(p.Left) + paperOperator(p.Operators[0])
		it.setTarget(text, "", p.Right[0])
	case last < 0:
		return it, false
	case p.Kind == "self.assertRaisesRegex":
		if last < 1 {
			return it, false
		}
		inline = p.Kind + "("
		it.setTarget(text, ")", p.Positional[:2]...)
	case p.Kind == "self.assertRaises" || strings.HasPrefix(p.Kind, "self.") && last == 0:
		inline = p.Kind + "("
		it.setTarget(text, ")", p.Positional[0])
	case p.Kind == "pytest.raises" || p.Kind == "pytest.approx":
		inline = p.Kind + "("
		it.setKeywords(text, p)
	default: // a single argument of assert_* leaves "name(, ", as in the code
		inline = p.Kind
		if p.Kind == "assert_*" {
			inline = of(p.Callee)
		}
		var before []string
		for _, a := range p.Positional[:last] {
			before = append(before, of(a))
		}
		inline += "(" + strings.Join(before, ", ") + ", "
		it.setTarget(text, ")", p.Positional[last])
	}
	it.Inline = &inline
	it.Cut = paperCut(text, lines, p.Start)
	it.Function, it.Class = paperFunction(p, o)
	return it, it.Target != ""
}

// paperFunction returns the innermost function around with "test" in its name,
// and its class.
func paperFunction(p *syntax.Parts, o *syntax.Outline) (function, class string) {
	for f := p.Function; f != syntax.None; f = o.Definitions[f].Parent {
		d := o.Definitions[f]
		if d.Class || !strings.Contains(strings.ToLower(d.Name), "test") {
			continue
		}
		if d.Parent != syntax.None && o.Definitions[d.Parent].Class {
			class = o.Definitions[d.Parent].Name
		}
		return d.Name, class
	}
	return "", ""
}

// pythonLines returns where the lines of a text begin that str.splitlines gives.
func pythonLines(text string) []int {
	starts := []int{0}
	for i, r := range text {
		end := i + utf8.RuneLen(r)
		switch r {
		case '\r':
			if strings.HasPrefix(text[end:], "\n") {
				continue
			}
		case '\n', '\v', '\f', 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029:
		default:
			continue
		}
		if end < len(text) {
			starts = append(starts, end)
		}
	}
	return starts
}

// paperCut returns where the paper's code cuts a text before a statement: it
// takes the number of the line from the parser and the lines from splitlines,
// which divides at more characters, and uses a column in bytes as one in
// characters.
func paperCut(text string, lines []int, start int) int {
	number, column := 0, start // counted as the parser does
	for i := 0; i < start; i++ {
		if text[i] == '\n' || text[i] == '\r' && (i+1 >= len(text) || text[i+1] != '\n') {
			number, column = number+1, start-i-1
		}
	}
	if number >= len(lines) {
		return len(text)
	}
	cut, end := lines[number], len(text)
	if number+1 < len(lines) {
		end = lines[number+1]
	}
	for ; column > 0 && cut < end; column-- {
		_, n := utf8.DecodeRuneInString(text[cut:])
		cut += n
	}
	return cut
}

// paperKeys returns what identifies each task among those of its file: its
// family, its whole prefix and its target, blanks collapsed. It reads the text
// once, and not once for each prefix.
func paperKeys(text string, items []item) []uint64 {
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return items[a].Cut - items[b].Cut })
	keys := make([]uint64, len(items))
	h, at := newCollapsed(), 0
	for _, i := range order {
		it := &items[i]
		h.write(text[at:it.Cut])
		at = it.Cut
		k := h
		k.write(*it.Inline)
		k.end()
		k.write(it.Target)
		k.end()
		k.write(it.Family)
		keys[i] = k.sum
	}
	return keys
}

// collapsed is an FNV-1a hash of text whose runs of blanks count as one, and
// not at all at both ends.
type collapsed struct {
	sum          uint64
	blank, begun bool
}

func newCollapsed() collapsed { return collapsed{sum: 14695981039346656037} }

func (h *collapsed) add(b byte) { h.sum = (h.sum ^ uint64(b)) * 1099511628211 }

func (h *collapsed) write(s string) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(s[i:]); unicode.IsSpace(r) {
				i += n - 1
				h.blank = true
				continue
			}
		} else if c == ' ' || c >= '\t' && c <= '\r' || c >= 0x1c && c <= 0x1f {
			h.blank = true
			continue
		}
		if h.blank && h.begun {
			h.add(' ')
		}
		h.blank, h.begun = false, true
		h.add(c)
	}
}

// end ends a part.
func (h *collapsed) end() {
	h.blank, h.begun = false, false
	h.add(0)
}
