package metric

import (
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"
)

// cComment is a comment or a string, as the package codebleu finds them.
var cComment = regexp.MustCompile(`(?sm)//.*?$|/\*.*?\*/|'(?:\\.|[^\\'])*'|"(?:\\.|[^\\"])*"`)

// withoutCComments makes each comment a space, and drops blank lines.
func withoutCComments(text string) string {
	return dropBlankLines(cComment.ReplaceAllStringFunc(text, func(s string) string {
		if s[0] == '/' {
			return " "
		}
		return s
	}))
}

func dropBlankLines(text string) string {
	var kept []string
	for line := range strings.SplitSeq(text, "\n") {
		if strip(line) != "" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// withoutPythonComments is remove_comments_and_docstrings of the package
// codebleu: what Python's tokenizer makes of a text, without comments, without
// strings that begin a line of their own or the text, and with spaces for what
// is between tokens. Text that the tokenizer refuses is returned as it is.
func withoutPythonComments(text string) string {
	p := pythonTokens{text: text, previous: pyIndent, indents: []int{0}}
	for p.pos < len(p.text) || p.rest != nil {
		if err := p.line(); err != nil {
			return text
		}
		if p.ended {
			break
		}
	}
	if p.rest != nil || p.depth != 0 || p.continued {
		return text // the tokenizer misses the end of a string or statement
	}
	return dropBlankLines(p.out.String())
}

// pyToken is a kind of token as far as docstrings are concerned.
type pyToken int

const (
	pyOther pyToken = iota
	pyIndent
	pyNewline // at the end of a statement
	pyString
	pyComment
)

// pythonTokens is the tokenizer of Python 3.11's standard library, which works
// line by line with regular expressions.
type pythonTokens struct {
	text      string
	pos       int // where the next line begins
	depth     int // of brackets; below zero after one too many
	continued bool
	ended     bool // a last line of blanks only, at which the tokenizer stops
	indents   []int

	rest       *regexp.Regexp // ends the string that goes on from the line before
	joined     string         // its text so far
	joinedAt   int            // its column
	joinedLine bool           // it may only go on behind a backslash

	out      strings.Builder
	previous pyToken
	column   int // behind the last token, on this line
}

const (
	pyNumber = `0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|` + // only the extent matters
		`(?:[0-9](?:_?[0-9])*\.(?:[0-9](?:_?[0-9])*)?|\.[0-9](?:_?[0-9])*)(?:[eE][-+]?[0-9](?:_?[0-9])*)?[jJ]?|` +
		`[0-9](?:_?[0-9])*[eE][-+]?[0-9](?:_?[0-9])*[jJ]?|[0-9](?:_?[0-9])*[jJ]|(?:0(?:_?0)*|[1-9](?:_?[0-9])*)`
	pyOperator = `\*\*=|//=|>>=|<<=|\.\.\.|!=|%=|&=|\*\*|\*=|\+=|-=|->|//|/=|:=|<<|<=|==|>=|>>|@=|\^=|\|=|` +
		`[%&()*+,\-./:;<=>@\[\]^{|}~]`
	pyPrefix = `(?i:|b|r|u|f|br|rb|fr|rf)`
	pyQuoted = pyPrefix + `'[^\n'\\]*(?:\\.[^\n'\\]*)*(?:'|\\\r?\n)|` + pyPrefix + `"[^\n"\\]*(?:\\.[^\n"\\]*)*(?:"|\\\r?\n)`
)

var (
	pyNext = regexp.MustCompile(`^[ \f\t]*(\\\r?\n|#[^\r\n]*|` + pyPrefix + `(?:'''|""")|` + pyNumber + `|\r?\n|` + pyOperator + `|` + pyQuoted + `|[\p{L}\p{N}_]+)`)
	pyEnds = map[string]*regexp.Regexp{
		`'`:   regexp.MustCompile(`^[^'\\]*(?:\\.[^'\\]*)*'`),
		`"`:   regexp.MustCompile(`^[^"\\]*(?:\\.[^"\\]*)*"`),
		`'''`: regexp.MustCompile(`^(?:[^\\]|\\.)*?'''`),
		`"""`: regexp.MustCompile(`^(?:[^\\]|\\.)*?"""`),
	}

	errDedent       = errors.New("unindent does not match any outer level")
	errUnterminated = errors.New("a string has no end")
)

// line reads the next line.
func (p *pythonTokens) line() error {
	end := len(p.text)
	if i := strings.IndexByte(p.text[p.pos:], '\n'); i >= 0 {
		end = p.pos + i + 1
	}
	line := p.text[p.pos:end]
	p.pos = end
	at := 0
	switch {
	case p.rest != nil:
		if line == "" {
			return errUnterminated
		}
		var done bool
		if at, done = p.resume(line); done {
			return nil
		}
	case p.depth == 0 && !p.continued:
		var done bool
		var err error
		if at, done, err = p.indent(line); done || err != nil {
			return err
		}
	default:
		p.continued = false
		p.column = 0
	}
	p.tokens(line, at)
	return nil
}

// resume goes on with a string of the line before.
func (p *pythonTokens) resume(line string) (at int, done bool) {
	m := p.rest.FindStringIndex(line)
	switch {
	case m != nil:
		p.rest = nil
		p.emit(pyString, p.joined+line[:m[1]], p.joinedAt)
		p.column = m[1]
		return m[1], false
	case p.joinedLine && !strings.HasSuffix(line, "\\\n") && !strings.HasSuffix(line, "\\\r\n"):
		p.rest = nil
		p.emit(pyOther, p.joined+line, p.joinedAt)
		p.column = len(line)
		return 0, true
	}
	p.joined += line
	return 0, true
}

// indent reads the blanks that begin a statement.
func (p *pythonTokens) indent(line string) (at int, done bool, err error) {
	p.column = 0
	width := 0
	for ; at < len(line); at++ {
		switch line[at] {
		case ' ':
			width++
			continue
		case '\t':
			width = (width/8 + 1) * 8
			continue
		case '\f':
			width = 0
			continue
		}
		break
	}
	if at == len(line) {
		p.ended = true
		return at, true, nil
	}
	if line[at] == '#' || line[at] == '\r' || line[at] == '\n' {
		rest := line[at:]
		if line[at] == '#' {
			text := strings.TrimRight(rest, "\r\n")
			p.emit(pyComment, text, at)
			at += len(text)
		}
		p.emit(pyOther, line[at:], at)
		return at, true, nil
	}
	if last := p.indents[len(p.indents)-1]; width > last {
		p.indents = append(p.indents, width)
		p.emit(pyIndent, line[:at], 0)
	}
	for width < p.indents[len(p.indents)-1] {
		p.indents = p.indents[:len(p.indents)-1]
		if width > p.indents[len(p.indents)-1] {
			return at, false, errDedent
		}
		p.emit(pyOther, "", at) // a dedent, which hides what was before
	}
	return at, false, nil
}

// tokens reads the rest of a line.
func (p *pythonTokens) tokens(line string, at int) {
	for at < len(line) {
		m := pyNext.FindStringSubmatchIndex(line[at:])
		if m == nil {
			if strings.Trim(line[at:], " \f\t") == "" {
				return // blanks at the end of the text
			}
			_, size := utf8.DecodeRuneInString(line[at:])
			p.emit(pyOther, line[at:at+size], at)
			at += size
			continue
		}
		start, end := at+m[2], at+m[3]
		text := line[start:end]
		at = end
		body := strings.TrimLeft(text, "bBrRuUfF")
		switch {
		case strings.HasPrefix(text, "\\"):
			p.continued = true
		case text[0] == '#':
			p.emit(pyComment, text, start)
		case text[0] == '\n' || text[0] == '\r':
			kind := pyNewline
			if p.depth > 0 {
				kind = pyOther
			}
			p.emit(kind, text, start)
		case body == "'''" || body == `"""`:
			if m := pyEnds[body].FindStringIndex(line[at:]); m != nil {
				at += m[1]
				p.emit(pyString, line[start:at], start)
				continue
			}
			p.suspend(line[start:], start, body, false)
			return
		case body != "" && (body[0] == '\'' || body[0] == '"'):
			if strings.HasSuffix(text, "\n") {
				p.suspend(line[start:], start, body[:1], true)
				return
			}
			p.emit(pyString, text, start)
		default:
			switch {
			case strings.Contains("([{", text):
				p.depth++
			case strings.Contains(")]}", text):
				p.depth--
			}
			p.emit(pyOther, text, start)
		}
	}
}

// suspend keeps a string that goes on in the next line.
func (p *pythonTokens) suspend(text string, column int, mark string, lineOnly bool) {
	p.rest, p.joined, p.joinedAt, p.joinedLine = pyEnds[mark], text, column, lineOnly
}

// emit writes a token that begins at a column.
func (p *pythonTokens) emit(kind pyToken, text string, column int) {
	if column > p.column {
		p.out.WriteString(strings.Repeat(" ", column-p.column))
	}
	switch kind {
	case pyComment:
	case pyString:
		if p.previous != pyIndent && p.previous != pyNewline && column > 0 {
			p.out.WriteString(text)
		}
	default:
		p.out.WriteString(text)
	}
	p.previous = kind
	p.column = column + len(text)
}
