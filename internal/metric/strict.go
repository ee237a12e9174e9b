package metric

import "strings"

// The kinds of tasks, as repopeft has them.
const (
	kindAssertion = "assertion"
	kindCall      = "call"
)

// Strict returns the answer in what a model wrote from the cut on: the text up
// to where the answer ends by itself, without blanks around it. The target has
// no part in it. Where an answer ends depends on the kind of the task:
//
//   - "assertion", an expression: before a newline or a comment, and outside of
//     brackets that the text itself opens and of strings, before a comma, a
//     semicolon or a closing bracket;
//   - "call", from the callee's name on: behind the bracket that closes the
//     first "(" outside of other brackets; before that bracket is open, also
//     where an assertion ends, since what follows can't be the call;
//   - any other, a line: before a newline, or a comment.
//
// An answer of one line ends with the line even inside of a string or bracket.
// In a comma of type arguments, as in Map<String, Integer>, no answer ends.
func Strict(language, kind, generated string) string {
	text, _ := Complete(language, kind, generated)
	return text
}

// Complete is [Strict] for a text that may go on. done tells that nothing
// that follows can change the answer, so that decoding may stop.
func Complete(language, kind, generated string) (text string, done bool) {
	end, done := 0, false
	switch kind {
	case kindAssertion:
		end, done = expressionEnd(language, generated)
	case kindCall:
		end, done = callEnd(language, generated)
	default:
		end, done = lineEnd(language, generated)
	}
	return strip(generated[:end]), done
}

// Answerable reports whether a model that writes what stands in the file, the
// target and then rest, has the target for its strict answer. Others, such as
// the middle of a chain of comparisons or two arguments at once, no model can
// get right.
func Answerable(language, kind, target, rest string) bool {
	return ExactStrict(language, kind, Strict(language, kind, target+rest), target)
}

// firstLine returns the text before its first newline.
func firstLine(text string) (line string, ended bool) {
	if i := strings.IndexAny(text, "\r\n"); i >= 0 {
		return text[:i], true
	}
	return text, false
}

// lineEnd returns where the first line of a text ends, without its comment.
func lineEnd(language, text string) (end int, done bool) {
	line, ended := firstLine(text)
	s := newScanner(language, line)
	for at := 0; at < len(line); {
		t := s.next(at)
		if t.kind == comment && (t.end == len(line) || strings.HasPrefix(line[t.start:], s.line)) {
			// A block comment that goes on may turn out to end before more code.
			return at, ended || strings.HasPrefix(line[t.start:], s.line)
		}
		at = t.end
	}
	return len(line), ended
}

// expressionEnd returns where an expression of one line ends.
func expressionEnd(language, text string) (end int, done bool) {
	line, ended := firstLine(text)
	s := newScanner(language, line)
	depth, unsure := 0, false
	for at := 0; at < len(line); {
		t := s.next(at)
		if endsExpression(t, line, depth) {
			return at, !unsure || ended
		}
		switch t.kind {
		case opening:
			depth++
		case closing:
			depth--
		}
		at = t.end
		if t.kind == word {
			list, open := s.typeArguments(line[t.start:t.end], at)
			unsure = unsure || open
			if list > 0 {
				at = list
			}
		}
	}
	return len(line), ended
}

// endsExpression reports whether an expression ends before t.
func endsExpression(t token, text string, depth int) bool {
	switch t.kind {
	case newline, comment:
		return true
	case closing, comma:
		return depth == 0
	case operator:
		return depth == 0 && text[t.start:t.end] == ";"
	}
	return false
}

// callEnd returns where a call ends, which may have several lines.
func callEnd(language, text string) (end int, done bool) {
	s := newScanner(language, text)
	depth, called, unsure := 0, false, false
	for at := 0; at < len(text); {
		t := s.next(at)
		if !called && endsExpression(t, text, depth) {
			return at, !unsure
		}
		switch t.kind {
		case opening:
			called = called || depth == 0 && text[t.start] == '('
			depth++
		case closing:
			if depth--; depth == 0 && called {
				return t.end, true
			}
		}
		at = t.end
		if t.kind == word && !called {
			list, open := s.typeArguments(text[t.start:t.end], at)
			unsure = unsure || open
			if list > 0 {
				at = list
			}
		}
	}
	return len(text), false
}

