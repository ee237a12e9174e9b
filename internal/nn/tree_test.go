package nn_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/nn"
	"github.com/code2lora/code2lora/internal/testutil"
)

// randomNodes returns nodes of up to most rows in depth-first order.
func randomNodes(rng *rand.Rand, n, most int) []nn.Node {
	var nodes []nn.Node
	var open []int // the path to the last node
	at := 0
	for i := range n {
		open = open[:rng.IntN(len(open)+1)]
		parent := -1
		if len(open) > 0 {
			parent = open[len(open)-1]
		}
		rows := 1 + rng.IntN(most)
		nodes, open = append(nodes, nn.Node{At: at, N: rows, Parent: parent}), append(open, i)
		at += rows
	}
	return nodes
}

// treeData has operands and results of attention over a tree.
type treeData struct {
	*nn.Tree
	nodes                  []nn.Node
	T                      int
	q, k, v, do            []float32
	o, lse, dq, dk, dv, ac []float32
}

func newTreeData(rng *rand.Rand, H, Hkv, hd int, nodes []nn.Node) *treeData {
	last := nodes[len(nodes)-1]
	d := &treeData{Tree: nn.NewTree(H, Hkv, hd, nodes), nodes: nodes, T: last.At + last.N}
	d.q, d.do = testutil.Randn(rng, d.T*H*hd), testutil.Randn(rng, d.T*H*hd)
	d.k, d.v = testutil.Randn(rng, d.T*Hkv*hd), testutil.Randn(rng, d.T*Hkv*hd)
	d.o, d.lse = make([]float32, len(d.q)), make([]float32, d.T*H)
	return d
}

func (d *treeData) forward() { d.Forward(d.o, d.lse, d.q, d.k, d.v) }

func (d *treeData) backward() {
	d.dq, d.dk, d.dv = make([]float32, len(d.q)), make([]float32, len(d.k)), make([]float32, len(d.v))
	d.ac = make([]float32, d.T*nn.BackwardScratch(d.Hkv, d.HD))
	for i := range d.ac {
		d.ac[i] = float32(math.NaN())
	}
	d.Backward(d.ac, d.dq, d.dk, d.dv, d.do, d.o, d.lse, d.q, d.k, d.v)
}

// past returns the rows that a row sees, in order.
func (d *treeData) past(row int) []int {
	i := slices.IndexFunc(d.nodes, func(n nn.Node) bool { return n.At <= row && row < n.At+n.N })
	var rows []int
	for r := row; r >= d.nodes[i].At; r-- {
		rows = append(rows, r)
	}
	for i = d.nodes[i].Parent; i >= 0; i = d.nodes[i].Parent {
		for r := d.nodes[i].At + d.nodes[i].N - 1; r >= d.nodes[i].At; r-- {
			rows = append(rows, r)
		}
	}
	slices.Reverse(rows)
	return rows
}

// TestTree compares attention over random trees with the formula.
func TestTree(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 3))
		hkv := 1 + rng.IntN(3)
		d := newTreeData(rng, hkv*(1+rng.IntN(4)), hkv, 2+2*rng.IntN(3), randomNodes(rng, 1+rng.IntN(9), 1+rng.IntN(90)))
		d.forward()
		want := make([]float32, len(d.o))
		for row := range d.T {
			past := d.past(row)
			if got := int(d.Positions()[row]); got != len(past)-1 {
				t.Fatalf("seed %d: row %d has position %d, want %d", seed, row, got, len(past)-1)
			}
			for h := range d.H {
				d.formula(want[(row*d.H+h)*d.HD:][:d.HD], row, h, past)
			}
		}
		if e := testutil.RelativeError(d.o, want); e > 1e-5 {
			t.Errorf("seed %d: attention over %v is off by %g", seed, d.nodes, e)
		}
	}
}

// formula computes attention of one row and head in float64.
func (d *treeData) formula(o []float32, row, h int, past []int) {
	hkv := h / (d.H / d.Hkv)
	qi := d.q[(row*d.H+h)*d.HD:][:d.HD]
	var sum float64
	acc := make([]float64, d.HD)
	for _, j := range past {
		at := (j*d.Hkv + hkv) * d.HD
		p := math.Exp(testutil.Dot(qi, d.k[at:][:d.HD]) / math.Sqrt(float64(d.HD)))
		sum += p
		for i := range acc {
			acc[i] += p * float64(d.v[at+i])
		}
	}
	for i := range acc {
		o[i] = float32(acc[i] / sum)
	}
}

