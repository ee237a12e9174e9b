package dataset

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// PrefixOptions limits the prefixes of written tasks. Zero means no limit.
type PrefixOptions struct {
	MaxBytes int // bytes from the cut backwards
	MaxLines int // lines, that of the cut included
	// SpaceWithTarget moves the blanks before the cut from the prefix to the
	// target. Byte-level tokenizers join a space to the word after it, so a
	// prefix that ends with a space is one that no model has seen.
	SpaceWithTarget bool
}

// WriteTasksJSONL writes tasks a line each, as objects with the fields of
// [Task]. Prefixes are cut at a line boundary, except within a last line that is
// longer than MaxBytes on its own.
func WriteTasksJSONL(w io.Writer, tasks []Task, o PrefixOptions) error {
	buf := bufio.NewWriter(w)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	for _, t := range tasks {
		if o.SpaceWithTarget {
			trimmed := strings.TrimRight(t.Prefix, " \t")
			t.Target = t.Prefix[len(trimmed):] + t.Target
			t.Start -= len(t.Prefix) - len(trimmed)
			t.Prefix = trimmed
		}
		t.Prefix = o.cut(t.Prefix)
		if err := enc.Encode(t); err != nil {
			return fmt.Errorf("writing task %s:%d: %w", t.File, t.Line, err)
		}
	}
	return buf.Flush()
}

func (o PrefixOptions) cut(prefix string) string {
	if o.MaxLines > 0 {
		at := len(prefix)
		for range o.MaxLines {
			if at = strings.LastIndexByte(prefix[:at], '\n'); at < 0 {
				break
			}
		}
		prefix = prefix[at+1:]
	}
	if o.MaxBytes <= 0 || len(prefix) <= o.MaxBytes {
		return prefix
	}
	from := len(prefix) - o.MaxBytes
	if prefix[from-1] == '\n' {
		return prefix[from:]
	}
	if next := strings.IndexByte(prefix[from:], '\n'); next >= 0 {
		return prefix[from+next+1:]
	}
	for from < len(prefix) && !utf8.RuneStart(prefix[from]) {
		from++
	}
	return prefix[from:]
}
