package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Bounds below count roundings: each is at most half of the last place, u
// times the result, and half of the smallest number for subnormal results.
const (
	u       = 0x1p-24
	tiny    = 0x1p-149
	expRel  = 2e-7 // what Exp promises
	second  = 1.01 // products of errors
	scalarA = 0.7109375
)

// ref is a true value and the error allowed.
type ref struct{ want, bound float64 }

// vectorKernel describes a kernel for the common test. v are its operands,
// a its scalar argument, all as float64.
type vectorKernel struct {
	name string
	args int
	call func(o *ops, v [][]float32, a float32) float64
	// each gives the elements that the kernel writes: of operands 0, 1, ...
	each func(v []float64, a float64) []ref
	// total gives the scalar that it returns.
	total func(v [][]float64, a float64) ref
}

func dup(x, bound float64) []ref { return []ref{{x, bound*second + tiny}} }

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

var vectorKernels = []vectorKernel{
	{
		name: "dot",
		args: 2,
		call: func(o *ops, v [][]float32, _ float32) float64 { return float64(o.dot(v[0], v[1])) },
		total: func(v [][]float64, _ float64) ref {
			return sum64(v[0], func(i int) float64 { return v[0][i] * v[1][i] }, u)
		},
	},
	{
		name: "axpy",
		args: 2,
		call: func(o *ops, v [][]float32, a float32) float64 { o.axpy(v[0], a, v[1]); return 0 },
		each: func(v []float64, a float64) []ref {
			p := a * v[1]
			return dup(v[0]+p, u*(math.Abs(p)+math.Abs(v[0]+p)))
		},
	},
	{
		name: "add",
		args: 2,
		call: func(o *ops, v [][]float32, _ float32) float64 { o.add(v[0], v[1]); return 0 },
		each: func(v []float64, _ float64) []ref { return dup(v[0]+v[1], u*math.Abs(v[0]+v[1])) },
	},
	{
		name: "scale",
		args: 1,
		call: func(o *ops, v [][]float32, a float32) float64 { o.scale(v[0], a); return 0 },
		each: func(v []float64, a float64) []ref { return dup(v[0]*a, u*math.Abs(v[0]*a)) },
	},
	{
		name:  "sum",
		args:  1,
		call:  func(o *ops, v [][]float32, _ float32) float64 { return float64(o.sum(v[0])) },
		total: func(v [][]float64, _ float64) ref { return sum64(v[0], func(i int) float64 { return v[0][i] }, u) },
	},
	{
		name: "max",
		args: 1,
		call: func(o *ops, v [][]float32, _ float32) float64 { return float64(o.max(v[0])) },
		total: func(v [][]float64, _ float64) ref {
			m := math.Inf(-1)
			for _, x := range v[0] {
				m = max(m, x)
			}
			return ref{m, 0}
		},
	},
	{
		name: "exp",
		args: 2,
		call: func(o *ops, v [][]float32, _ float32) float64 { o.exp(v[0], v[1]); return 0 },
		each: func(v []float64, _ float64) []ref { return dup(math.Exp(v[1]), expRel*math.Exp(v[1])) },
	},
	{
		name: "expSub",
		args: 2,
		call: func(o *ops, v [][]float32, a float32) float64 { return float64(o.expSub(v[0], v[1], a)) },
		each: func(v []float64, a float64) []ref {
			e := math.Exp(v[1] - a)
			return dup(e, e*(expRel+u*math.Abs(v[1]-a)))
		},
		total: func(v [][]float64, a float64) ref { return sumExp64(v[1], a) },
	},
	{
		name:  "sumExpSub",
		args:  1,
		call:  func(o *ops, v [][]float32, a float32) float64 { return float64(o.sumExpSub(v[0], a)) },
		total: func(v [][]float64, a float64) ref { return sumExp64(v[0], a) },
	},
	{
		name: "swiGLU",
		args: 3,
		call: func(o *ops, v [][]float32, _ float32) float64 { o.swiGLU(v[0], v[1], v[2]); return 0 },
		each: func(v []float64, _ float64) []ref {
			h := v[1] * sigmoid(v[1]) * v[2]
			return dup(h, (expRel+3*u)*math.Abs(h))
		},
	},
	{
		name: "swiGLUBackward",
		args: 6,
		call: func(o *ops, v [][]float32, _ float32) float64 {
			o.swiGLUBackward(v[0], v[1], v[2], v[3], v[4], v[5])
			return 0
		},
		each: func(v []float64, _ float64) []ref {
			dh, g, up := v[3], v[4], v[5]
			s := sigmoid(g)
			rel := expRel + 2*u // of s
			p := dh * g * s
			t := 1 + g*(1-s)
			q := dh * up * s
			abs := math.Abs
			tErr := abs(g)*(s*rel+3*u) + 2*u*abs(t)
			return []ref{
				{g * s * up, second*abs(g*s*up)*(rel+2*u) + tiny},
				{q * t, second*abs(q)*(abs(t)*(rel+3*u)+tErr) + tiny},
				{p, second*abs(p)*(rel+2*u) + tiny},
			}
		},
	},
	{
		name: "scaleMul",
		args: 3,
		call: func(o *ops, v [][]float32, a float32) float64 { o.scaleMul(v[0], v[1], v[2], a); return 0 },
		each: func(v []float64, a float64) []ref { return dup(v[1]*a*v[2], 2*u*math.Abs(v[1]*a*v[2])) },
	},
	{
		name: "dotMul",
		args: 3,
		call: func(o *ops, v [][]float32, _ float32) float64 { return float64(o.dotMul(v[0], v[1], v[2])) },
		total: func(v [][]float64, _ float64) ref {
			s := sum64(v[0], func(i int) float64 { return v[0][i] * v[1][i] * v[2][i] }, u)
			s.bound *= float64(len(v[0])+2) / float64(len(v[0])+1) // a second product
			return s
		},
	},
	{
		name: "normBackward",
		args: 4,
		call: func(o *ops, v [][]float32, a float32) float64 {
			o.normBackward(v[0], v[1], v[2], v[3], a, a/2)
			return 0
		},
		each: func(v []float64, a float64) []ref {
			p, q := a*v[1]*v[2], a/2*v[3]
			want := v[0] + (p - q)
			return dup(want, u*(3*math.Abs(p)+2*math.Abs(q)+math.Abs(v[0])+2*math.Abs(want)))
		},
	},
	{
		name: "subMul",
		args: 2,
		call: func(o *ops, v [][]float32, a float32) float64 { o.subMul(v[0], v[1], a); return 0 },
		each: func(v []float64, a float64) []ref {
			want := v[1] * (v[0] - a)
			return dup(want, 2*u*math.Abs(want))
		},
	},
}

