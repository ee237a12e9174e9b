package nn

import (
	"math"
	"slices"

	"github.com/code2lora/code2lora/internal/kernel"
)

// Node is a run of neighbouring rows of a [Tree]: tokens that follow each
// other, after those of the node's ancestors.
type Node struct {
	At, N  int // first row, rows
	Parent int // index of an earlier node, all of whose rows come before; -1 at a root
}

// Tree describes causal grouped-query attention of sequences that share
// prefixes. A row sees its node's rows up to itself, and all rows of the
// node's ancestors. Sequences without a common prefix are trees of one node.
//
// Query head h reads key/value head h / (H/Hkv). Rows of queries and outputs
// are H·hd wide, rows of keys and values Hkv·hd.
//
// The output of a row depends on what the row sees and on nothing else, bit for
// bit: not on how its past is cut into nodes, nor on other rows. So a sequence
// has the same hidden states with its prefix shared or not.
type Tree struct {
	H, Hkv, HD int
	nodes      []treeNode
	rows       int
	queries    []int32 // rows that are asked for, nil for all
	pos        []int32 // position of each query
	blocks     []treeBlock
	scratch    int // floats that a block needs, at most
}

// treeNode is a node with what follows from its place.
type treeNode struct {
	Node
	pos int // position of its first row in a sequence
	end int // row after its last descendant's
}

// treeBlock is a run lo..hi−1 of queries that are worked on together. Their
// scores are a matrix (queries, H/Hkv, cols) with a column for each position,
// whichever node has it.
type treeBlock struct {
	lo, hi int
	cols   int
	pieces []piece
}

// piece says that queries lo..hi−1 see the first keys rows of a node.
type piece struct {
	*treeNode
	lo, hi, keys int
}

// valueBlock is the number of positions whose values are summed in one go;
// then the sums are added in order. Blocks begin at multiples of it, whatever
// the nodes are, which is what makes outputs independent of them. Half of
// kernel's own block would do as well.
const valueBlock = 128

// NewTree describes attention over nodes that lie in depth-first order, one
// after the other from row 0 on. Nodes may not be empty.
func NewTree(H, Hkv, HD int, nodes []Node) *Tree {
	t := &Tree{H: H, Hkv: Hkv, HD: HD, nodes: make([]treeNode, len(nodes))}
	for i, n := range nodes {
		if n.At != t.rows || n.N <= 0 || n.Parent >= i {
			panic("nn: nodes of a tree that are empty or not in order")
		}
		t.rows += n.N
		nd := treeNode{Node: n, end: t.rows}
		if n.Parent >= 0 {
			nd.pos = t.nodes[n.Parent].pos + t.nodes[n.Parent].N
		}
		for j := n.Parent; j >= 0; j = t.nodes[j].Parent {
			if t.nodes[j].end != n.At {
				panic("nn: nodes of a tree that are not in depth-first order")
			}
			t.nodes[j].end = t.rows
		}
		t.nodes[i] = nd
		for j := range n.N {
			t.pos = append(t.pos, int32(nd.pos+j))
		}
	}
	t.cut()
	return t
}

// Queries returns attention over the same tree from some of its rows only, in
// ascending order. Of the operands, q, o, lse and their gradients then have a
// row for each of them; k and v are those of all rows. Outputs are the same
// bits.
func (t *Tree) Queries(rows []int32) *Tree {
	s := &Tree{H: t.H, Hkv: t.Hkv, HD: t.HD, nodes: t.nodes, rows: t.rows, queries: rows, pos: make([]int32, len(rows))}
	for i, r := range rows {
		if r < 0 || int(r) >= t.rows || i > 0 && r <= rows[i-1] || t.queries != nil {
			panic("nn: queries of a tree that are not rows in ascending order")
		}
		s.pos[i] = t.pos[r]
	}
	s.cut()
	return s
}

// Positions returns the position of each query, which is each row unless the
// tree is of [Tree.Queries], in its sequence. It must not be modified.
func (t *Tree) Positions() []int32 { return t.pos }

// row returns the row of query i.
func (t *Tree) row(i int) int {
	if t.queries == nil {
		return i
	}
	return int(t.queries[i])
}

