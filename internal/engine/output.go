package engine

import "strings"

// output collects text, holds back what may be the beginning of a stop
// sequence, and passes on the rest.
type output struct {
	stops []string
	emit  func(string) error
	done  strings.Builder // passed on
	held  string
}

func (o *output) text() string { return o.done.String() }

// write adds text and reports whether a stop sequence has appeared.
func (o *output) write(s string) (stopped bool, err error) {
	o.held += s
	first := -1
	for _, stop := range o.stops {
		if i := strings.Index(o.held, stop); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	if first >= 0 {
		return true, o.pass(first)
	}
	return false, o.pass(len(o.held) - o.partial())
}

// partial returns the length of the longest end of held that begins a stop
// sequence.
func (o *output) partial() int {
	longest := 0
	for _, stop := range o.stops {
		for n := min(len(stop)-1, len(o.held)); n > longest; n-- {
			if strings.HasSuffix(o.held, stop[:n]) {
				longest = n
			}
		}
	}
	return longest
}

func (o *output) flush() error { return o.pass(len(o.held)) }

func (o *output) pass(n int) error {
	s := o.held[:n]
	o.held = o.held[n:]
	o.done.WriteString(s)
	if s == "" || o.emit == nil {
		return nil
	}
	return o.emit(s)
}
