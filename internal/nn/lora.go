package nn

import "github.com/code2lora/code2lora/internal/kernel"

// LoRAForward adds the low-rank update of one linear layer:
//
//	u = x Aᵀ;  y += scale · u Bᵀ
//
// Shapes: y (T,out); u (T,r), kept for LoRABackward; x (T,in); A (r,in);
// B (out,r).
func LoRAForward(y, u, x, A, B []float32, T, in, out, r int, scale float32) {
	kernel.Gemm(false, true, T, r, in, 1, x, in, A, in, 0, u, r)
	kernel.Gemm(false, true, T, out, r, scale, u, r, B, r, 1, y, out)
}

// LoRABackward adds the gradients of LoRAForward. dx may be nil: then no
// gradient flows into the layer's input through the adapter, as in the
// authors' training code, which detaches it.
//
//	du = scale · dy B;  dB += scale · dyᵀ u;  dA += duᵀ x;  dx += du A
func LoRABackward(dx, dA, dB, dy, u, x, A, B []float32, T, in, out, r int, scale float32) {
	du := scratch(T * r)
	defer release(du)
	kernel.Gemm(false, false, T, r, out, scale, dy, out, B, r, 0, du, r)
	kernel.Gemm(true, false, out, r, T, scale, dy, out, u, r, 1, dB, r)
	kernel.Gemm(true, false, r, in, T, 1, du, r, x, in, 1, dA, in)
	if dx != nil {
		kernel.Gemm(false, false, T, in, r, 1, du, r, A, in, 1, dx, in)
	}
}

// AddBias adds b (n) to every row of y (T,n). A nil b adds nothing.
func AddBias(y, b []float32, T, n int) {
	if b == nil {
		return
	}
	kernel.Parallel(T, func(t int) { kernel.Add(y[t*n:][:n], b) })
}