// ExactStrict reports whether an answer and the target are the same up to what
// makes no difference to a program; see [Normalise]. Of an assertion, one
// closing bracket at the end of either, which nothing in that text opens, ends
// what the prefix began, and is not compared: the targets of some families
// have it, and a strict answer ends before it.
func ExactStrict(language, kind, prediction, reference string) bool {
	if kind == kindAssertion {
		prediction, reference = withoutBracket(language, prediction), withoutBracket(language, reference)
	}
	return Normalise(language, prediction) == Normalise(language, reference)
}

// Normalise returns a text in a form that is equal for texts which differ only
// in blanks between tokens, or in a comment at their end:
//
//   - blanks and comments at the end are cut, and blanks at the beginning;
//   - blanks between two tokens are dropped if the two, written together, are
//     still the same two tokens, and are one space otherwise: foo(1, 2) becomes
//     foo(1,2), and x - -1 stays;
//   - a newline is a blank in brackets of Python, unless it ends a comment, and
//     a newline elsewhere, with the blanks that follow it in Python, where they
//     matter.
//
// Strings, regular expressions and comments within the text are kept byte for
// byte, and so is everything from an element of JSX on. So no two programs
// that mean different things become equal.
func Normalise(language, text string) string {
	tokens, opaqueText := significant(language, text)
	var b strings.Builder
	for i, t := range tokens {
		if i > 0 && b.Len() > 0 && needsBlank(language, tokens[i-1], t) {
			b.WriteByte(' ')
		}
		b.WriteString(t)
	}
	return strip(b.String()) + opaqueText
}

// significant returns the tokens of a text that Normalise keeps, and the
// opaque rest.
func significant(language, text string) (tokens []string, rest string) {
	text = strip(text)
	s := newScanner(language, text)
	s.opaque = true
	depth, last := 0, 0 // last counts tokens without comments and newlines at the end
	for at := 0; at < len(text); {
		t := s.next(at)
		part := text[t.start:t.end]
		at = t.end
		switch t.kind {
		case opaque:
			return tokens, part
		case blank:
			if n := len(tokens); !s.python || depth > 0 || n == 0 || tokens[n-1] != "\n" || strings.Contains(part, "\\") {
				continue
			}
		case newline:
			n := len(tokens)
			if s.python && depth > 0 && (n == 0 || !strings.HasPrefix(tokens[n-1], s.line)) || n > 0 && tokens[n-1] == "\n" {
				continue
			}
			part = "\n"
		case opening:
			depth++
		case closing:
			depth--
		}
		tokens = append(tokens, part)
		if t.kind != comment && t.kind != newline && t.kind != blank {
			last = len(tokens)
		}
	}
	return tokens[:last], ""
}

// needsBlank reports whether two tokens become others when they are written
// together.
func needsBlank(language, a, b string) bool {
	s := newScanner(language, a+b)
	if a == "\n" || b == "\n" || strip(a) == "" || strip(b) == "" || strings.HasPrefix(a, s.line) {
		return false // beside a newline, or behind a comment, which has one behind it
	}
	// How "/" is read depends on what stands before it. A blank too many does
	// no harm, since it depends on the tokens alone; so it is put in unless
	// both ways give the same two tokens.
	for _, operand := range []bool{true, false} {
		s.operand = operand
		first := s.next(0)
		if first.end != len(a) || first.open || s.next(first.end).end != len(a)+len(b) {
			return true
		}
	}
	return false
}

// withoutBracket cuts one closing bracket at the end of a text that nothing in
// the text opens, with a comment or blanks behind it.
func withoutBracket(language, text string) string {
	s := newScanner(language, text)
	var open []byte
	last := -1 // offset of the last token, if it is such a bracket
	for at := 0; at < len(text); {
		t := s.next(at)
		at = t.end
		switch t.kind {
		case blank, newline, comment:
			continue
		case opening:
			open = append(open, text[t.start])
		case closing:
			if n := len(open); n > 0 {
				open = open[:n-1]
			} else {
				last = t.start
				continue
			}
		}
		last = -1
	}
	if last < 0 || strip(text[:last]) == "" {
		return text
	}
	return text[:last]
}
