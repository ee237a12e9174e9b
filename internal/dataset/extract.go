package dataset

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/code2lora/code2lora/internal/syntax"
)

// Reason says why something is not among the tasks.
type Reason string

// The reasons, in the order in which they are checked.
const (
	NotUTF8     Reason = "file is not UTF-8"
	Binary      Reason = "file contains a zero byte"
	FileTooLong Reason = "file is too long"
	Unparsable  Reason = "file cannot be parsed"

	SyntaxError  Reason = Reason(syntax.Broken)
	NoComparison Reason = Reason(syntax.NoComparison)
	NoArgument   Reason = Reason(syntax.NoArgument)
	NoFunction   Reason = "outside of a function"
	MultiLine    Reason = "target spans lines"
	TooLong      Reason = "target is too long"
	Nested       Reason = "inside another target"

	Repeated       Reason = "repeated in the function"
	RepeatedInFile Reason = "repeated in the file"
	OverFunction   Reason = "over the function's cap"
	OverFile       Reason = "over the file's cap"
	OverRepository Reason = "over the repository's cap"
	DuplicateFile  Reason = "file seen before" // its tasks are counted
)

// Stats counts what became of the assertions of one or more files.
type Stats struct {
	Files   int            `json:"files"`   // test files looked at
	Sites   int            `json:"sites"`   // assertions found
	Tasks   int            `json:"tasks"`   // tasks kept
	Errors  int            `json:"errors"`  // stretches that the parser couldn't read
	Dropped map[Reason]int `json:"dropped"` // assertions (or whole files) left out
}

func (s *Stats) drop(r Reason, n int) {
	if n == 0 {
		return
	}
	if s.Dropped == nil {
		s.Dropped = map[Reason]int{}
	}
	s.Dropped[r] += n
}

// Add adds the counts of o.
func (s *Stats) Add(o Stats) {
	s.Files, s.Sites, s.Tasks, s.Errors = s.Files+o.Files, s.Sites+o.Sites, s.Tasks+o.Tasks, s.Errors+o.Errors
	for r, n := range o.Dropped {
		s.drop(r, n)
	}
}

// Extract returns the tasks of a test file in the order of the file, under the
// default options, without caps. The families of assertions are those of the
// paper's snapshot extractor. It differs where that one is flawed:
//
//   - The cut is a byte offset into the file, so prefixes are right in
//     statements of several lines and after non-ASCII text.
//   - Targets are verbatim; those that span lines are left out. Targets of calls
//     end with the argument, without the call's closing parenthesis.
//   - Methods of two arguments have the second as their target, also when a
//     message or a precision follows.
//   - A target inside another one, as of assert x == pytest.approx(1), is left out:
//     its answer would be part of the question.
//   - Within a function, a target that was asked for already is left out.
//
// Whatever is left out is counted by reason.
func Extract(path string, source []byte) ([]Task, Stats) {
	doc, stats := DefaultOptions().uncapped().document(path, source)
	var tasks []Task
	for i := range doc.Tasks {
		tasks = append(tasks, doc.Task(i))
	}
	return tasks, stats
}

// document makes a document of a test file, with the cap per function.
func (o Options) document(path string, source []byte) (*Document, Stats) {
	stats := Stats{Files: 1}
	doc := &Document{File: cleanPath(path)}
	file, reason := o.parse(source)
	if reason != "" {
		stats.drop(reason, 1)
		return doc, stats
	}
	doc.Text = string(source)
	doc.Imports = imports(file, doc.Text)
	stats.Errors, stats.Sites = file.Errors, len(file.Sites)
	end := 0
	for _, site := range file.Sites {
		if reason := o.reject(file, site, doc.Text, end); reason != "" {
			stats.drop(reason, 1)
			continue
		}
		end = site.End
		doc.Tasks = append(doc.Tasks, Target{
			Span:     Span{site.Start, site.End},
			Line:     site.Line,
			Function: file.Definitions[site.Function].Name,
			Class:    name(file, site.Class),
			Kind:     site.Kind,
		})
	}
	o.selectInFile(doc, &stats)
	stats.Tasks = len(doc.Tasks)
	return doc, stats
}

