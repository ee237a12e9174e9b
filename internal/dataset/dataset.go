// Package dataset turns test files into training and evaluation examples.
//
// A [Task] is a place in a test file where the right-hand side of an assertion
// has been cut off: Prefix is everything before the cut, Target is what was
// there. [Extract] finds the tasks of a file. Prefix and target are verbatim:
// Target is the file's text from Start to End, Prefix all of it before Start.
//
// The prefixes of a file's tasks are nested, so a model can read the file once
// and be asked at every cut. That is what a [Document] is for: a test file in
// which several targets are marked. [Document.Windows] cuts long ones.
//
// [Mine] reads repositories and writes a folder, which [Open] reads:
//
//	documents.jsonl.gz   a Document a line, sorted by repository and path
//	manifest.json        options, counts, reasons, digest; written last
//
// A folder without a manifest is unfinished, and [Open] refuses it. The same
// repositories and options give the same bytes.
//
// Repositories are divided by [SplitOf] and nothing else. [CheckTraining]
// refuses what training must not see.
//
// How this differs from the extractor of the paper, and why, is told at
// [Extract]; its layout of a prefix is available as [StructuredPrefix].
package dataset

import (
	"fmt"
	"unicode/utf8"
)

// Task is one assertion to complete.
type Task struct {
	Repository string `json:"repository,omitempty"` // owner/name
	Commit     string `json:"commit,omitempty"`
	File       string `json:"file"` // path in the repository, with slashes
	Line       int    `json:"line"` // where the assertion begins, 1-based
	Function   string `json:"function"`
	Class      string `json:"class,omitempty"`
	// Kind is the family: "assert", "self.assertEqual" (and so on),
	// "pytest.raises", "pytest.approx" or "assert_*".
	Kind   string `json:"kind"`
	Prefix string `json:"prefix"`
	Target string `json:"target"`
	// Start and End are the extent of the target in the file, in bytes.
	Start int `json:"start"`
	End   int `json:"end"`
}

// Span is a stretch of text, in bytes.
type Span struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// Document is a test file in which targets are marked.
type Document struct {
	Repository string `json:"repository"`
	Commit     string `json:"commit"`
	File       string `json:"file"`
	Text       string `json:"text"` // valid UTF-8, verbatim
	// Imports is the block of imports at the head of the file, whole lines;
	// empty if there is none.
	Imports Span     `json:"imports"`
	Tasks   []Target `json:"tasks"` // in the order of the file, without overlap
}

// Target is a task of a document.
type Target struct {
	Span
	Line     int    `json:"line"`
	Function string `json:"function"`
	Class    string `json:"class,omitempty"`
	Kind     string `json:"kind"`
}

// Task returns the i-th task of the document on its own.
func (d *Document) Task(i int) Task {
	t := d.Tasks[i]
	return Task{
		Repository: d.Repository, Commit: d.Commit, File: d.File,
		Line: t.Line, Function: t.Function, Class: t.Class, Kind: t.Kind,
		Prefix: d.Text[:t.Start], Target: d.Text[t.Start:t.End],
		Start: t.Start, End: t.End,
	}
}

// Validate reports the first thing that makes a document unusable.
func (d *Document) Validate() error {
	if !utf8.ValidString(d.Text) {
		return fmt.Errorf("document %s %s: text is not UTF-8", d.Repository, d.File)
	}
	if s := d.Imports; s.Start < 0 || s.End < s.Start || s.End > len(d.Text) {
		return fmt.Errorf("document %s %s: imports at %d..%d of %d bytes", d.Repository, d.File, s.Start, s.End, len(d.Text))
	}
	end := 0
	for i, t := range d.Tasks {
		if t.Start < end || t.End <= t.Start || t.End > len(d.Text) {
			return fmt.Errorf("document %s %s: task %d at %d..%d, want it after %d and within %d bytes",
				d.Repository, d.File, i, t.Start, t.End, end, len(d.Text))
		}
		end = t.End
	}
	return nil
}
