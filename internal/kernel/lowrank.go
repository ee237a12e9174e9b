package kernel

import "fmt"

// LowRank is an adapter's part of a product with a [Frozen] (out, in): for N
// rows from row At on, W counts as W + Scale·B·A.
type LowRank struct {
	At, N, Rank int
	A, B        []float32 // (Rank, in), (out, Rank)
	Scale       float32
	// Mid (N, Rank) receives what the other factor is multiplied with: x·Aᵀ in
	// ForwardAll, Scale·dy·B in BackwardParts.
	Mid []float32
}

// FillMid computes Mid of parts of a product with x (T, in), as ForwardAll
// does, without the product.
func (f *Frozen) FillMid(x []float32, T int, parts []LowRank) {
	f.checkParts(len(x), T, parts)
	if f.in == 0 || f.out == 0 || len(parts) == 0 {
		return
	}
	var r roundedRows
	defer r.free()
	l := newLowRank(&r, f.forwardPairs(T), x, T, f.in)
	defer l.release()
	l.parts(parts, f.in, f.out, l.forward)
}

// forwardPairs returns what does a product of T rows if that is to be in
// bfloat16, else nil.
func (f *Frozen) forwardPairs(T int) *ops {
	if CurrentPrecision() != BFloat16 {
		return nil
	}
	return pairOps(T)
}

// forwardParts is one product of ForwardAll that has parts.
func (f *Frozen) forwardParts(out Output, x []float32, T int, r *roundedRows) {
	f.checkParts(len(x), T, out.Parts)
	l := newLowRank(r, f.forwardPairs(T), x, T, f.in)
	defer l.release()
	l.parts(out.Parts, f.in, f.out, l.forward)
	if f.quantised() {
		active.quantProduct(out.Y, r.records(x, T, f.in), f.quant.get(f.packQuant), T, f.out, f.in, out.Add)
		l.addRows(out.Y, T, f.out)
		return
	}
	k := l.words(f.in)
	w := panels{nil, panelWidth, k * panelWidth}
	if l.paired {
		w.data = f.fwdPairs.get(f.packForwardPairs)
	} else {
		w.data = f.fwd.get(f.packForward)
	}
	l.product(out.Y, w, T, f.out, k, out.Add)
}

// BackwardParts is [Frozen.Backward] of a product with parts, in whose rows it
// does dx += (Scale·dy·B)·A besides. With detach it leaves that out, and only
// fills Mid.
func (f *Frozen) BackwardParts(dx, dy []float32, T int, add, detach bool, parts []LowRank) {
	if len(parts) == 0 || T == 0 || f.in == 0 || f.out == 0 {
		f.Backward(dx, dy, T, add)
		return
	}
	f.checkParts(len(dx), T, parts)
	if len(dy) != T*f.out {
		panic(fmt.Sprintf("kernel: BackwardParts of a matrix (%d, %d): dy has %d elements for %d rows", f.out, f.in, len(dy), T))
	}
	var r roundedRows
	defer r.free()
	l := newLowRank(&r, pairOps(T), dy, T, f.out)
	defer l.release()
	l.parts(parts, f.in, f.out, l.backward)
	if detach {
		l.terms = nil
	}
	if f.quantisedBackward() {
		active.quantProduct(dx, r.records(dy, T, f.out), f.quantBack.get(f.packQuantBackward), T, f.in, f.out, add)
		l.addRows(dx, T, f.in)
		return
	}
	k := l.words(f.out)
	w := panels{nil, panelWidth, k * panelWidth}
	if l.paired {
		w.data = f.bwdPairs.get(f.packBackwardPairs)
	} else {
		w.data = f.bwd.get(f.packBackward)
	}
	l.product(dx, w, T, f.in, k, add)
}

// FillMidBackward computes Mid of parts as BackwardParts does, without the
// product: for where nothing needs dx.
func (f *Frozen) FillMidBackward(dy []float32, T int, parts []LowRank) {
	f.checkParts(T*f.in, T, parts)
	if len(dy) != T*f.out {
		panic(fmt.Sprintf("kernel: FillMidBackward of a matrix (%d, %d): dy has %d elements for %d rows", f.out, f.in, len(dy), T))
	}
	if f.in == 0 || f.out == 0 || len(parts) == 0 {
		return
	}
	var r roundedRows
	defer r.free()
	l := newLowRank(&r, pairOps(T), dy, T, f.out)
	defer l.release()
	l.parts(parts, f.in, f.out, l.backward)
}

func (f *Frozen) checkParts(n, T int, parts []LowRank) {
	if n != T*f.in {
		panic(fmt.Sprintf("kernel: parts of a product with a matrix (%d, %d): %d elements for %d rows", f.out, f.in, n, T))
	}
	for _, p := range parts {
		if p.At < 0 || p.N < 0 || p.At+p.N > T || p.Rank < 1 || len(p.A) != p.Rank*f.in || len(p.B) != p.Rank*f.out || len(p.Mid) != p.N*p.Rank {
			panic(fmt.Sprintf("kernel: part of a product with a matrix (%d, %d): rank %d, factors of %d and %d elements, %d between them, rows %d to %d of %d",
				f.out, f.in, p.Rank, len(p.A), len(p.B), len(p.Mid), p.At, p.At+p.N, T))
		}
	}
}

