package train

import (
	"math"

	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/kernel"
)

// AdamW is Adam with decoupled weight decay (arXiv 1711.05101):
//
//	m = β1 m + (1−β1) g;  v = β2 v + (1−β2) g²
//	w = w − lr · (m̂ / (sqrt(v̂) + ε) + λ w),  m̂ = m/(1−β1^t), v̂ = v/(1−β2^t)
type AdamW struct {
	Beta1, Beta2, Eps float64
	WeightDecay       float64                       // λ, only for parameters with Decay
	Rate              func(*hypernet.Param) float64 // factor on the learning rate; nil: 1
	t                 int                           // steps taken
	m, v              [][]float32
}

// NewAdamW returns the optimiser of the paper (β 0.9 and 0.999, ε 1e-8) with
// the given weight decay.
func NewAdamW(params []*hypernet.Param, weightDecay float64) *AdamW {
	o := &AdamW{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: weightDecay}
	for _, p := range params {
		o.m = append(o.m, make([]float32, len(p.Value)))
		o.v = append(o.v, make([]float32, len(p.Value)))
	}
	return o
}

// Step updates the parameters, in the order in which the optimiser was made,
// and zeroes their gradients.
func (o *AdamW) Step(params []*hypernet.Param, lr float64) {
	o.t++
	c1 := 1 / (1 - math.Pow(o.Beta1, float64(o.t)))
	c2 := 1 / (1 - math.Pow(o.Beta2, float64(o.t)))
	b1, b2 := float32(o.Beta1), float32(o.Beta2)
	for i, p := range params {
		lr, decay := lr, 0.0
		if o.Rate != nil {
			lr *= o.Rate(p)
		}
		if p.Decay {
			decay = o.WeightDecay
		}
		m, v := o.m[i], o.v[i]
		const block = 1 << 14
		kernel.Parallel((len(p.Value)+block-1)/block, func(j int) {
			for k := j * block; k < min(len(p.Value), (j+1)*block); k++ {
				g := p.Grad[k]
				m[k] = b1*m[k] + (1-b1)*g
				v[k] = b2*v[k] + (1-b2)*g*g
				step := float64(m[k])*c1/(math.Sqrt(float64(v[k])*c2)+o.Eps) + decay*float64(p.Value[k])
				p.Value[k] -= float32(lr * step)
				p.Grad[k] = 0
			}
		})
	}
}

// Moments returns the two moments of the i-th parameter, to be saved or
// overwritten.
func (o *AdamW) Moments(i int) (m, v []float32) { return o.m[i], o.v[i] }

// Steps returns the number of steps taken.
func (o *AdamW) Steps() int { return o.t }

// SetSteps makes it the given number, for an optimiser whose moments were read
// from a file.
func (o *AdamW) SetSteps(n int) { o.t = n }

// Clip scales all gradients so that their joint norm is at most most, and
// returns the norm before. most 0 only measures.
func Clip(params []*hypernet.Param, most float64) float64 {
	var sum float64
	for _, p := range params {
		for _, g := range p.Grad {
			sum += float64(g) * float64(g)
		}
	}
	norm := math.Sqrt(sum)
	if most > 0 && norm > most {
		for _, p := range params {
			kernel.Scale(p.Grad, float32(most/norm))
		}
	}
	return norm
}

// learningRate is a linear warm-up to peak followed by half a cosine, which
// would arrive at floor·peak one step after the last. step counts from 0.
func learningRate(step, steps, warmup int, peak, floor float64) float64 {
	if step < warmup {
		return peak * float64(step+1) / float64(warmup)
	}
	x := float64(step-warmup) / float64(max(1, steps-warmup))
	return peak * (floor + (1-floor)*0.5*(1+math.Cos(math.Pi*min(x, 1))))
}
