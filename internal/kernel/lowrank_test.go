package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// eachPrecision runs f for every implementation in float32, and in bfloat16
// and its emulation; product is the true value and bound of a product of
// operands as they are rounded there.
func eachPrecision(t *testing.T, f func(t *testing.T, product func(c, x []float32, xi, xp int, w []float32, wp, wj, m, n, k int) (sum, bound []float64))) {
	t.Helper()
	each(t, func(t *testing.T, _ *ops) { f(t, product64) })
	eachBF16(t, func(t *testing.T) { f(t, pairProduct64) })
}

// randomParts returns parts of ranks that differ, over rows that leave gaps.
func randomParts(r *rand.Rand, T, out, in int) []LowRank {
	var parts []LowRank
	for at, rank := T/10, 1; at < T; rank += 7 {
		n := min(T-at, 1+T/3)
		parts = append(parts, LowRank{At: at, N: n, Rank: rank, A: random(r, rank*in), B: random(r, out*rank), Scale: 0.5, Mid: random(r, n*rank)})
		at += n + T/9
	}
	return parts
}

func scaled(x []float32, a float32) []float32 {
	y := append([]float32(nil), x...)
	Scale(y, a)
	return y
}

// TestParts compares products that have parts with the sum of the products
// that they stand for. Mid is taken as it came out: it has its own comparison.
func TestParts(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	eachPrecision(t, func(t *testing.T, product func(c, x []float32, xi, xp int, w []float32, wp, wj, m, n, k int) (sum, bound []float64)) {
		for _, s := range [][3]int{{8, 5, 7}, {13, 33, 40}, {61, 64, 96}, {400, 70, 35}, {403, 160, 64}} {
			for _, add := range []bool{false, true} {
				T, out, in := s[0], s[1], s[2]
				f := NewFrozen(random(r, out*in), out, in)
				w := make([]float32, out*in)
				for i := range out {
					f.Row(w[i*in:][:in], i)
				}
				x, dy, y, dx := random(r, T*in), random(r, T*out), random(r, T*out), random(r, T*in)
				parts := randomParts(r, T, out, in)
				start := func(c []float32) []float32 {
					if add {
						return append([]float32(nil), c...)
					}
					return make([]float32, len(c))
				}
				what := fmt.Sprintf("%v add=%v: ", s, add)

				want, bound := product(start(y), x, in, 1, w, 1, in, T, out, in)
				ForwardAll(x, T, Output{W: f, Y: y, Add: add, Parts: parts})
				for _, p := range parts {
					mid, midBound := product(make([]float32, p.N*p.Rank), x[p.At*in:], in, 1, p.A, 1, in, p.N, p.Rank, in)
					compare(t, what+"x·Aᵀ", p.Mid, mid, midBound)
					addTo(want, bound, p.At*out)(product(make([]float32, p.N*out), p.Mid, p.Rank, 1, scaled(p.B, p.Scale), 1, p.Rank, p.N, out, p.Rank))
				}
				compare(t, what+"ForwardAll", y, want, bound)
				alone := randomParts(r, T, out, in)
				for i := range alone {
					alone[i].A, alone[i].B = parts[i].A, parts[i].B
				}
				f.FillMid(x, T, alone)
				for i := range alone {
					same(t, what+"FillMid", alone[i].Mid, parts[i].Mid)
				}

				want, bound = product(start(dx), dy, out, 1, w, in, 1, T, in, out)
				bare := append([]float32(nil), dx...)
				f.Backward(bare, dy, T, add)
				detached := append([]float32(nil), dx...)
				f.BackwardParts(detached, dy, T, add, true, parts)
				same(t, what+"detached", detached, bare)
				f.BackwardParts(dx, dy, T, add, false, parts)
				for _, p := range parts {
					mid, midBound := product(make([]float32, p.N*p.Rank), dy[p.At*out:], out, 1, p.B, p.Rank, 1, p.N, p.Rank, out)
					for i := range mid { // the scale, a power of two, is exact
						mid[i] *= float64(p.Scale)
					}
					compare(t, what+"dy·B", p.Mid, mid, midBound)
					addTo(want, bound, p.At*in)(product(make([]float32, p.N*in), p.Mid, p.Rank, 1, p.A, in, 1, p.N, in, p.Rank))
				}
				compare(t, what+"BackwardParts", dx, want, bound)
			}
		}
	})
}