// query returns the first query at row or behind it.
func (t *Tree) query(row int) int {
	if t.queries == nil {
		return row
	}
	i, _ := slices.BinarySearch(t.queries, int32(row))
	return i
}

// cut makes the blocks. The heads of a group share keys and values, so they are
// worked on together: a block has about 128 rows of scores.
func (t *Tree) cut() {
	group := t.H / t.Hkv
	size := max(8, min(64, 128/group/4*4))
	first := 0 // node of query lo
	for lo := 0; lo < len(t.pos); lo += size {
		b := treeBlock{lo: lo, hi: min(len(t.pos), lo+size)}
		for t.nodes[first].At+t.nodes[first].N <= t.row(lo) {
			first++
		}
		b.add(t, t.nodes[first].Parent)
		for i := first; i < len(t.nodes) && t.nodes[i].At <= t.row(b.hi-1); i++ {
			b.piece(t, &t.nodes[i])
		}
		for _, p := range t.pos[b.lo:b.hi] {
			b.cols = max(b.cols, int(p)+1)
		}
		t.blocks = append(t.blocks, b)
		t.scratch = max(t.scratch, 2*(b.hi-b.lo)*group*(b.cols+2*t.HD)+2*b.cols)
	}
	t.scratch += 2*valueBlock*t.HD + 2*t.HD
}

// add adds the pieces of node i and its ancestors, ancestors first.
func (b *treeBlock) add(t *Tree, i int) {
	if i >= 0 {
		b.add(t, t.nodes[i].Parent)
		b.piece(t, &t.nodes[i])
	}
}

// piece adds what the queries of the block see of node n.
func (b *treeBlock) piece(t *Tree, n *treeNode) {
	lo, hi := max(b.lo, t.query(n.At)), min(b.hi, t.query(n.end))
	if lo < hi {
		b.pieces = append(b.pieces, piece{n, lo, hi, min(n.N, t.row(hi-1)+1-n.At)})
	}
}

// work is the scratch memory of one block: scores and their gradient, rows of
// queries and outputs of the heads of one group, and their gradients.
type work struct {
	s, ds          []float32 // (rows, group, cols)
	q, o, do, dq   []float32 // (rows, group, hd); q is scaled
	values         []float32 // (valueBlock, hd)
	pair, products []float32 // (2,hd), (2,cols)
	all            []float32
}

func (t *Tree) newWork(b *treeBlock) *work {
	w := &work{all: scratch(t.scratch)}
	rest := w.all
	take := func(n int) (s []float32) {
		s, rest = rest[:n:n], rest[n:]
		return s
	}
	n := (b.hi - b.lo) * (t.H / t.Hkv)
	w.s, w.ds = take(n*b.cols), take(n*b.cols)
	w.q, w.o, w.do, w.dq = take(n*t.HD), take(n*t.HD), take(n*t.HD), take(n*t.HD)
	w.values, w.pair, w.products = take(valueBlock*t.HD), take(2*t.HD), take(2*b.cols)
	return w
}

// Forward computes, for every query head,
//
//	S = q kᵀ / sqrt(hd), masked;  P = softmax(S);  o = P v
//
// Shapes: o, q (T, H·hd); k, v (T, Hkv·hd); lse (T, H) receives the logarithm
// of the softmax denominators for Backward.
func (t *Tree) Forward(o, lse, q, k, v []float32) {
	kernel.Parallel(len(t.blocks)*t.Hkv, func(u int) {
		// The last blocks come first: they tend to be the longest, so that the
		// threads end together.
		b := &t.blocks[len(t.blocks)-1-u/t.Hkv]
		w := t.newWork(b)
		t.forward(b, u%t.Hkv, w, o, lse, q, k, v)
		release(w.all)
	})
}

func (t *Tree) forward(b *treeBlock, hkv int, w *work, o, lse, q, k, v []float32) {
	group := t.H / t.Hkv
	t.scores(b, hkv, w, q, k)
	for r := range (b.hi - b.lo) * group {
		row, at := w.s[r*b.cols:][:b.cols], b.lo+r/group
		seen := int(t.pos[at]) + 1
		lse[at*t.H+hkv*group+r%group] = kernel.SoftmaxLogSum(row[:seen])
		clear(row[seen:])
	}
	for c := 0; c < b.cols; c += valueBlock {
		for i := range b.pieces {
			t.sumValues(b, &b.pieces[i], hkv, c, w, v)
		}
	}
	t.scatter(o, w.o, b, hkv)
}

