package mine

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/metric"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/syntax"
)

// item is a task of a file, as shards have it: without the text around it.
type item struct {
	Kind     repopeft.Kind `json:"kind"`
	Family   string        `json:"family,omitempty"`
	Function string        `json:"function,omitempty"`
	Class    string        `json:"class,omitempty"`
	Line     int           `json:"line"`
	Start    int           `json:"start"`
	End      int           `json:"end"`
	Event    string        `json:"event,omitempty"`
	InRepo   dataset.Split `json:"in_repo,omitempty"` // static track

	// What the paper's layouts make of the text: Target if it isn't
	// text[Start:End], and the prefix: all of it, or text[:Cut] and Inline.
	Target string  `json:"target,omitempty"`
	Prefix *string `json:"prefix,omitempty"`
	Cut    int     `json:"cut,omitempty"`
	Inline *string `json:"inline,omitempty"`

	// For selecting; not kept.
	name       string // of the callee
	statement  int    // where the statement begins
	normalized string // the target without blanks and quotes
	multiline  bool
	rank       uint64
	reason     dataset.Reason // why this is no task, or ""
	key        key            // evolution
}

// target returns the text that is asked for.
func (it *item) target(text string) string {
	if it.Target != "" {
		return it.Target
	}
	return text[it.Start:it.End]
}

// source is a file that was read and found fit.
type source struct {
	path, language string
	text           []byte
	outline        *syntax.Outline
	test           bool
}

// readable judges the stored content of a file by the rules of the strict
// profile. Offsets in a text are those in the file, so one that would have to be
// converted is left out.
func (r Rules) readable(raw []byte) dataset.Reason {
	if len(raw) > r.MaxFileBytes {
		return dataset.FileTooLong
	}
	if bytes.IndexByte(raw, 0) >= 0 {
		return dataset.Binary
	}
	switch _, converted, why := gitrepo.Text(raw, false); {
	case converted != "":
		return reasonConversion
	case why == gitrepo.ReasonEncoding:
		return dataset.NotUTF8
	case why != "":
		return dataset.Reason("file is " + string(why))
	}
	return ""
}

// read parses a file, or says why not.
func (r Rules) read(path string, raw []byte) (*source, dataset.Reason) {
	if why := r.readable(raw); why != "" {
		return nil, why
	}
	o, err := syntax.ParseFile(path, raw)
	if err != nil {
		return nil, dataset.Unparsable
	}
	return &source{path: path, language: gitrepo.Language(path), text: raw, outline: o, test: gitrepo.IsTestPath(path)}, ""
}

// candidates returns what a file has to ask for by the strict profile, before
// caps: assertions of test files; calls and lines of all. What makes no task has
// its reason. Whether a callee is the repository's own is for the caller to say.
func (r Rules) candidates(s *source) []item {
	var items []item
	if s.test && r.has(repopeft.Assertion) {
		items = r.assertions(s)
	}
	if r.has(repopeft.Call) {
		items = append(items, r.calls(s)...)
	}
	if r.has(repopeft.Line) {
		items = append(items, r.lines(s)...)
	}
	return items
}

func (r Rules) assertions(s *source) []item {
	var items []item
	end := 0
	for _, site := range s.outline.Sites {
		reason := dataset.Reason(site.Flaw)
		if reason == "" {
			reason = r.reject(s, repopeft.Assertion, site.Function, site.Start, site.End)
		}
		if reason == "" && site.Start < end {
			reason = dataset.Nested
		}
		it := s.item(repopeft.Assertion, site.Kind, site.Function, site.Class, site.Line, site.From, site.Start, site.End)
		if it.reason = reason; reason == "" {
			end = site.End
		}
		items = append(items, it)
	}
	return items
}

