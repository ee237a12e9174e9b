package dataset

import (
	"errors"
	"fmt"
	"strings"

	"github.com/code2lora/code2lora/internal/syntax"
)

// maxPrefixLines is the length of a structured prefix in the paper's code.
const maxPrefixLines = 600

// setupMethods are the methods of a test class that a structured prefix has
// wherever they stand.
var setupMethods = map[string]bool{
	"setUp": true, "setUpClass": true, "tearDown": true, "tearDownClass": true,
	"setup_method": true, "teardown_method": true, "setup": true, "teardown": true,
}

// StructuredPrefix returns the prefix of a task as the paper's snapshot track
// lays it out: not all of the file but the module's imports and constants, the
// class line with its set-up methods and constants, helpers that end before the
// assertion, and the function so far. A gap is one empty line, and one always
// comes before the assertion. The text has at most 600 lines.
//
// Deliberately as in the paper's code: decorators of helpers are lost, as are
// imports below the first definition and in a "try". Not as there: the last line
// ends at the cut in statements of several lines and after non-ASCII text too.
func StructuredPrefix(source []byte, task Task) (string, error) {
	if task.Start < 0 || task.End < task.Start || task.End > len(source) {
		return "", fmt.Errorf("structured prefix of %s: target at %d..%d of %d bytes", task.File, task.Start, task.End, len(source))
	}
	file, err := syntax.Parse(source)
	if err != nil {
		return "", fmt.Errorf("structured prefix of %s: %w", task.File, err)
	}
	function, class := enclosing(file, task.Start)
	if function == syntax.None {
		return "", fmt.Errorf("structured prefix of %s: %w", task.File, errors.New("the target is outside of a function"))
	}
	lines := strings.Split(string(source), "\n")
	if task.Line < 1 || task.Line > len(lines) {
		return "", fmt.Errorf("structured prefix of %s: line %d of %d", task.File, task.Line, len(lines))
	}
	keep := make([]bool, len(lines)+1) // by line number
	mark := func(from, to int) {
		for i := from; i <= min(to, len(lines)); i++ {
			keep[i] = true
		}
	}
	markStatements(file, class, mark)
	for i, d := range file.Definitions {
		method := class != syntax.None && d.Parent == class
		helper := !d.Class && !strings.HasPrefix(d.Name, "test_") && d.EndLine < task.Line
		switch {
		case i == class:
			mark(d.Line, d.Line)
		case i == function:
			mark(d.DecoratorLine, task.Line-1)
		case d.Direct && (method && !d.Class && setupMethods[d.Name] || helper && (method || d.Parent == syntax.None)):
			mark(d.Line, d.EndLine)
		}
	}
	out := join(lines, keep)
	lineStart := 0
	for _, l := range lines[:task.Line-1] {
		lineStart += len(l) + 1
	}
	cut := strings.ReplaceAll(string(source[min(lineStart, task.Start):task.Start]), "\r\n", "\n")
	out = append(append(out, ""), strings.Split(cut, "\n")...)
	return strings.Join(out[max(0, len(out)-maxPrefixLines):], "\n"), nil
}

// markStatements marks the lines of the imports, constants and calls at the
// head of the module, and of the constants of a class.
func markStatements(file *syntax.File, class int, mark func(from, to int)) {
	head := true
	for _, s := range file.Statements {
		switch {
		case s.Parent == syntax.None && s.Kind == syntax.Defines:
			head = false
		case head && s.Parent == syntax.None &&
			(s.Kind == syntax.Import || s.Kind == syntax.Assignment || s.Kind == syntax.Expression):
			mark(s.Line, s.EndLine)
		case class != syntax.None && s.Parent == class && s.Kind == syntax.Assignment:
			mark(s.Line, s.EndLine)
		}
	}
}

// join returns the kept lines, an empty one for each gap.
func join(lines []string, keep []bool) []string {
	var out []string
	last := 0
	for i, k := range keep {
		if !k {
			continue
		}
		if last > 0 && i > last+1 {
			out = append(out, "")
		}
		out = append(out, strings.TrimSuffix(lines[i-1], "\r"))
		last = i
	}
	return out
}

// enclosing returns the innermost function and class around an offset.
func enclosing(file *syntax.File, offset int) (function, class int) {
	function, class = syntax.None, syntax.None
	for i, d := range file.Definitions { // outer ones come first
		if d.Start > offset || offset >= d.End {
			continue
		}
		if d.Class {
			class = i
		} else {
			function = i
		}
	}
	return function, class
}
