// Package retrieve makes a context of a repository for a question about one of
// its files: text that stands before the prefix, such as the definitions that a
// test uses or other tests like it.
//
// Everything that makes one is a [Context]. It reads what a [disclosure.View]
// shows and knows what a [repopeft.Query] says: neither has the answer.
//
//	NewRetrieval      chunks of the repository that are like the end of the prefix:
//	                  BM25, embeddings, or both fused
//	NewExamples       the same over the repository's own tests
//	NewDependencies   definitions of the names that the prefix imports and uses
//
// [Oracle] is the paper's dependency-resolved context, which reads the file past
// the cut. It has another signature, so that it can't take the place of a method
// that is measured.
//
// The text always fits into a budget, counted by the caller's tokenizer.
//
// The rules and the defaults of the options are those of arXiv 2606.06492 and its
// code; where they differ, the comment says so and why.
package retrieve

import (
	"context"
	"strings"

	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// Context makes the text before a prefix. Its methods may be called
// concurrently.
type Context interface {
	// Name says what this is, with all settings that change its text.
	Name() string
	// Context returns the text for a query, or "" if there is nothing to say.
	// count gives the number of tokens of a text; with [Separator] behind it the
	// text has at most budget.
	Context(ctx context.Context, v *disclosure.View, q repopeft.Query, budget int, count func(string) int) (string, error)
}

// Separator stands between the parts of a context, and between the context and
// the prefix.
const Separator = "\n\n\n"

// Assemble puts a context before a prefix.
func Assemble(context, prefix string) string {
	if context == "" {
		return prefix
	}
	return context + Separator + prefix
}

// block is a part of a context.
type block struct {
	path  string
	head  string // comment lines that say where it is from, each with its newline
	code  string
	names []string // what it defines
}

func (b block) text() string { return b.head + b.code }

// fill returns the texts that fit into the budget, in order: each as it is, else
// as short gives it (if short isn't nil), else not at all. Where nothing fits it
// is the beginning of the first.
func fill(blocks []block, budget int, count func(string) int, short func(block) string) []string {
	var parts []string
	left := budget
	for _, b := range blocks {
		text := b.text()
		n := count(text + Separator)
		if n > left && short != nil {
			text = short(b)
			n = count(text + Separator)
		}
		if text != "" && n <= left {
			parts = append(parts, text)
			left -= n
		}
	}
	if len(parts) == 0 && len(blocks) > 0 {
		if text := head(blocks[0].text(), budget, count); text != "" {
			parts = append(parts, text)
		}
	}
	return parts
}

// head returns as many whole lines of a text as fit, if it is more than the
// comments at its beginning.
func head(text string, budget int, count func(string) int) string {
	lines := strings.SplitAfter(text, "\n")
	lo, hi := 0, len(lines) // lo lines fit
	for lo < hi {
		mid := (lo + hi + 1) / 2
		if count(strings.TrimRight(strings.Join(lines[:mid], ""), "\n")+Separator) <= budget {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	for _, l := range lines[:lo] {
		if t := strings.TrimSpace(l); t != "" && !strings.HasPrefix(t, "#") && !strings.HasPrefix(t, "//") {
			return strings.TrimRight(strings.Join(lines[:lo], ""), "\n")
		}
	}
	return ""
}

// join makes one text of parts, the best first. The sum of their tokens isn't
// that of the whole, so it drops the last ones until that fits.
func join(parts []string, budget int, count func(string) int, whole func(parts []string) string) string {
	for ; len(parts) > 0; parts = parts[:len(parts)-1] {
		if text := whole(parts); count(text+Separator) <= budget {
			return text
		}
	}
	return ""
}

// lastRunes returns the last n characters of s.
func lastRunes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	at := len(s)
	for ; n > 0 && at > 0; n-- {
		at--
		for at > 0 && s[at]&0xC0 == 0x80 {
			at--
		}
	}
	return s[at:]
}

// firstRunes returns the first n characters of s.
func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// comment returns the sign of a comment to the end of the line.
func comment(language string) string {
	switch language {
	case "python", "python-stub", "cython", "shell", "ruby", "perl", "r", "julia", "elixir":
		return "# "
	}
	return "// "
}