func (o Options) parse(source []byte) (*syntax.File, Reason) {
	switch {
	case len(source) > o.MaxFileBytes:
		return nil, FileTooLong
	case bytes.IndexByte(source, 0) >= 0:
		return nil, Binary
	case !utf8.Valid(source):
		return nil, NotUTF8
	}
	file, err := syntax.Parse(source)
	if err != nil {
		return nil, Unparsable
	}
	return file, ""
}

// reject returns why an assertion makes no task, or "". The last target before
// it ended at end.
func (o Options) reject(file *syntax.File, site syntax.Site, text string, end int) Reason {
	target := text[site.Start:site.End]
	switch {
	case site.Flaw != "":
		return Reason(site.Flaw)
	case site.Function == syntax.None:
		return NoFunction
	case strings.ContainsAny(target, "\r\n"):
		return MultiLine
	case len(target) > o.MaxTargetBytes:
		return TooLong
	case site.Start < end:
		return Nested
	}
	return ""
}

func name(file *syntax.File, i int) string {
	if i == syntax.None {
		return ""
	}
	return file.Definitions[i].Name
}

// imports returns the lines of the first run of imports in the module. A
// docstring, comments and blank lines may come before and between.
func imports(file *syntax.File, text string) Span {
	var block Span
	for _, s := range file.Statements {
		if s.Parent != syntax.None {
			continue
		}
		if s.Kind == syntax.Import {
			if block.End == 0 {
				block.Start = strings.LastIndexByte(text[:s.Start], '\n') + 1
			}
			block.End = lineEnd(text, s.End)
		} else if block.End > 0 || s.Kind != syntax.String {
			break
		}
	}
	return block
}

// lineEnd returns the offset after the line that contains offset i.
func lineEnd(text string, i int) int {
	if n := strings.IndexByte(text[i:], '\n'); n >= 0 {
		return i + n + 1
	}
	return len(text)
}

// Options says which tasks are taken. A cap of zero means no cap.
type Options struct {
	MaxTargetBytes int `json:"max_target_bytes"` // the paper: 500 characters
	MaxFileBytes   int `json:"max_file_bytes"`   // longer files are generated ones
	PerFunction    int `json:"per_function"`     // tasks of one function; the paper: 5
	PerFile        int `json:"per_file"`         // tasks of one file, more if its repository has few files; the paper: 20
	PerRepository  int `json:"per_repository"`   // tasks of one repository; the paper: 200
	MaxRepeats     int `json:"max_repeats"`      // times the same target may occur in a file; the paper: 1
	// Split, if not empty, is the only split that repositories may be of.
	Split Split `json:"split,omitempty"`
}

// DefaultOptions are the paper's, with fewer long targets and more short ones:
// a target of 500 characters is data, not something that a reader could tell.
func DefaultOptions() Options {
	return Options{
		MaxTargetBytes: 200, MaxFileBytes: 1 << 20,
		PerFunction: 5, PerFile: 20, PerRepository: 200, MaxRepeats: 1,
	}
}

func (o Options) uncapped() Options {
	o.PerFunction, o.PerFile, o.PerRepository, o.MaxRepeats = 0, 0, 0, 0
	return o
}

// Validate reports every option that cannot work, in one error.
func (o Options) Validate() error {
	var bad []string
	for _, f := range []struct {
		name string
		n    int
		min  int
	}{
		{"max_target_bytes", o.MaxTargetBytes, 1}, {"max_file_bytes", o.MaxFileBytes, 1},
		{"per_function", o.PerFunction, 0}, {"per_file", o.PerFile, 0},
		{"per_repository", o.PerRepository, 0}, {"max_repeats", o.MaxRepeats, 0},
	} {
		if f.n < f.min {
			bad = append(bad, fmt.Sprintf("%s is %d, must be at least %d", f.name, f.n, f.min))
		}
	}
	switch o.Split {
	case "", Train, Validation, Test:
	default:
		bad = append(bad, fmt.Sprintf("split is %q, want %q, %q, %q or none", o.Split, Train, Validation, Test))
	}
	if bad != nil {
		return fmt.Errorf("mining options: %s", strings.Join(bad, "; "))
	}
	return nil
}
