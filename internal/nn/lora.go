package nn

import "github.com/code2lora/code2lora/internal/kernel"

// LoRAGradient adds the gradients of the factors of an adapter's part of one
// linear layer, y += scale · u Bᵀ with u = x Aᵀ:
//
//	dB += scale · dyᵀ u;  dA += duᵀ x
//
// Shapes: dy (T,out); x (T,in); u and du = scale · dy B (T,r), see
// [kernel.LowRank]; dA (r,in); dB (out,r). Both products are made with r rows,
// so that dy and x are read where they lie.
func LoRAGradient(dA, dB, dy, u, du, x []float32, T, in, out, r int, scale float32) {
	kernel.SumOuter(r, in, T, du, r, x, in, dA, in)
	t := scratch(r * out)
	defer release(t)
	clear(t)
	kernel.SumOuter(r, out, T, u, r, dy, out, t, out)
	const rows = 64
	kernel.Parallel((out+rows-1)/rows, func(b int) {
		for i := b * rows; i < min(out, (b+1)*rows); i++ {
			row := dB[i*r:][:r]
			for j := range row {
				row[j] += scale * t[j*out+i]
			}
		}
	})
}

// AddBias adds b (n) to every row of y (T,n). A nil b adds nothing.
func AddBias(y, b []float32, T, n int) {
	if b == nil {
		return
	}
	kernel.Parallel(T, func(t int) { kernel.Add(y[t*n:][:n], b) })
}