// lowRank is one product with its parts.
type lowRank struct {
	o      *ops
	paired bool
	a      view // x or dy
	terms  []lowRankTerm
	used   []*[]float32
}

// lowRankTerm is what is added in rows at..at+n−1: mid (n, k) times b (k, ...),
// where k counts words.
type lowRankTerm struct {
	at, n, k int
	mid      view
	b        panels
}

// newLowRank is for the operand x (T, k), which it rounds to pairs if paired is
// what computes with them.
func newLowRank(r *roundedRows, paired *ops, x []float32, T, k int) *lowRank {
	if paired == nil {
		return &lowRank{o: active, a: view{x, k, 1}}
	}
	return &lowRank{o: paired, paired: true, a: view{r.pairs(paired, x, T, k), ceilDiv(k, 2), 1}}
}

func (l *lowRank) buffer(n int) []float32 {
	b := packBuffer(n)
	l.used = append(l.used, b)
	return *b
}

func (l *lowRank) release() {
	for _, b := range l.used {
		packBuffers.Put(b)
	}
}

// words returns how many words n numbers of a row take as an operand.
func (l *lowRank) words(n int) int {
	if l.paired {
		return ceilDiv(n, 2)
	}
	return n
}

// rows returns x (T, k) as the operand A of products.
func (l *lowRank) rows(x []float32, T, k int) view {
	if !l.paired {
		return view{x, k, 1}
	}
	buf := l.o.pairRows(x, T, k)
	l.used = append(l.used, buf)
	return view{*buf, ceilDiv(k, 2), 1}
}

// transposed returns w (n, k) as operand B (k, n).
func (l *lowRank) transposed(w []float32, n, k int) panels {
	depth := l.words(k)
	buf := l.buffer(ceilDiv(n, panelWidth) * panelWidth * depth)
	if l.paired {
		l.o.packRows(buf, w, k, n, k)
	} else {
		for j := 0; j < n; j += panelWidth {
			l.o.packTransposed(buf[j*k:], w[j*k:], k, min(panelWidth, n-j), k, 1)
		}
	}
	return panels{buf, panelWidth, depth * panelWidth}
}

// plain returns w (k, n) as operand B.
func (l *lowRank) plain(w []float32, k, n int) panels {
	if !l.paired && n%panelWidth == 0 {
		return panels{w, n, panelWidth}
	}
	width := ceilDiv(n, panelWidth) * panelWidth
	buf := l.buffer(width * l.words(k))
	if l.paired {
		l.o.zipRows(buf, width, w, n, n, k)
	} else {
		for p := range k {
			row := buf[p*width:][:width]
			clear(row[copy(row, w[p*n:][:n]):])
		}
	}
	return panels{buf, width, panelWidth}
}

// parts computes what is between the factors of each part.
func (l *lowRank) parts(parts []LowRank, in, out int, one func(p *LowRank, a view, in, out int) panels) {
	for i := range parts {
		p := &parts[i]
		b := one(p, view{l.a.data[min(p.At*l.a.rs, len(l.a.data)):], l.a.rs, 1}, in, out)
		l.terms = append(l.terms, lowRankTerm{p.At, p.N, l.words(p.Rank), l.rows(p.Mid, p.N, p.Rank), b})
	}
}

func (l *lowRank) forward(p *LowRank, a view, in, out int) panels {
	l.o.product(p.Mid, p.Rank, a, l.transposed(p.A, p.Rank, in), p.N, p.Rank, l.words(in), false)
	scaled := l.buffer(len(p.B))
	copy(scaled, p.B)
	active.scale(scaled, p.Scale)
	return l.transposed(scaled, out, p.Rank)
}

func (l *lowRank) backward(p *LowRank, a view, in, out int) panels {
	l.o.product(p.Mid, p.Rank, a, l.plain(p.B, out, p.Rank), p.N, p.Rank, l.words(out), false)
	active.scale(p.Mid, p.Scale)
	return l.plain(p.A, p.Rank, in)
}

// product does C (T, n) = A · W, or += if add, plus the terms.
func (l *lowRank) product(c []float32, w panels, T, n, k int, add bool) {
	l.o.productThen(c, n, l.a, w, T, n, k, add, func(i, j, rows, cols int) { l.addAll(c, n, i, j, rows, cols) })
}

// addRows adds the terms to C (T, n).
func (l *lowRank) addRows(c []float32, T, n int) {
	if len(l.terms) == 0 {
		return
	}
	const rows = 48
	Parallel(ceilDiv(T, rows), func(b int) { l.addAll(c, n, b*rows, 0, min(rows, T-b*rows), n) })
}

// addAll adds the terms to the tile of C (.., n) at (i, j).
func (l *lowRank) addAll(c []float32, n, i, j, rows, cols int) {
	for t := range l.terms {
		l.add(c, n, &l.terms[t], i, j, rows, cols)
	}
}

func (l *lowRank) add(c []float32, n int, x *lowRankTerm, i, j, rows, cols int) {
	lo, hi := max(i, x.at), min(i+rows, x.at+x.n)
	if lo >= hi {
		return
	}
	mid := view{x.mid.data[(lo-x.at)*x.mid.rs:], x.mid.rs, 1}
	b := panels{x.b.data[j/panelWidth*x.b.ps:], x.b.bs, x.b.ps}
	l.o.tile(c[lo*n+j:], n, mid, b, hi-lo, cols, x.k, true)
}
