package corpus

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// A withheld task is one that will be asked, or chosen by: of the validation or
// the test part of its repository. What is trained on doesn't have it, neither
// as a label nor as text, whatever document the text is in: that of another kind
// of task, of another track or commit, or of a part of a long file.
type withheld struct {
	file, function string
	// within tells that the function's head stands above the statement, so that
	// the statement counts in any file where such a head stands above it. In its
	// own file it counts anywhere, unless it is short and the function is another.
	within    bool
	statement string // from the first letter of the line to the end of the target
	part      dataset.Split
}

// headBytes is how much of a statement is looked up at once.
const headBytes = 12

// minStatement is the length from which on a statement that stands in another
// function of its file is taken for the one that will be asked: not a bracket, or
// an argument that has a line of its own.
const minStatement = 16

// headOf is the key of a statement.
func headOf(statement string) string { return statement[:min(len(statement), headBytes)] }

// order says which parts come after which: those after the ones that are trained
// on are withheld.
var order = map[dataset.Split]int{dataset.Train: 0, dataset.Validation: 1, dataset.Test: 2}

// Withhold has a task kept out of the text of other parts, even if it is not
// one of the corpus itself: one of another kind or track.
func (c *Corpus) Withhold(t *repopeft.Task) {
	text := t.Prefix + t.Target
	c.withhold(t.Repository, t.File, text, dataset.Target{Span: dataset.Span{Start: len(t.Prefix), End: len(text)}, Function: t.Function}, t.InRepo)
}

func (c *Corpus) withhold(repository, file, text string, t dataset.Target, part dataset.Split) {
	if order[part] == 0 {
		return
	}
	from := lineStart(text, t.Start)
	w := withheld{file: file, function: t.Function, part: part, statement: strings.TrimLeft(text[from:t.End], " \t\f")}
	if strings.TrimSpace(w.statement) == "" {
		return
	}
	_, w.within = head(text, from, t.Function)
	r := c.repository(repository)
	if r.withheld == nil {
		r.withheld = map[string][]withheld{}
	}
	key := headOf(w.statement)
	if slices.Contains(r.withheld[key], w) {
		return
	}
	r.withheld[key] = append(r.withheld[key], w)
	fmt.Fprintf(c.digest, "withheld %s\x00%s\x00%s\x00%s\x00%s\x00", repository, file, t.Function, w.statement, part)
}

// without returns a document of the tasks that are kept, from whose text those of
// the parts after last are gone: the functions that they are in, or where a kept
// task is in the same function, their lines.
func (r *repository) without(l labelled, keep []dataset.Target, last int) *dataset.Document {
	text := l.Text
	var gone []dataset.Span
	drop := func(start, end int, function string) {
		lines := dataset.Span{Start: lineStart(text, start), End: lineEnd(text, end)}
		whole, ok := extent(text, lines.Start, function)
		if ok && !slices.ContainsFunc(keep, func(t dataset.Target) bool { return t.Start < whole.End && whole.Start < t.End }) {
			lines = dataset.Span{Start: whole.Start, End: max(whole.End, lines.End)}
		}
		gone = append(gone, lines)
	}
	for i, t := range l.Tasks {
		if order[l.parts[i]] > last {
			drop(t.Start, t.End, t.Function)
		}
	}
	for at := 0; at < len(text) && len(r.withheld) > 0; at = lineEnd(text, at) {
		start := at + indent(text[at:])
		for n := 1; n <= headBytes && start+n <= len(text); n++ {
			for _, w := range r.withheld[text[start:start+n]] {
				if order[w.part] > last && w.stands(l.File, text, start) {
					drop(start, start+len(w.statement), w.function)
				}
			}
		}
	}
	return leaveOut(l.Document, keep, gone)
}

// stands tells whether the statement stands at an offset of a file's text.
func (w *withheld) stands(file, text string, at int) bool {
	rest, ok := strings.CutPrefix(text[at:], w.statement)
	if !ok {
		return false
	}
	before, _ := utf8.DecodeLastRuneInString(w.statement)
	if after, _ := utf8.DecodeRuneInString(rest); isWord(before) && isWord(after) {
		return false // it is a longer answer
	}
	if w.file == file && (!w.within || len(w.statement) >= minStatement) {
		return true
	}
	if !w.within {
		return false
	}
	_, ok = head(text, lineStart(text, at), w.function)
	return ok
}