// sum64 is Σ f(i) and the error of n products and n sums with unit roundoff
// unit.
func sum64(x []float64, f func(int) float64, unit float64) ref {
	var s, abs float64
	for i := range x {
		s += f(i)
		abs += math.Abs(f(i))
	}
	return ref{s, second * abs * float64(len(x)+1) * unit}
}

func sumExp64(x []float64, a float64) ref {
	var s, bound float64
	for _, v := range x {
		e := math.Exp(v - a)
		s += e
		bound += e * (expRel + u*math.Abs(v-a) + u*float64(len(x)+1))
	}
	return ref{s, bound * second}
}

func widen(v [][]float32) [][]float64 {
	out := make([][]float64, len(v))
	for i, x := range v {
		out[i] = make([]float64, len(x))
		for j, f := range x {
			out[i][j] = float64(f)
		}
	}
	return out
}

// check calls k on v and compares; before are the operands as they were.
func (k *vectorKernel) check(t *testing.T, o *ops, v [][]float32) {
	t.Helper()
	before := widen(v)
	got := k.call(o, v, scalarA)
	if k.total != nil {
		w := k.total(before, scalarA)
		if !(got == w.want || math.Abs(got-w.want) <= w.bound) {
			t.Fatalf("%s of %d: got %g, want %g ± %g", k.name, len(v[0]), got, w.want, w.bound)
		}
	}
	for i := range v[0] {
		at := make([]float64, len(v))
		for j := range v {
			at[j] = before[j][i]
		}
		var want []ref
		if k.each != nil {
			want = k.each(at, scalarA)
		}
		for j := range v {
			got := float64(v[j][i])
			if j >= len(want) {
				if got != at[j] {
					t.Fatalf("%s of %d: wrote %g to element %d of operand %d, which it should read", k.name, len(v[0]), got, i, j)
				}
			} else if !(math.Abs(got-want[j].want) <= want[j].bound) {
				t.Fatalf("%s of %d: element %d of operand %d is %g, want %g ± %g", k.name, len(v[0]), i, j, got, want[j].want, want[j].bound)
			}
		}
	}
}

