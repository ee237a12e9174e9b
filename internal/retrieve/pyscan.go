package retrieve

import (
	"slices"
	"strings"
)

// statement is a logical line of Python: a simple statement, or the head of a
// compound one.
type statement struct {
	start, end int
	indent     int // of its first line, in bytes
	tokens     []token
}

// token is an identifier, a keyword, a number or one other character. Strings
// have none, except for what f-strings compute.
type token struct {
	text  string
	start int
}

// is tells whether the statement begins with one of several words.
func (s *statement) is(words ...string) bool {
	return len(s.tokens) > 0 && slices.Contains(words, s.tokens[0].text)
}

// isFunction tells whether this is the head of a function.
func (s *statement) isFunction() bool {
	return s.is("def") || s.is("async") && len(s.tokens) > 1 && s.tokens[1].text == "def"
}

// scanner splits Python into statements. It needs no complete file: a prefix that
// ends anywhere has statements up to there, which a parser would have to guess.
type scanner struct {
	text       string
	at         int
	depth      int // of brackets
	statements []statement
	open       bool // the last of statements goes on
}

// scan returns the statements of a text.
func scan(text string) []statement {
	s := &scanner{text: text}
	for s.at < len(s.text) {
		s.line()
	}
	return s.statements
}

// line reads the rest of a physical line.
func (s *scanner) line() {
	start := s.at
	for s.at < len(s.text) && strings.IndexByte(" \t\f", s.text[s.at]) >= 0 {
		s.at++
	}
	indent := s.at - start
	if indent == 0 && s.depth > 0 && startsDefinition(s.text[s.at:]) {
		s.depth, s.open = 0, false // a bracket was never closed
	}
	for s.at < len(s.text) {
		c := s.text[s.at]
		switch {
		case c == '\n':
			s.at++
			s.open = s.open && s.depth > 0
			return
		case c == '\\' && strings.HasPrefix(strings.TrimPrefix(s.text[s.at+1:], "\r"), "\n"):
			s.at += strings.IndexByte(s.text[s.at:], '\n') + 1
			return // the statement stays open
		case c == '#':
			s.skipTo('\n')
		case c == ' ' || c == '\t' || c == '\r' || c == '\f':
			s.at++
		case c == ';' && s.depth == 0:
			s.at++
			s.open = false
		default:
			s.token(indent)
		}
	}
}

// startsDefinition tells whether a line that begins with this can't be the inside
// of brackets.
func startsDefinition(line string) bool {
	for _, word := range []string{"def ", "class ", "async def ", "import ", "from ", "@"} {
		if strings.HasPrefix(line, word) {
			return true
		}
	}
	return false
}

func (s *scanner) skipTo(c byte) {
	if i := strings.IndexByte(s.text[s.at:], c); i >= 0 {
		s.at += i
	} else {
		s.at = len(s.text)
	}
}

// token reads a token or a string, and adds it to the statement.
func (s *scanner) token(indent int) {
	if !s.open {
		s.statements = append(s.statements, statement{start: s.at, indent: indent})
		s.open = true
	}
	start := s.at
	for s.at < len(s.text) && isNameByte(s.text[s.at]) {
		s.at++
	}
	word := s.text[start:s.at]
	if s.at < len(s.text) && (s.text[s.at] == '"' || s.text[s.at] == '\'') && isStringPrefix(word) {
		s.stringLiteral(strings.ContainsAny(word, "fF"))
	} else {
		if word == "" {
			s.at++
			word = s.text[start:s.at]
		}
		switch word {
		case "(", "[", "{":
			s.depth++
		case ")", "]", "}":
			s.depth = max(0, s.depth-1)
		}
		s.add(word, start)
	}
	s.statements[len(s.statements)-1].end = s.at
}

func (s *scanner) add(text string, start int) {
	last := &s.statements[len(s.statements)-1]
	last.tokens = append(last.tokens, token{text, start})
}

func isNameByte(c byte) bool { return isWord(c) || c >= 0x80 }

func isStringPrefix(word string) bool {
	return len(word) <= 2 && strings.Trim(word, "rRbBuUfF") == ""
}

// stringLiteral reads a string from its quote on. In an f-string, names in braces
// are tokens.
func (s *scanner) stringLiteral(formatted bool) {
	quote := s.text[s.at : s.at+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(s.text[s.at:], triple) {
		quote = triple
	}
	s.at += len(quote)
	braces := 0
	for s.at < len(s.text) {
		c := s.text[s.at]
		switch {
		case strings.HasPrefix(s.text[s.at:], quote):
			s.at += len(quote)
			return
		case c == '\\' && s.at+1 < len(s.text):
			s.at += 2
			continue
		case c == '\n' && len(quote) == 1:
			return // never closed
		case formatted && c == '{' && strings.HasPrefix(s.text[s.at:], "{{") && braces == 0:
			s.at++
		case formatted && c == '{':
			braces++
		case formatted && c == '}' && braces > 0:
			braces--
		case braces > 0 && isNameByte(c):
			start := s.at
			for s.at < len(s.text) && isNameByte(s.text[s.at]) {
				s.at++
			}
			s.add(s.text[start:s.at], start)
			continue
		}
		s.at++
	}
}

// functionsAround returns, for each statement, the head of the innermost function
// around it (of a head itself), or -1.
func functionsAround(statements []statement) []int {
	type level struct{ indent, function int }
	var levels []level // of ever larger indent
	around := make([]int, len(statements))
	for k := range statements {
		s := &statements[k]
		for len(levels) > 0 && levels[len(levels)-1].indent >= s.indent {
			levels = levels[:len(levels)-1]
		}
		around[k] = -1
		if s.isFunction() {
			around[k] = k
		} else if len(levels) > 0 {
			around[k] = levels[len(levels)-1].function
		}
		levels = append(levels, level{s.indent, around[k]})
	}
	return around
}

// enclosing returns the statements [first, last) of the innermost function around
// the statement that an offset is in, with its decorators; false if there is none.
func enclosing(statements []statement, around []int, offset int) (first, last int, ok bool) {
	k := len(statements) - 1
	for k >= 0 && statements[k].start > offset {
		k--
	}
	if k < 0 || around[k] < 0 {
		return 0, 0, false
	}
	first, last = around[k], k+1
	indent := statements[first].indent
	for last < len(statements) && statements[last].indent > indent {
		last++
	}
	for first > 0 && statements[first-1].is("@") && statements[first-1].indent == indent {
		first--
	}
	return first, last, true
}