// leaveOut returns a document without some parts of its text, and with those of
// the tasks that are in none of them.
func leaveOut(d *dataset.Document, tasks []dataset.Target, gone []dataset.Span) *dataset.Document {
	out := *d
	out.Tasks = tasks
	if len(gone) == 0 {
		return &out
	}
	slices.SortFunc(gone, func(a, b dataset.Span) int { return a.Start - b.Start })
	var b strings.Builder
	at := 0
	for _, g := range gone {
		if g.Start > at {
			b.WriteString(d.Text[at:g.Start])
		}
		at = max(at, g.End)
	}
	b.WriteString(d.Text[at:])
	out.Text = b.String()
	moved := func(offset int) int {
		lost, at := 0, 0
		for _, g := range gone {
			from, to := max(g.Start, at), min(g.End, offset)
			lost += max(to-from, 0)
			at = max(at, g.End)
		}
		return offset - lost
	}
	out.Imports = dataset.Span{Start: moved(d.Imports.Start), End: moved(d.Imports.End)}
	out.Tasks = nil
	for _, t := range tasks {
		if slices.ContainsFunc(gone, func(g dataset.Span) bool { return t.Start < g.End && g.Start < t.End }) {
			continue
		}
		t.Start, t.End = moved(t.Start), moved(t.End)
		if t.Start > 0 { // else nothing comes before it any more
			out.Tasks = append(out.Tasks, t)
		}
	}
	return &out
}

// head finds the line with a function's name that the line at an offset is
// inside of, by indentation: of the lines above, each that is indented less than
// all between.
func head(text string, at int, function string) (start int, ok bool) {
	if function == "" {
		return 0, false
	}
	most := indent(text[at:])
	for at > 0 && most > 0 {
		at = lineStart(text, at-1)
		line := text[at:lineEnd(text, at)]
		if strings.TrimSpace(line) == "" {
			continue
		}
		n := indent(line)
		if n >= most {
			continue
		}
		if most = n; hasWord(line, function) {
			return at, true
		}
	}
	return 0, false
}

// extent finds the function that the line at an offset is in, with what
// decorates it, up to the next line that is indented as its head is or less, a
// closing bracket's included.
func extent(text string, at int, function string) (dataset.Span, bool) {
	start, ok := head(text, at, function)
	if !ok {
		return dataset.Span{}, false
	}
	depth := indent(text[start:])
	end := lineEnd(text, at)
	for end < len(text) {
		line := text[end:lineEnd(text, end)]
		trimmed := strings.TrimSpace(line)
		if trimmed != "" && indent(line) <= depth {
			if strings.ContainsRune(")}]", rune(trimmed[0])) {
				end += len(line)
			}
			break
		}
		end += len(line)
	}
	for first := start; first > 0; {
		first = lineStart(text, first-1)
		line := text[first:lineEnd(text, first)]
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || indent(line) < depth {
			break
		}
		if trimmed[0] == '@' && indent(line) == depth {
			start = first
		}
	}
	return dataset.Span{Start: start, End: end}, true
}

func lineStart(text string, at int) int { return strings.LastIndexByte(text[:at], '\n') + 1 }

// lineEnd is the offset behind the line break after an offset.
func lineEnd(text string, at int) int {
	if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(text)
}

// indent counts the blanks that a line begins with.
func indent(line string) int {
	return len(line) - len(strings.TrimLeft(line, " \t\f"))
}

// hasWord tells whether a name stands in a line, not as a part of a longer one.
func hasWord(line, name string) bool {
	for at := 0; ; {
		i := strings.Index(line[at:], name)
		if i < 0 {
			return false
		}
		before, _ := utf8.DecodeLastRuneInString(line[:at+i])
		after, _ := utf8.DecodeRuneInString(line[at+i+len(name):])
		if !isWord(before) && !isWord(after) {
			return true
		}
		at += i + 1
	}
}

func isWord(r rune) bool {
	return r != utf8.RuneError && (r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r))
}
