package dataset

import (
	"sort"
	"strings"
)

// minContext is the part of a window, as its inverse, that lies before the
// first target of a window that doesn't begin at the beginning of its file. The
// imports that are put at the head of such a window get at most as much.
const minContext = 4

// Window is a stretch of a document that a model can read at once.
type Window struct {
	// Text is the document's from Offset on, at whole lines, after the document's
	// imports (HeadBytes of them, 0 if Offset is 0 or among the imports).
	Text      string
	HeadBytes int
	Offset    int
	// Tasks are the targets to be asked for, in Text. The first of them is the
	// document's task number First, the others follow.
	Tasks []Span
	First int
}

// Windows cuts a document at line ends into windows of at most maxTokens tokens,
// and ends each with the line of its last target. Every target is in one window,
// with all of the file before it or at least a quarter of maxTokens. Windows
// overlap for that. Targets for which there isn't room, because their own line
// or the one before is too long, are in none; their number is returned too.
//
// count returns the number of tokens of a text. It is called for each line and
// each window.
func (d *Document) Windows(maxTokens int, count func(string) int) (windows []Window, skipped int) {
	if len(d.Tasks) == 0 {
		return nil, 0
	}
	c := newCutter(d, maxTokens, count)
	for first := 0; first < len(d.Tasks); {
		w, n := c.window(first)
		if n == 0 {
			skipped++
			first++
			continue
		}
		windows = append(windows, w)
		first += n
	}
	return windows, skipped
}

// cutter has what the windows of a document have in common.
type cutter struct {
	doc       *Document
	maxTokens int
	count     func(string) int
	starts    []int // offset of each line, and of the end of the text
	sum       []int // sum[i] is the number of tokens of the lines before line i
	head      string
	headSize  int // tokens of head
}

func newCutter(d *Document, maxTokens int, count func(string) int) *cutter {
	c := &cutter{doc: d, maxTokens: maxTokens, count: count, starts: []int{0}, sum: []int{0}}
	end := lineEnd(d.Text, d.Tasks[len(d.Tasks)-1].End)
	for i := 0; i < end; {
		next := lineEnd(d.Text, i)
		c.starts = append(c.starts, next)
		c.sum = append(c.sum, c.sum[len(c.sum)-1]+count(d.Text[i:next]))
		i = next
	}
	for line := range strings.Lines(d.Text[d.Imports.Start:d.Imports.End]) {
		n := count(line)
		if (c.headSize+n)*minContext > maxTokens {
			break
		}
		c.head, c.headSize = c.head+line, c.headSize+n
	}
	return c
}

// lineOf returns the index of the line that contains an offset.
func (c *cutter) lineOf(offset int) int {
	return sort.SearchInts(c.starts, offset+1) - 1
}

// window makes the window that begins with a task: from the beginning of the
// file if it has room for that, or else with a quarter of context. n is the
// number of its tasks, 0 if even the first doesn't fit.
func (c *cutter) window(first int) (w Window, n int) {
	if w, n := c.from(0, first); n > 0 {
		return w, n
	}
	line := c.lineOf(c.doc.Tasks[first].Start)
	start := line
	for start > 0 && (c.sum[line]-c.sum[start])*minContext < c.maxTokens {
		start--
	}
	if start == 0 {
		return Window{}, 0
	}
	return c.from(start, first)
}

// from makes the window that begins with a line and a task.
func (c *cutter) from(start, first int) (w Window, n int) {
	tasks, head, room := c.doc.Tasks[first:], "", c.maxTokens
	if start > 0 && c.starts[start] >= c.doc.Imports.End {
		head, room = c.head, room-c.headSize
	}
	for n < len(tasks) && c.sum[c.lineOf(tasks[n].End-1)+1]-c.sum[start] <= room {
		n++
	}
	// A text may have a few tokens more than its lines on their own.
	for ; n > 0; n-- {
		end := c.starts[c.lineOf(tasks[n-1].End-1)+1]
		w = Window{
			Text:      head + c.doc.Text[c.starts[start]:end],
			HeadBytes: len(head),
			Offset:    c.starts[start],
			First:     first,
		}
		if c.count(w.Text) <= c.maxTokens {
			break
		}
	}
	for _, t := range tasks[:n] {
		shift := len(head) - c.starts[start]
		w.Tasks = append(w.Tasks, Span{t.Start + shift, t.End + shift})
	}
	return w, n
}
