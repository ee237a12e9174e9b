package nn

import (
	"math"

	"github.com/code2lora/code2lora/internal/kernel"
)

// RoPE holds the rotation angles of rotary position embeddings
// (arXiv 2104.09864) in the layout of Hugging Face checkpoints: dimension p of
// a head is rotated together with dimension p + hd/2.
type RoPE struct {
	hd       int
	cos, sin []float32 // (positions, hd/2)
}

// NewRoPE tabulates angles for the given number of positions:
//
//	angle(t, p) = t · theta^(−2p/hd) / factors[p]
//
// factors (hd/2) may be nil; it is the rope_freqs tensor of Llama 3 files.
func NewRoPE(positions, hd int, theta float64, factors []float32) *RoPE {
	half := hd / 2
	r := &RoPE{hd: hd, cos: make([]float32, positions*half), sin: make([]float32, positions*half)}
	for p := range half {
		freq := math.Pow(theta, -2*float64(p)/float64(hd))
		if factors != nil {
			freq /= float64(factors[p])
		}
		for t := range positions {
			s, c := math.Sincos(float64(t) * freq)
			r.cos[t*half+p], r.sin[t*half+p] = float32(c), float32(s)
		}
	}
	return r
}

// Positions returns the number of tabulated positions.
func (r *RoPE) Positions() int { return len(r.cos) / (r.hd / 2) }

// Forward rotates x (T, heads·hd) in place; pos (T) are the positions of the
// rows inside their sequences.
func (r *RoPE) Forward(x []float32, pos []int32, T, heads int) {
	r.rotate(x, pos, T, heads, 1)
}

// Backward turns the gradient of Forward's output, in place, into the gradient
// of its input: the transpose of a rotation is the rotation by −angle.
func (r *RoPE) Backward(dx []float32, pos []int32, T, heads int) {
	r.rotate(dx, pos, T, heads, -1)
}

func (r *RoPE) rotate(x []float32, pos []int32, T, heads int, sign float32) {
	half := r.hd / 2
	kernel.Parallel(T, func(t int) {
		cos, sin := r.cos[int(pos[t])*half:][:half], r.sin[int(pos[t])*half:][:half]
		for h := range heads {
			a := x[(t*heads+h)*r.hd:][:half]
			b := x[(t*heads+h)*r.hd+half:][:half]
			for p, c := range cos {
				s := sign * sin[p]
				u, v := a[p], b[p]
				a[p] = u*c - v*s
				b[p] = v*c + u*s
			}
		}
	})
}