// addTo returns a function that adds values and bounds from place at on; one
// rounding of the sum is within the bounds.
func addTo(want, bound []float64, at int) func(sum, b []float64) {
	return func(sum, b []float64) {
		for i, v := range sum {
			want[at+i] += v
			bound[at+i] += b[i] + 0x1p-23*bound[at+i]
		}
	}
}

// TestPartsDeterminism wants the same bits on any number of threads, and for a
// row whatever the other rows are.
func TestPartsDeterminism(t *testing.T) {
	defer SetThreads(0)
	r := rand.New(rand.NewPCG(33, 34))
	const T, out, in, rank = 403, 177, 330, 16
	x, dy, a, b := random(r, T*in), random(r, T*out), random(r, rank*in), random(r, out*rank)
	w := random(r, out*in)
	eachPrecision(t, func(t *testing.T, _ func(c, x []float32, xi, xp int, w []float32, wp, wj, m, n, k int) (sum, bound []float64)) {
		f := NewFrozen(w, out, in)
		both := func(at, n int) (y, dx []float32) {
			y, dx = make([]float32, n*out), make([]float32, n*in)
			parts := []LowRank{{N: n, Rank: rank, A: a, B: b, Scale: 2, Mid: make([]float32, n*rank)}}
			ForwardAll(x[at*in:][:n*in], n, Output{W: f, Y: y, Parts: parts})
			f.BackwardParts(dx, dy[at*out:][:n*out], n, false, false, parts)
			return y, dx
		}
		SetThreads(1)
		y, dx := both(0, T)
		for threads := 2; threads <= 4; threads++ {
			SetThreads(threads)
			y2, dx2 := both(0, T)
			same(t, "forward on more threads", y2, y)
			same(t, "backward on more threads", dx2, dx)
		}
		for _, n := range []int{8, 9, 13, 24, 100} {
			y2, dx2 := both(7, n)
			same(t, "forward of fewer rows", y2, y[7*out:][:n*out])
			same(t, "backward of fewer rows", dx2, dx[7*in:][:n*in])
		}
	})
}

// TestPartsInt8: in Int8, and with few rows, parts are what they are in float32.
func TestPartsInt8(t *testing.T) {
	r := rand.New(rand.NewPCG(35, 36))
	each(t, func(t *testing.T, _ *ops) {
		if err := SetPrecision(Int8); err != nil {
			t.Fatal(err)
		}
		for _, T := range []int{1, 7, 61} {
			const out, in = 40, 256
			f, _ := quantised(r, Q4_K, out, in)
			x, y, want := random(r, T*in), random(r, T*out), make([]float32, T*out)
			parts := randomParts(r, T, out, in)
			f.Forward(want, x, T)
			sum, bound := widen([][]float32{want})[0], make([]float64, len(want))
			ForwardAll(x, T, Output{W: f, Y: y, Parts: parts})
			for _, p := range parts {
				addTo(sum, bound, p.At*out)(product64(make([]float32, p.N*out), p.Mid, p.Rank, 1, scaled(p.B, p.Scale), 1, p.Rank, p.N, out, p.Rank))
			}
			for i, v := range sum { // Y is rounded once more
				bound[i] += 0x1p-23 * math.Abs(v)
			}
			compare(t, fmt.Sprintf("%d rows", T), y, sum, bound)
		}
	})
}

func TestPartsPanic(t *testing.T) {
	f := NewFrozen(make([]float32, 6), 2, 3)
	good := LowRank{At: 1, N: 2, Rank: 1, A: make([]float32, 3), B: make([]float32, 2), Scale: 1, Mid: make([]float32, 2)}
	for name, change := range map[string]func(p *LowRank){
		"rows":  func(p *LowRank) { p.At = 2 },
		"rank":  func(p *LowRank) { p.Rank = 0 },
		"A":     func(p *LowRank) { p.A = p.A[:2] },
		"B":     func(p *LowRank) { p.B = p.B[:1] },
		"Mid":   func(p *LowRank) { p.Mid = p.Mid[:1] },
		"start": func(p *LowRank) { p.At = -1 },
	} {
		func() {
			p := good
			change(&p)
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f.FillMid(make([]float32, 9), 3, []LowRank{p})
		}()
	}
}