// reject returns why an extent makes no target, or "". The rules are those of
// [dataset.Extract], and that a model which writes what stands in the file must
// be right: a strict answer ends by itself.
func (r Rules) reject(s *source, kind repopeft.Kind, function, start, end int) dataset.Reason {
	target := s.text[start:end]
	switch {
	case function == syntax.None:
		return dataset.NoFunction
	case bytes.ContainsAny(target, "\r\n"):
		return dataset.MultiLine
	case len(target) > r.MaxTargetBytes:
		return dataset.TooLong
	case len(bytes.TrimSpace(target)) == 0:
		return reasonEmptyTarget
	}
	rest, _, _ := bytes.Cut(s.text[end:], []byte("\n"))
	if !metric.Answerable(s.language, string(kind), string(target), string(rest)+"\n") {
		return reasonUnanswerable
	}
	return ""
}

func (r Rules) calls(s *source) []item {
	var items []item
	for _, c := range s.outline.Calls {
		reason := dataset.Reason(c.Flaw)
		if reason == "" && commonName(s.language, c.Name) {
			reason = reasonCommonName
		}
		if reason == "" {
			reason = r.reject(s, repopeft.Call, c.Function, c.Start, c.End)
		}
		it := s.item(repopeft.Call, "", c.Function, c.Class, c.Line, c.From, c.Start, c.End)
		it.name, it.reason = c.Name, reason
		items = append(items, it)
	}
	return items
}

// The lengths of lines that are asked for, in bytes. Shorter ones are "x = 1"
// and "return"; longer ones are data.
const (
	minLine = 12
	maxLine = 120
)

func (r Rules) lines(s *source) []item {
	var items []item
	for _, l := range s.outline.Lines {
		reason := r.reject(s, repopeft.Line, l.Function, l.Start, l.End)
		if n := l.End - l.Start; reason == "" && (n < minLine || n > maxLine || names(s.text[l.Start:l.End]) < 2) {
			reason = reasonTrivialLine
		}
		it := s.item(repopeft.Line, "", l.Function, l.Class, l.Line, l.Start, l.Start, l.End)
		it.reason = reason
		items = append(items, it)
	}
	return items
}

// names counts the words of a line that have two letters or more.
func names(line []byte) int {
	n, run := 0, 0
	for _, b := range append(slices.Clone(line), ' ') {
		if b == '_' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= 0x80 {
			run++
			continue
		}
		if run >= 2 {
			n++
		}
		run = 0
	}
	return n
}

func (s *source) item(kind repopeft.Kind, family string, function, class, line, statement, start, end int) item {
	it := item{Kind: kind, Family: family, Line: line, Start: start, End: end, statement: statement}
	if function != syntax.None {
		it.Function = s.outline.Definitions[function].Name
	}
	if class != syntax.None {
		it.Class = s.outline.Definitions[class].Name
	}
	it.normalized = normalize(string(s.text[start:end]))
	return it
}

// normalize makes targets equal that differ in blanks or quotes only.
func normalize(target string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(target), ""), "'", `"`)
}

// hash returns a number that looks random and depends on the parts alone.
func hash(parts ...string) uint64 {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// before returns the end of text that has at most max bytes and begins with a
// line, or with a whole character where the last line is longer.
func before(text string, max int) string {
	if max <= 0 || len(text) <= max {
		return text
	}
	from := len(text) - max
	if text[from-1] == '\n' {
		return text[from:]
	}
	if next := strings.IndexByte(text[from:], '\n'); next >= 0 && from+next+1 < len(text) {
		return text[from+next+1:]
	}
	for from < len(text) && !utf8.RuneStart(text[from]) {
		from++
	}
	return text[from:]
}

// behind returns the beginning of text that has at most max bytes and ends with
// a line, or with a whole character where the first line is longer.
func behind(text string, max int) string {
	if max <= 0 || len(text) <= max {
		return text
	}
	if last := strings.LastIndexByte(text[:max], '\n'); last >= 0 {
		return text[:last+1]
	}
	for max > 0 && !utf8.RuneStart(text[max]) {
		max--
	}
	return text[:max]
}

// byPlace sorts tasks by file order; of two that begin together the longer one
// is first.
func byPlace(a, b item) int {
	return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End), cmp.Compare(a.Kind, b.Kind))
}