// scores gathers the queries of a block, and writes the scores.
func (t *Tree) scores(b *treeBlock, hkv int, w *work, q, k []float32) {
	t.gather(w.q, q, b, hkv)
	kernel.Scale(w.q, t.scale())
	for _, p := range b.pieces {
		t.products(w.s, w.q, k, b, p, hkv, w)
	}
}

// scale is the factor of the scores.
func (t *Tree) scale() float32 { return float32(1 / math.Sqrt(float64(t.HD))) }

// products writes the products of rows of x with rows of y, keys or values,
// for one piece.
func (t *Tree) products(s, x, y []float32, b *treeBlock, p piece, hkv int, w *work) {
	group, wkv, hd := t.H/t.Hkv, t.Hkv*t.HD, t.HD
	n, first := (p.hi-p.lo)*group, (p.lo-b.lo)*group
	x, y, s = x[first*hd:], y[p.At*wkv+hkv*hd:], s[first*b.cols+p.pos:]
	if n > 1 {
		kernel.Product(false, true, n, p.keys, hd, x, hd, y, wkv, false, s, b.cols)
		return
	}
	// A product of one row sums in another order than one of several.
	copy(w.pair, x[:hd])
	copy(w.pair[hd:], x[:hd])
	kernel.Product(false, true, 2, p.keys, hd, w.pair, hd, y, wkv, false, w.products, p.keys)
	copy(s, w.products[:p.keys])
}

// sumValues adds P v over positions c..c+valueBlock−1 to the output of those
// rows of a piece whose past in this range ends in the piece's node.
func (t *Tree) sumValues(b *treeBlock, p *piece, hkv, c int, w *work, v []float32) {
	end := p.pos + p.N
	if p.pos >= c+valueBlock || end <= c {
		return
	}
	lo, hi := p.lo, p.hi
	if end < c+valueBlock { // the past of descendants goes on in their nodes
		hi = min(hi, t.query(p.At+p.N))
	}
	if c > p.pos { // earlier rows see none of it
		lo = max(lo, t.query(p.At+c-p.pos))
	}
	keys := min(c+valueBlock, p.pos+p.keys) - c
	if lo >= hi || keys <= 0 {
		return
	}
	wkv, hd, group := t.Hkv*t.HD, t.HD, t.H/t.Hkv
	values, ld := w.values, hd
	if p.pos <= c {
		values, ld = v[(p.At+c-p.pos)*wkv+hkv*hd:], wkv
	} else {
		t.gatherPast(values, v, p.treeNode, c, c+keys, hkv)
	}
	first := (lo - b.lo) * group
	kernel.Product(false, false, (hi-lo)*group, hd, keys, w.s[first*b.cols+c:], b.cols, values, ld, c > 0, w.o[first*hd:], hd)
}

// gatherPast copies head hkv of the rows that have positions from..to−1 before
// and in node n.
func (t *Tree) gatherPast(dst, v []float32, n *treeNode, from, to, hkv int) {
	wkv, hd := t.Hkv*t.HD, t.HD
	for {
		for p := max(from, n.pos); p < min(to, n.pos+n.N); p++ {
			copy(dst[(p-from)*hd:][:hd], v[(n.At+p-n.pos)*wkv+hkv*hd:])
		}
		if n.pos <= from {
			return
		}
		n = &t.nodes[n.Parent]
	}
}

// gather copies the heads of a group out of rows of width H·hd.
func (t *Tree) gather(dst, src []float32, b *treeBlock, hkv int) {
	w := t.H / t.Hkv * t.HD
	for r := range b.hi - b.lo {
		copy(dst[r*w:][:w], src[(b.lo+r)*t.H*t.HD+hkv*w:])
	}
}

// scatter is the inverse of gather.
func (t *Tree) scatter(dst, src []float32, b *treeBlock, hkv int) {
	w := t.H / t.Hkv * t.HD
	for r := range b.hi - b.lo {
		copy(dst[(b.lo+r)*t.H*t.HD+hkv*w:][:w], src[r*w:])
	}
}

