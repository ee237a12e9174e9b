package nn

import (
	"math"
	"sync"

	"github.com/code2lora/code2lora/internal/kernel"
)

// RoPE holds the rotation angles of rotary position embeddings
// (arXiv 2104.09864) in the layout of Hugging Face checkpoints: dimension p of
// a head is rotated together with dimension p + hd/2. Angles are tabulated when a
// position near them is first needed. A RoPE may be used from several goroutines
// at once.
type RoPE struct {
	hd, positions int
	freq          []float64 // (hd/2) angle of position 1
	chunks        []angles
}

// angles are those of ropeChunk positions.
type angles struct {
	once     sync.Once
	cos, sin []float32 // (ropeChunk, hd/2)
}

// ropeChunk is how many positions are tabulated at a time.
const ropeChunk = 512

// NewRoPE returns the angles of the given number of positions:
//
//	angle(t, p) = t · theta^(−2p/hd) / factors[p]
//
// factors (hd/2) may be nil; it is the rope_freqs tensor of Llama 3 files.
func NewRoPE(positions, hd int, theta float64, factors []float32) *RoPE {
	r := &RoPE{hd: hd, positions: positions, freq: make([]float64, hd/2), chunks: make([]angles, (positions+ropeChunk-1)/ropeChunk)}
	for p := range r.freq {
		r.freq[p] = math.Pow(theta, -2*float64(p)/float64(hd))
		if factors != nil {
			r.freq[p] /= float64(factors[p])
		}
	}
	return r
}

// at returns cosines and sines (hd/2) of position t.
func (r *RoPE) at(t int) (cos, sin []float32) {
	half, c := r.hd/2, &r.chunks[t/ropeChunk]
	c.once.Do(func() {
		first := t / ropeChunk * ropeChunk
		n := min(ropeChunk, r.positions-first)
		c.cos, c.sin = make([]float32, n*half), make([]float32, n*half)
		for i := range n {
			for p, freq := range r.freq {
				s, x := math.Sincos(float64(first+i) * freq)
				c.cos[i*half+p], c.sin[i*half+p] = float32(x), float32(s)
			}
		}
	})
	i := t % ropeChunk * half
	return c.cos[i:][:half], c.sin[i:][:half]
}

// Positions returns the number of positions.
func (r *RoPE) Positions() int { return r.positions }

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
		cos, sin := r.at(int(pos[t]))
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
