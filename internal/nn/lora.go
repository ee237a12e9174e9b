package nn

import "github.com/code2lora/code2lora/internal/kernel"

// LoRAGradient adds the gradients of the factors of an adapter's part of one
// linear layer, y += scale · u Bᵀ with u = x Aᵀ:
//
//	dB += scale · dyᵀ u;  dA += duᵀ x
//
// Shapes: dy (T,out); x (T,in); u and du = scale · dy B (T,r), see
// [kernel.LowRank]; dA (r,in); dB (out,r). The products have the current
// precision, see [kernel.SumOuter].
func LoRAGradient(dA, dB, dy, u, du, x []float32, T, in, out, r int, scale float32) {
	kernel.SumOuter(r, in, T, du, r, x, in, dA, in)
	su := scratch(T * r)
	defer release(su)
	su = su[:T*r]
	copy(su, u[:T*r])
	kernel.Scale(su, scale)
	kernel.SumOuter(out, r, T, dy, out, su, r, dB, r)
}

// AddBias adds b (n) to every row of y (T,n). A nil b adds nothing.
func AddBias(y, b []float32, T, n int) {
	if b == nil {
		return
	}
	kernel.Parallel(T, func(t int) { kernel.Add(y[t*n:][:n], b) })
}