// TestTreeGradient has trees of one block of rows, and, with 16 heads in a
// group, of blocks of eight rows.
func TestTreeGradient(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 5))
		H, Hkv, most := 4, 2, 4
		if seed >= 2 {
			H, Hkv, most = 16, 1, 8
		}
		d := newTreeData(rng, H, Hkv, 3, randomNodes(rng, 6, most))
		loss := func() float64 {
			d.forward()
			return testutil.Dot(d.o, d.do)
		}
		loss()
		d.backward()
		testutil.CheckGradient(t, "dq", d.dq, d.q, loss)
		testutil.CheckGradient(t, "dk", d.dk, d.k, loss)
		testutil.CheckGradient(t, "dv", d.dv, d.v, loss)
	}
}

// TestTreeUnfolded writes the path to every node out as a sequence of its own.
// Outputs must have the same bits; gradients of what was shared must be the
// sums of its copies' gradients.
func TestTreeUnfolded(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 7))
		most := []int{3, 40, 200}[seed%3]
		d := newTreeData(rng, 6, 2, 4, randomNodes(rng, 7, most))
		d.forward()
		d.backward()
		dq, dk, dv := make([]float32, len(d.q)), make([]float32, len(d.k)), make([]float32, len(d.v))
		for i, n := range d.nodes {
			rows := d.past(n.At + n.N - 1)
			one := newTreeData(rng, 6, 2, 4, []nn.Node{{N: len(rows), Parent: -1}})
			wq, wkv := one.H*one.HD, one.Hkv*one.HD
			clear(one.do)
			for r, from := range rows {
				copy(one.q[r*wq:][:wq], d.q[from*wq:])
				copy(one.k[r*wkv:][:wkv], d.k[from*wkv:])
				copy(one.v[r*wkv:][:wkv], d.v[from*wkv:])
				if from >= n.At { // own rows carry the gradient, once
					copy(one.do[r*wq:][:wq], d.do[from*wq:])
				}
			}
			one.forward()
			own := len(rows) - n.N
			if !slices.Equal(one.o[own*wq:], d.o[n.At*wq:][:n.N*wq]) {
				t.Errorf("seed %d: node %d of %v has other outputs than without sharing", seed, i, d.nodes)
			}
			one.backward()
			for r, to := range rows {
				kernel.Add(dq[to*wq:][:wq], one.dq[r*wq:][:wq])
				kernel.Add(dk[to*wkv:][:wkv], one.dk[r*wkv:][:wkv])
				kernel.Add(dv[to*wkv:][:wkv], one.dv[r*wkv:][:wkv])
			}
		}
		for name, g := range map[string][2][]float32{"dq": {d.dq, dq}, "dk": {d.dk, dk}, "dv": {d.dv, dv}} {
			if e := testutil.RelativeError(g[0], g[1]); e > 2e-6 {
				t.Errorf("seed %d: %s of %v is off by %g", seed, name, d.nodes, e)
			}
		}
	}
}

// TestTreeThreads demands the same bits from one and from several threads.
func TestTreeThreads(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	d := newTreeData(rng, 4, 2, 6, randomNodes(rng, 8, 60))
	defer kernel.SetThreads(kernel.Threads())
	var want [][]float32
	for _, n := range []int{1, 4} {
		kernel.SetThreads(n)
		d.forward()
		d.backward()
		got := [][]float32{slices.Clone(d.o), d.dq, d.dk, d.dv}
		for i := range want {
			if !slices.Equal(got[i], want[i]) {
				t.Errorf("result %d differs between 1 and %d threads", i, n)
			}
		}
		want = got
	}
}

