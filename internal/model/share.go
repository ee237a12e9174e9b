package model

import (
	"slices"

	"github.com/code2lora/code2lora/internal/nn"
)

// minShared is the length from which a common prefix is worth a cut: a token
// less to compute, against one more piece in each block of attention.
const minShared = 4

// layout says how the tokens of a batch become the rows of a pass: a tree of
// runs, in which sequences of one adapter share the rows of their common
// prefix. Rows that no label needs are left out.
//
// Hidden states of a sequence are the same bits with and without sharing,
// since a row's value depends on what it sees alone (see [nn.Tree]).
type layout struct {
	roots []*run // one for each adapter, empty, in order of first use
	ends  []end  // of each sequence
	runs  []*run // those with rows, depth first
	T     int
	share bool
}

// run is a node of the tree.
type run struct {
	adapter  int
	parent   *run
	children []*run
	start    int // tokens before the run
	tokens   []int32
	hidden   []float32 // (len(tokens),D), or nil where tokens are embedded
	need     int       // tokens that must be computed
	at       int       // first row
	index    int       // in layout.runs
}

// end is where a sequence ends: with token depth−1 of the path that leads
// through run. before counts the tokens that are not its own.
type end struct {
	run           *run
	before, depth int
}

// newLayout lays out a batch whose prefixes have been checked. With share it
// looks for common prefixes itself. With all it keeps every row, else those
// which a label needs.
func newLayout(b Batch, share, all bool) *layout {
	y := &layout{ends: make([]end, len(b.Sequences)), share: share}
	for i, s := range b.Sequences {
		var at end
		if s.Prefix > 0 {
			j := s.Prefix - 1
			at = y.ends[j]
			at.depth = at.before + prefixLen(s, b.Sequences[j])
		} else {
			at.run = y.root(s.Adapter)
		}
		before := at.depth
		r := y.insert(at, s.Tokens, s.Hidden)
		y.ends[i] = end{r, before, before + len(s.Tokens)}
	}
	for i, s := range b.Sequences {
		if all && len(s.Tokens) > 0 {
			y.require(i, len(s.Tokens)-1)
		}
		for _, l := range s.Labels {
			y.require(i, l.Pos)
		}
	}
	for _, r := range y.roots {
		y.place(r)
	}
	return y
}

func (y *layout) root(adapter int) *run {
	for _, r := range y.roots {
		if r.adapter == adapter {
			return r
		}
	}
	r := &run{adapter: adapter}
	y.roots = append(y.roots, r)
	return r
}

// insert adds tokens after a place, and returns the run of the last one.
func (y *layout) insert(at end, tokens []int32, hidden []float32) *run {
	r, off := at.find()
	if off < len(r.tokens) { // in the middle: what follows counts as a child
		if n := r.common(off, tokens, hidden); y.worth(n, len(tokens), len(r.tokens)-off) {
			if n == len(tokens) {
				return r
			}
			tokens, hidden = rest(tokens, hidden, n)
			off += n
		}
		if off < len(r.tokens) {
			r = r.split(off)
		}
	}
	for {
		c, n := y.match(r, tokens, hidden)
		if c == nil {
			c = &run{adapter: r.adapter, parent: r, start: r.start + len(r.tokens), tokens: tokens, hidden: hidden}
			r.children = append(r.children, c)
			return c
		}
		if n == len(tokens) {
			return c
		}
		tokens, hidden = rest(tokens, hidden, n)
		if n < len(c.tokens) {
			c = c.split(n)
		}
		r = c
	}
}

// match returns the child of r that has most tokens in common with tokens, if
// that is worth sharing.
func (y *layout) match(r *run, tokens []int32, hidden []float32) (best *run, most int) {
	for _, c := range r.children {
		if n := c.common(0, tokens, hidden); n > most && y.worth(n, len(tokens), len(c.tokens)) {
			best, most = c, n
		}
	}
	return best, most
}

// worth reports whether n common tokens of two runs are shared: if they are
// enough, or if that needs no cut.
func (y *layout) worth(n, a, b int) bool {
	return y.share && (n >= minShared || n == min(a, b))
}

