package repopeft

import (
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/code2lora/code2lora/internal/dataset"
)

// The values that labels of rows may have.
var (
	tracks = []Track{Static, Evolution, OOD}
	kinds  = []Kind{Assertion, Call, Line}
	splits = []dataset.Split{dataset.Train, dataset.Validation, dataset.Test}
	events = []string{"", "added", "modified"}
)

// oneOf reports a label that isn't one of those that there are.
func oneOf[T ~string](what string, got T, want []T) error {
	if !slices.Contains(want, got) {
		return fmt.Errorf("%s is %q, want one of %q", what, got, want)
	}
	return nil
}

// text reports a field that is not UTF-8, or that is empty and may not be.
func text(what, s string, needed bool) error {
	if needed && s == "" {
		return fmt.Errorf("%s is empty", what)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s is not UTF-8", what)
	}
	return nil
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Validate reports the first thing that makes a task unfit for a benchmark.
func (t *Task) Validate() error {
	err := first(
		text("repository", t.Repository, true),
		oneOf("track", t.Track, tracks),
		checkSplit(t.Repository, t.Split),
		oneOf("in-repository split", t.InRepo, splits),
		text("commit", t.Commit, true),
		text("file", t.File, true),
		text("language", t.Language, true),
		oneOf("kind", t.Kind, kinds),
		t.validTexts(),
	)
	switch {
	case err != nil:
	case t.Line < 1 || t.Line > math.MaxInt32:
		err = fmt.Errorf("line is %d, want 1 or more", t.Line)
	case t.CommitIndex < 0 || t.CommitIndex > math.MaxInt32:
		err = fmt.Errorf("commit index is %d, want 0 or more", t.CommitIndex)
	case t.Start < 0 || t.End <= t.Start:
		err = fmt.Errorf("target is at %d..%d", t.Start, t.End)
	case t.ID != TaskID(t.Repository, t.Commit, t.File, t.Kind, t.Start, t.End):
		err = fmt.Errorf("id is %q, want that of TaskID", t.ID)
	}
	return t.wrap(err)
}

// wrap says which task an error is about.
func (t *Task) wrap(err error) error {
	if err != nil {
		return fmt.Errorf("task %s (%s %s line %d): %w", t.ID, t.Repository, t.File, t.Line, err)
	}
	return nil
}

// validTexts reports the first text of a task that can't be used.
func (t *Task) validTexts() error {
	return first(
		text("commit", t.Commit, false),
		text("parent", t.Parent, false),
		text("file", t.File, false),
		text("language", t.Language, false),
		text("family", t.Family, false),
		text("difficulty", t.Difficulty, false),
		text("function", t.Function, false),
		text("class", t.Class, false),
		text("prefix", t.Prefix, false),
		text("suffix", t.Suffix, false),
		text("target", t.Target, true),
		oneOf("event", t.Event, events),
	)
}

// Validate reports the first thing that makes a commit unfit for a benchmark.
func (c *Commit) Validate() error {
	return c.validate(checkSplit(c.Repository, c.Split), oneOf("in-repository split", c.InRepo, splits))
}

// validateReleased is [Commit.Validate] for a commit of the authors.
func (c *Commit) validateReleased() error {
	return c.validate(oneOf("split", c.Split, splits), oneOf("in-repository split", c.InRepo, append(slices.Clone(splits), "")))
}

// validate reports the first error, of its labels or otherwise.
func (c *Commit) validate(labels ...error) error {
	err := first(
		text("repository", c.Repository, true),
		oneOf("track", c.Track, tracks),
		first(labels...),
		text("id", c.ID, true),
		text("parent", c.Parent, false),
		text("time", c.Time, false),
		text("diff", c.Diff, false),
	)
	switch {
	case err != nil:
	case c.Index < 0 || c.Index > math.MaxInt32:
		err = fmt.Errorf("index is %d, want 0 or more", c.Index)
	case c.Added < 0 || c.Modified < 0 || c.Added+c.Modified > math.MaxInt32:
		err = fmt.Errorf("%d tasks added and %d modified", c.Added, c.Modified)
	}
	if err != nil {
		return fmt.Errorf("commit %s of %s: %w", c.ID, c.Repository, err)
	}
	return nil
}

// checkSplit reports a split that isn't the one which a repository's name gives.
func checkSplit(repository string, split dataset.Split) error {
	if want := dataset.SplitOf(repository); split != want {
		return fmt.Errorf("split is %q, want %q, which the repository's name gives", split, want)
	}
	return nil
}

// isTaskID reports whether a string has the form of [TaskID].
func isTaskID(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == 32
}