func TestTreeOrder(t *testing.T) {
	for name, nodes := range map[string][]nn.Node{
		"gap":             {{N: 2, Parent: -1}, {At: 3, N: 1, Parent: 0}},
		"empty":           {{N: 0, Parent: -1}},
		"later parent":    {{N: 1, Parent: 1}, {At: 1, N: 1, Parent: -1}},
		"not depth first": {{N: 1, Parent: -1}, {At: 1, N: 1, Parent: -1}, {At: 2, N: 1, Parent: 0}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			nn.NewTree(1, 1, 2, nodes)
		}()
	}
}

// TestTreeQueries: attention from some rows gives them the same bits, and the
// same gradients as if nothing came back from the others.
func TestTreeQueries(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 13))
		hkv := 1 + rng.IntN(3)
		d := newTreeData(rng, hkv*(1+rng.IntN(4)), hkv, 2+2*rng.IntN(3), randomNodes(rng, 1+rng.IntN(9), 1+rng.IntN(90)))
		one := []int{1, 2, 3, 30}[seed%4] // of how many rows is asked for
		var rows []int32
		for r := range int32(d.T) {
			if rng.IntN(one) == 0 || int(r) == d.T-1 && rows == nil {
				rows = append(rows, r)
			}
		}
		width := d.H * d.HD
		some := &treeData{Tree: d.Queries(rows), nodes: d.nodes, T: d.T, k: d.k, v: d.v}
		rest := slices.Clone(d.do) // of d: zero in the rows that are asked for
		for i, r := range rows {
			if got, want := some.Positions()[i], d.Positions()[r]; got != want {
				t.Fatalf("seed %d: row %d has position %d, want %d", seed, r, got, want)
			}
			at := int(r) * width
			some.q = append(some.q, d.q[at:][:width]...)
			some.do = append(some.do, d.do[at:][:width]...)
			clear(rest[at:][:width])
		}
		for i, v := range rest {
			d.do[i] -= v
		}
		some.o, some.lse = make([]float32, len(some.q)), make([]float32, len(rows)*d.H)
		d.forward()
		some.forward()
		d.backward()
		some.backward()
		for i, r := range rows {
			at := int(r) * width
			if !slices.Equal(some.o[i*width:][:width], d.o[at:][:width]) || !slices.Equal(some.lse[i*d.H:][:d.H], d.lse[int(r)*d.H:][:d.H]) {
				t.Fatalf("seed %d: row %d of %v differs from attention from all rows", seed, r, d.nodes)
			}
			if e := testutil.RelativeError(some.dq[i*width:][:width], d.dq[at:][:width]); e > 1e-5 {
				t.Errorf("seed %d: gradient of query %d is off by %g", seed, r, e)
			}
		}
		for name, g := range map[string][2][]float32{"k": {some.dk, d.dk}, "v": {some.dv, d.dv}} {
			if e := testutil.RelativeError(g[0], g[1]); e > 1e-5 {
				t.Errorf("seed %d: gradient of %s is off by %g", seed, name, e)
			}
		}
	}
}

// TestTreeQueriesOutputs: the bits of outputs don't depend on which rows are
// asked for.
func TestTreeQueriesOutputs(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 15))
	d := newTreeData(rng, 6, 2, 8, randomNodes(rng, 7, 150))
	d.forward()
	for _, step := range []int{1, 2, 7, 50, d.T} {
		var rows []int32
		var q []float32
		width := d.H * d.HD
		for r := d.T - 1; r >= 0; r -= step {
			rows, q = append([]int32{int32(r)}, rows...), append(slices.Clone(d.q[r*width:][:width]), q...)
		}
		o, lse := make([]float32, len(q)), make([]float32, len(rows)*d.H)
		d.Queries(rows).Forward(o, lse, q, d.k, d.v)
		for i, r := range rows {
			if !slices.Equal(o[i*width:][:width], d.o[int(r)*width:][:width]) {
				t.Fatalf("every %d rows: row %d differs from attention from all rows", step, r)
			}
		}
	}
}

func TestTreeQueriesPanic(t *testing.T) {
	tree := nn.NewTree(1, 1, 2, []nn.Node{{N: 3, Parent: -1}})
	for _, rows := range [][]int32{{-1}, {3}, {1, 1}, {2, 0}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("queries %v: no panic", rows)
				}
			}()
			tree.Queries(rows)
		}()
	}
}
