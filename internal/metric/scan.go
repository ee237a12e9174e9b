package metric

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tokenKind tells apart what matters to where an answer ends.
type tokenKind int

const (
	blank tokenKind = iota
	newline
	comment
	word // name or number
	quoted
	opening // one of ( [ {
	closing // one of ) ] }
	comma
	operator
	opaque // what only a parser could read: the rest of the text from an element of JSX on
)

// token is a piece of a text.
type token struct {
	kind       tokenKind
	start, end int
	// open tells that the text ended within it; more text may change it.
	open bool
}

// lexis is what the tokens of a language look like.
type lexis struct {
	line      string   // what begins a comment to the end of the line
	block     bool     // /* … */ is a comment
	operators []string // those of several characters
	python    bool     // triple quotes, prefixes, backslash at the end of a line
	raw       bool     // `…` is a string without escapes
	template  bool     // `…${…}…` is one
	triple    bool     // """ … """ is one
	regex     bool     // /…/ is a literal, and <a> an element, where an operand may stand
	generic   bool     // A<B, C> is a type
}

var (
	cOperators  = []string{"==", "!=", "<=", ">=", "&&", "||", "++", "--", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<", ">>", "<<=", ">>="}
	scriptLexis = lexis{line: "//", block: true, template: true, regex: true, operators: append([]string{
		"===", "!==", "=>", "**", "**=", "??", "??=", "?.", "&&=", "||=", ">>>", ">>>=", "...", ".."}, cOperators...)}
	typedLexis = withGenerics(scriptLexis)
	lexes      = map[string]lexis{
		"python": {line: "#", python: true, operators: []string{"**", "//", ">>", "<<", "<=", ">=", "==", "!=", "<>", "->", ":=", "...", "..",
			"+=", "-=", "*=", "/=", "//=", "%=", "@=", "&=", "|=", "^=", ">>=", "<<=", "**="}},
		"go": {line: "//", block: true, raw: true, operators: append([]string{"<-", ":=", "&^", "&^=", "...", ".."}, cOperators...)},
		"java": {line: "//", block: true, triple: true, generic: true, operators: append([]string{
			"::", "->", ">>>", ">>>=", "...", ".."}, cOperators...)},
		"javascript": scriptLexis,
		"typescript": typedLexis,
		"tsx":        typedLexis,
	}
)

// withGenerics returns the lexis of a language whose types have arguments.
func withGenerics(l lexis) lexis {
	l.generic = true
	return l
}

// lexisOf returns the tokens of a language.
func lexisOf(language string) *lexis {
	l, ok := lexes[language]
	if !ok {
		l = lexes["python"]
	}
	return &l
}

// scanner reads a text token by token.
type scanner struct {
	*lexis
	text    string
	operand bool // the next token stands where an operand does, not an operator
	opaque  bool // elements of JSX are to be told from comparisons
	depth   int  // of strings within strings
}

func newScanner(language, text string) *scanner {
	return &scanner{lexis: lexisOf(language), text: text, operand: true}
}

// maxNesting is how deep strings with expressions in them may nest.
const maxNesting = 50

// next returns the token at offset at, which is below len(text).
func (s *scanner) next(at int) token {
	t := s.read(at)
	switch t.kind {
	case quoted, closing:
		s.operand = false
	case word:
		s.operand = slices.Contains(operandWords, s.text[t.start:t.end])
	case opening, comma, operator:
		text := s.text[t.start:t.end]
		s.operand = text != "++" && text != "--"
	}
	return t
}

// operandWords are the words of JavaScript that an operand may follow.
var operandWords = []string{"return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "instanceof", "else", "do", "yield", "await"}

func (s *scanner) read(at int) token {
	rest := s.text[at:]
	t := token{start: at, end: at + 1}
	switch c := rest[0]; {
	case c == '\n', c == '\r':
		t.kind = newline
		if strings.HasPrefix(rest, "\r\n") {
			t.end++
		}
	case strings.HasPrefix(rest, s.line):
		t.kind = comment
		t.end = s.lineEnd(at)
		t.open = t.end == len(s.text)
	case s.block && strings.HasPrefix(rest, "/*"):
		t.kind = comment
		t.end, t.open = s.until(at+2, "*/")
	case s.python && (strings.HasPrefix(rest, "\\\n") || strings.HasPrefix(rest, "\\\r\n")):
		t.kind = blank
		t.end = at + strings.IndexByte(rest, '\n') + 1
	case strings.IndexByte("([{", c) >= 0:
		t.kind = opening
	case strings.IndexByte(")]}", c) >= 0:
		t.kind = closing
	case c == ',':
		t.kind = comma
	case c == '"' || c == '\'' || c == '`':
		return s.quote(at, at, false)
	default:
		return s.other(at)
	}
	return t
}

// other reads what doesn't begin with one of the characters above.
func (s *scanner) other(at int) token {
	rest := s.text[at:]
	r, size := utf8.DecodeRuneInString(rest)
	switch {
	case isSpace(r):
		end := at + size
		for end < len(s.text) {
			r, size := utf8.DecodeRuneInString(s.text[end:])
			if r == '\n' || r == '\r' || !isSpace(r) {
				break
			}
			end += size
		}
		return token{kind: blank, start: at, end: end}
	case isWord(r) || r == '.' && len(rest) > 1 && isDigit(rest[1]):
		return s.word(at)
	case s.regex && s.operand && r == '/':
		if t, ok := s.regexp(at); ok {
			return t
		}
	case s.opaque && s.regex && s.operand && r == '<':
		return token{kind: opaque, start: at, end: len(s.text), open: true}
	}
	end := at + size
	for _, op := range s.operators {
		if strings.HasPrefix(rest, op) {
			end = max(end, at+len(op))
		}
	}
	return token{kind: operator, start: at, end: end}
}

func isWord(r rune) bool {
	return r == '_' || r == '$' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// word reads a name, a number, or a string of Python that has a prefix.
func (s *scanner) word(at int) token {
	number := isDigit(s.text[at]) || s.text[at] == '.'
	hex := number && len(s.text) > at+1 && strings.IndexByte("xX", s.text[at+1]) >= 0
	end := at
	for end < len(s.text) {
		r, size := utf8.DecodeRuneInString(s.text[end:])
		switch {
		case isWord(r):
		case number && r == '.':
		case number && (r == '+' || r == '-') && end > at && isExponent(s.text[end-1], hex):
		default:
			size = 0
		}
		if size == 0 {
			break
		}
		end += size
	}
	if s.python && end-at <= 2 && end < len(s.text) && strings.IndexByte(`"'`, s.text[end]) >= 0 {
		prefix := strings.ToLower(s.text[at:end])
		if strings.Trim(prefix, "rbuf") == "" {
			return s.quote(at, end, strings.Contains(prefix, "f"))
		}
	}
	return token{kind: word, start: at, end: end}
}

func isExponent(c byte, hex bool) bool {
	if hex {
		return c == 'p' || c == 'P'
	}
	return c == 'e' || c == 'E'
}

// quote reads a string whose quotation mark is at offset q; at is that of its
// prefix. A string that ends neither with its mark nor, if it may not have
// several lines, before the end of its line, is open. With format, the string
// has expressions in braces.
func (s *scanner) quote(at, q int, format bool) token {
	t := token{kind: quoted, start: at}
	mark := s.text[q : q+1]
	lines := false
	if triple := strings.Repeat(mark, 3); (s.python || s.triple && mark == `"`) && strings.HasPrefix(s.text[q:], triple) {
		mark, lines = triple, true
	}
	switch {
	case mark == "`" && s.raw:
		t.end, t.open = s.until(q+1, "`")
		return t
	case mark == "`" && s.template:
		lines = true
	case mark == "`": // not a string in this language
		return token{kind: operator, start: at, end: q + 1}
	}
	for i := q + len(mark); i < len(s.text); {
		switch c := s.text[i]; {
		case strings.HasPrefix(s.text[i:], mark):
			t.end = i + len(mark)
			return t
		case c == '\\':
			i++ // in Python's raw strings too, what follows doesn't end the string
			if i < len(s.text) {
				_, size := utf8.DecodeRuneInString(s.text[i:])
				i += size
			}
		case c == '\n' && !lines:
			t.end, t.open = i, false
			return t
		case format && strings.HasPrefix(s.text[i:], "{{"):
			i += 2
		case format && c == '{':
			i = s.within(i+1, lines)
		case mark == "`" && strings.HasPrefix(s.text[i:], "${"):
			i = s.within(i+2, true)
		default:
			i++
		}
	}
	t.end, t.open = len(s.text), true
	return t
}

// within returns the offset behind the "}" that ends an expression in a
// string, or where its line ends, if it may not have several.
func (s *scanner) within(at int, lines bool) int {
	if s.depth >= maxNesting {
		return len(s.text)
	}
	inner := &scanner{lexis: s.lexis, text: s.text, operand: true, depth: s.depth + 1}
	for depth := 0; at < len(s.text); {
		t := inner.next(at)
		switch {
		case t.kind == newline && !lines, t.kind == comment && s.python:
			return at
		case t.kind == opening:
			depth++
		case t.kind == closing && depth == 0:
			return t.end
		case t.kind == closing:
			depth--
		case s.python && depth == 0 && t.kind == operator && s.text[at] == ':':
			return s.formatEnd(t.end)
		}
		at = t.end
	}
	return at
}

// formatEnd returns the offset behind the "}" that ends a format, which may
// have expressions in braces of its own.
func (s *scanner) formatEnd(at int) int {
	for at < len(s.text) {
		switch s.text[at] {
		case '}':
			return at + 1
		case '\n':
			return at
		case '{':
			at = s.within(at+1, false)
		default:
			at++
		}
	}
	return at
}

// regexp reads a regular expression of JavaScript.
func (s *scanner) regexp(at int) (token, bool) {
	class := false
	for i := at + 1; i < len(s.text); i++ {
		switch s.text[i] {
		case '\n', '\r':
			return token{}, false
		case '\\':
			i++
		case '[':
			class = true
		case ']':
			class = false
		case '/':
			if !class {
				return token{kind: quoted, start: at, end: i + 1}, true
			}
		}
	}
	return token{kind: quoted, start: at, end: len(s.text), open: true}, true
}

// until returns the offset behind the next end mark, or that of the end of
// the text.
func (s *scanner) until(at int, mark string) (end int, open bool) {
	if at > len(s.text) {
		return len(s.text), true
	}
	i := strings.Index(s.text[at:], mark)
	if i < 0 {
		return len(s.text), true
	}
	return at + i + len(mark), false
}

// lineEnd returns the offset of the end of the line.
func (s *scanner) lineEnd(at int) int {
	if i := strings.IndexAny(s.text[at:], "\r\n"); i >= 0 {
		return at + i
	}
	return len(s.text)
}

// typeArguments returns the offset behind the ">" that ends the list of types
// which begins at offset at, or −1 where there is no such list: "<" stands
// directly behind the name of a type, in capitals by convention. With open, the
// text ended before that was clear.
func (s *scanner) typeArguments(name string, at int) (end int, open bool) {
	if !s.generic || at >= len(s.text) || s.text[at] != '<' {
		return -1, false
	}
	if r, _ := utf8.DecodeRuneInString(name); !unicode.IsUpper(r) {
		return -1, false
	}
	depth := 0
	for i, r := range s.text[at:] {
		switch {
		case r == '<':
			depth++
		case r == '>':
			if depth--; depth == 0 {
				return at + i + 1, false
			}
		case isWord(r) || strings.ContainsRune(" ,.?&|[]", r):
		default:
			return -1, false
		}
	}
	return -1, true
}