func TestVector(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	each(t, func(t *testing.T, o *ops) {
		for _, k := range vectorKernels {
			all := places()
			for pi, p := range all {
				for n := range 71 {
					if pi >= 8 && n > 40 {
						break // mapping pages takes long
					}
					v := make([][]float32, k.args)
					ok := make([]func() bool, k.args)
					for i := range v {
						at := p
						if pi < 8 {
							at = all[(pi+i*3)%8] // operands aligned differently
						}
						v[i], ok[i] = at.make(t, n)
						fill(r, v[i])
					}
					k.check(t, o, v)
					for i := range ok {
						if !ok[i]() {
							t.Fatalf("%s of %d at %s: wrote outside operand %d", k.name, n, p.name, i)
						}
					}
				}
			}
			for _, n := range []int{255, 256, 1009, 4099} {
				v := make([][]float32, k.args)
				for i := range v {
					v[i] = random(r, n)
				}
				k.check(t, o, v)
			}
		}
	})
}

// TestVectorNaN puts a NaN into each element of each operand that is read: the
// result there, or the scalar result, must be NaN, and all others must not.
func TestVectorNaN(t *testing.T) {
	nan := float32(math.NaN())
	overwritten := map[string]int{"exp": 1, "expSub": 1, "swiGLU": 1, "swiGLUBackward": 3, "scaleMul": 1}
	r := rand.New(rand.NewPCG(5, 6))
	each(t, func(t *testing.T, o *ops) {
		for _, k := range vectorKernels {
			for arg := range k.args {
				if arg < overwritten[k.name] {
					continue
				}
				for n := 1; n <= 40; n += 3 {
					for at := range n {
						v := make([][]float32, k.args)
						for i := range v {
							v[i] = random(r, n)
						}
						v[arg][at] = nan
						got := k.call(o, v, scalarA)
						if k.total != nil && !math.IsNaN(got) {
							t.Fatalf("%s of %d: NaN at %d of operand %d gives %g", k.name, n, at, arg, got)
						}
						seen := false
						for i := range n {
							// swiGLUBackward: dh takes no part in its first result.
							bad := v[0][i] != v[0][i] || k.name == "swiGLUBackward" && v[1][i] != v[1][i]
							if bad && i != at {
								t.Fatalf("%s of %d: NaN at %d of operand %d spread to %d", k.name, n, at, arg, i)
							}
							seen = seen || bad
						}
						if k.each != nil && !seen {
							t.Fatalf("%s of %d: NaN at %d of operand %d was lost", k.name, n, at, arg)
						}
					}
				}
			}
		}
	})
}

// FuzzVector runs the common check at other lengths, places and magnitudes.
func FuzzVector(f *testing.F) {
	for i := range vectorKernels {
		f.Add(uint64(i), uint16(33), uint8(i), uint8(i), uint8(0))
		f.Add(uint64(i), uint16(1000), uint8(i), uint8(9), uint8(20))
	}
	all := places()
	f.Fuzz(func(t *testing.T, seed uint64, n uint16, kernel, at, exponent uint8) {
		k := vectorKernels[int(kernel)%len(vectorKernels)]
		scale := float32(math.Ldexp(1, 3-int(exponent%24))) // below the overflow of Exp
		each(t, func(t *testing.T, o *ops) {
			r := rand.New(rand.NewPCG(seed, 1))
			v := make([][]float32, k.args)
			for i := range v {
				var ok func() bool
				v[i], ok = all[(int(at)+i)%len(all)].make(t, int(n%3000))
				fill(r, v[i])
				for j := range v[i] {
					v[i][j] *= scale
				}
				defer func() {
					if !ok() {
						t.Errorf("%s of %d: wrote outside operand %d", k.name, n%3000, i)
					}
				}()
			}
			k.check(t, o, v)
		})
	})
}