// lanes is the number of accumulators that Backward has for the gradients of
// the keys and values of each head. Blocks go to them in turn, so that there is
// work for several threads where a model has two key/value heads, in an order
// that doesn't depend on the number of threads.
func lanes(Hkv int) int { return (8 + Hkv - 1) / Hkv }

// BackwardScratch returns how many values [Tree.Backward] needs for each row.
func BackwardScratch(Hkv, HD int) int { return 2 * lanes(Hkv) * Hkv * HD }

// Backward adds the gradients of Forward to dq, dk and dv. A key that several
// sequences share gets the sum of what they send, in an order that depends on
// the tree only. With P recomputed from lse:
//
//	dv += Pᵀ do;  dP = do vᵀ;  dS = P ∘ (dP − rowsum(do ∘ o))
//	dq += dS k / sqrt(hd);  dk += dSᵀ q / sqrt(hd)
//
// acc has T times [BackwardScratch] values of any content.
func (t *Tree) Backward(acc, dq, dk, dv, do, o, lse, q, k, v []float32) {
	size := t.rows * t.HD
	lanes := min(lanes(t.Hkv), len(t.blocks))
	part := func(lane, hkv, which int) []float32 { return acc[((lane*t.Hkv+hkv)*2+which)*size:][:size] }
	kernel.Parallel(lanes*t.Hkv, func(u int) {
		lane, hkv := u/t.Hkv, u%t.Hkv
		dkl, dvl := part(lane, hkv, 0), part(lane, hkv, 1)
		clear(dkl)
		clear(dvl)
		for i := lane; i < len(t.blocks); i += lanes {
			b := &t.blocks[i]
			w := t.newWork(b)
			t.backward(b, hkv, w, dq, dkl, dvl, do, o, lse, q, k, v)
			release(w.all)
		}
	})
	kernel.Parallel(t.rows, func(r int) {
		for hkv := range t.Hkv {
			at := (r*t.Hkv + hkv) * t.HD
			for lane := range lanes {
				kernel.Add(dk[at:][:t.HD], part(lane, hkv, 0)[r*t.HD:][:t.HD])
				kernel.Add(dv[at:][:t.HD], part(lane, hkv, 1)[r*t.HD:][:t.HD])
			}
		}
	})
}

// backward is Backward for one block, with dk and dv (T, hd) of one head.
func (t *Tree) backward(b *treeBlock, hkv int, w *work, dq, dk, dv, do, o, lse, q, k, v []float32) {
	group, wkv, hd := t.H/t.Hkv, t.Hkv*t.HD, t.HD
	t.scores(b, hkv, w, q, k)
	t.gather(w.o, o, b, hkv)
	t.gather(w.do, do, b, hkv)
	for _, p := range b.pieces {
		t.products(w.ds, w.do, v, b, p, hkv, w)
	}
	for r := range (b.hi - b.lo) * group {
		row, drow, at := w.s[r*b.cols:][:b.cols], w.ds[r*b.cols:][:b.cols], b.lo+r/group
		seen := int(t.pos[at]) + 1
		kernel.ExpSub(row[:seen], row[:seen], lse[at*t.H+hkv*group+r%group])
		kernel.SubMul(drow[:seen], row[:seen], kernel.Dot(w.do[r*hd:][:hd], w.o[r*hd:][:hd]))
		clear(row[seen:])
		clear(drow[seen:])
	}
	clear(w.dq)
	for _, p := range b.pieces {
		n, first := (p.hi-p.lo)*group, (p.lo-b.lo)*group
		s, ds := w.s[first*b.cols+p.pos:], w.ds[first*b.cols+p.pos:]
		kernel.Product(true, false, p.keys, hd, n, s, b.cols, w.do[first*hd:], hd, true, dv[p.At*hd:], hd)
		kernel.Product(true, false, p.keys, hd, n, ds, b.cols, w.q[first*hd:], hd, true, dk[p.At*hd:], hd)
		kernel.Product(false, false, n, hd, p.keys, ds, b.cols, k[p.At*wkv+hkv*hd:], wkv, true, w.dq[first*hd:], hd)
	}
	scale := t.scale()
	for r := range b.hi - b.lo {
		n := group * hd
		kernel.Axpy(dq[(b.lo+r)*t.H*hd+hkv*n:][:n], scale, w.dq[r*n:][:n])
	}
}