// common returns how many tokens after the first off ones of r equal tokens,
// and begin with the same hidden states.
func (r *run) common(off int, tokens []int32, hidden []float32) int {
	if (r.hidden == nil) != (hidden == nil) {
		return 0
	}
	n := 0
	for n < min(len(tokens), len(r.tokens)-off) && r.tokens[off+n] == tokens[n] {
		n++
	}
	if hidden == nil {
		return n
	}
	D := len(hidden) / len(tokens)
	for i := range n {
		if !slices.Equal(r.hidden[(off+i)*D:][:D], hidden[i*D:][:D]) {
			return i
		}
	}
	return n
}

// rest returns what follows the first n tokens, of which there are more.
func rest(tokens []int32, hidden []float32, n int) ([]int32, []float32) {
	if hidden != nil {
		hidden = hidden[n*(len(hidden)/len(tokens)):]
	}
	return tokens[n:], hidden
}

// split cuts r after its first n tokens. What follows stays r; what comes
// before is a new run, which is returned.
func (r *run) split(n int) *run {
	up := &run{adapter: r.adapter, parent: r.parent, children: []*run{r}, start: r.start, tokens: r.tokens[:n]}
	r.parent.children[slices.Index(r.parent.children, r)] = up
	tail, hidden := rest(r.tokens, r.hidden, n)
	if r.hidden != nil {
		up.hidden = r.hidden[:len(r.hidden)-len(hidden)]
	}
	r.parent, r.start, r.tokens, r.hidden = up, r.start+n, tail, hidden
	return up
}

// find returns the run that has the last token of a path, and how many of its
// tokens the path has. Runs may have been split since the end was noted.
func (e end) find() (*run, int) {
	r := e.run
	for r.parent != nil && r.start >= e.depth {
		r = r.parent
	}
	return r, e.depth - r.start
}

// require says that own token pos of sequence i must be computed.
func (y *layout) require(i, pos int) {
	e := y.ends[i]
	r, off := end{e.run, 0, e.before + pos + 1}.find()
	for ; r != nil; r = r.parent {
		if r.need >= off && off > 0 {
			return
		}
		r.need = off
		if r.parent != nil {
			off = len(r.parent.tokens)
		}
	}
}

// place gives rows to a run and its descendants.
func (y *layout) place(r *run) {
	if r.need > 0 {
		r.index, r.at = len(y.runs), y.T
		y.runs = append(y.runs, r)
		y.T += r.need
	}
	for _, c := range r.children {
		if c.need > 0 {
			y.place(c)
		}
	}
}

// row returns the row of own token pos of sequence i, or -1 if it was left out.
func (y *layout) row(i, pos int) int {
	e := y.ends[i]
	r, off := end{e.run, 0, e.before + pos + 1}.find()
	if off > r.need {
		return -1
	}
	return r.at + off - 1
}

// nodes returns the runs for attention.
func (y *layout) nodes() []nn.Node {
	nodes := make([]nn.Node, len(y.runs))
	for i, r := range y.runs {
		nodes[i] = nn.Node{At: r.at, N: r.need, Parent: -1}
		if r.start > 0 {
			nodes[i].Parent = r.parent.index
		}
	}
	return nodes
}

// ownRows appends the rows x (T,D) of the n own tokens of sequence i to dst,
// and zeros for what was left out.
func (y *layout) ownRows(dst []float32, i, n int, x []float32, D int) []float32 {
	for pos := range n {
		if row := y.row(i, pos); row >= 0 {
			dst = append(dst, x[row*D:][:D]...)
		} else {
			dst = append(dst, make([]float32, D)...)
		}
	}
	return dst
}

// own returns the rows x (T,D) in the order of the batch.
func (y *layout) own(b Batch, x []float32, D int) []float32 {
	var all []float32
	for i, s := range b.Sequences {
		all = y.ownRows(all, i, len(s.Tokens), x, D)
	}
	return all
}
