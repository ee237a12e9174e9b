package hypernet

import (
	"fmt"
	"math"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/kernel"
)

// injection standardises the vector that a [Factored] head writes to the
// residual stream: the mean over the training repositories is subtracted, and
// one factor gives the rest unit root mean square, so that directions are kept.
type injection struct {
	tensor string    // name in the representation; empty: nothing is injected
	dim    int       // its length, the hidden size
	mean   []float32 // (dim)
	rms    []float32 // (1)
}

// writesStream reports whether a module's outputs are added to the residual
// stream.
func writesStream(m adapter.Module) bool { return m == adapter.OProj || m == adapter.DownProj }

// newInjection lays out the injection of a tensor for the layers among modules
// that write to the stream.
func newInjection(tensor string, s Setup, modules []adapter.Module) (injection, error) {
	if tensor == "" {
		return injection{}, nil
	}
	in := injection{tensor: tensor}
	for _, m := range modules {
		if !writesStream(m) {
			continue
		}
		out := s.Dims.Modules[m].Out
		if in.dim != 0 && out != in.dim {
			return in, fmt.Errorf("inject: the residual stream has %d values for one module and %d for %s", in.dim, out, m)
		}
		in.dim = out
	}
	shape, ok := s.Inputs[tensor]
	switch {
	case in.dim == 0:
		return in, fmt.Errorf("inject: tensor %q has nowhere to go: add %s or %s to modules", tensor, adapter.OProj, adapter.DownProj)
	case s.Inputs == nil: // a checkpoint is being read
	case !ok:
		return in, fmt.Errorf("inject: the encoder gives no tensor %q", tensor)
	case numElements(shape) != in.dim:
		return in, fmt.Errorf("inject: tensor %q has %d values, and the hidden size is %d", tensor, numElements(shape), in.dim)
	}
	return in, nil
}

// fit measures the training repositories.
func (in *injection) fit(training []*embedding.Representation) error {
	if in.tensor == "" {
		return nil
	}
	if len(training) < 2 {
		return fmt.Errorf("inject: %d training repositories: want at least 2, to standardise tensor %q", len(training), in.tensor)
	}
	mean, square, size := make([]float64, in.dim), 0.0, 0.0
	vectors := make([][]float32, len(training))
	for i, rep := range training {
		v, err := rep.Vector(in.tensor, in.dim)
		if err != nil {
			return fmt.Errorf("training repository %d: %w", i, err)
		}
		vectors[i] = v
		for d, x := range v {
			mean[d] += float64(x) / float64(len(training))
		}
	}
	for _, v := range vectors {
		for d, x := range v {
			square += (float64(x) - mean[d]) * (float64(x) - mean[d])
			size += float64(x) * float64(x)
		}
	}
	rms := math.Sqrt(square / float64(len(training)*in.dim))
	if square <= 1e-12*size { // 1e-12: the square of float32 noise
		return fmt.Errorf("inject: tensor %q is the same for all training repositories", in.tensor)
	}
	in.mean, in.rms = float32s(mean), []float32{float32(rms)}
	return nil
}

// context returns the standardised vector of a representation.
func (in *injection) context(rep *embedding.Representation) ([]float32, error) {
	if in.tensor == "" {
		return nil, nil
	}
	if in.mean == nil {
		return nil, fmt.Errorf("injected tensor %q is not standardised yet: fit the head, or load a checkpoint", in.tensor)
	}
	v, err := rep.Vector(in.tensor, in.dim)
	if err != nil {
		return nil, err
	}
	s := make([]float32, in.dim)
	for d, x := range v {
		s[d] = (x - in.mean[d]) / in.rms[0]
	}
	return s, nil
}

// Names of the injection's tensors in a checkpoint.
const (
	bufferInjectMean = "input.inject.mean"
	bufferInjectRMS  = "input.inject.rms"
)

// buffers adds the fitted tensors to b.
func (in *injection) buffers(b map[string]embedding.Tensor) {
	if in.mean != nil {
		b[bufferInjectMean] = embedding.Tensor{Shape: []int{in.dim}, Data: in.mean}
		b[bufferInjectRMS] = embedding.Tensor{Shape: []int{1}, Data: in.rms}
	}
}

// setBuffers takes its tensors out of b.
func (in *injection) setBuffers(b map[string]embedding.Tensor) error {
	if in.tensor == "" {
		return nil
	}
	for name, shape := range map[string][]int{bufferInjectMean: {in.dim}, bufferInjectRMS: {1}} {
		t, ok := b[name]
		if !ok {
			return fmt.Errorf("tensor %q is missing, and %q is injected", name, in.tensor)
		}
		if err := checkTensor(name, t, shape); err != nil {
			return err
		}
	}
	in.mean, in.rms = b[bufferInjectMean].Data, b[bufferInjectRMS].Data
	if in.rms[0] <= 0 {
		return fmt.Errorf("tensor %q is %g: want above 0", bufferInjectRMS, in.rms[0])
	}
	delete(b, bufferInjectMean)
	delete(b, bufferInjectRMS)
	return nil
}

// injectForward adds gain[j]·s[d] to B (out,r).
func injectForward(B, gain, s []float32, r int) {
	for d, v := range s {
		kernel.Axpy(B[d*r:][:r], v, gain)
	}
}

// injectBackward adds the gradients of injectForward.
//
//	dgain[j] += Σ_d dB[d,j] s[d];  ds[d] += Σ_j dB[d,j] gain[j]
func injectBackward(ds, dgain, dB, s, gain []float32, r int) {
	for d, v := range s {
		kernel.Axpy(dgain, v, dB[d*r:][:r])
		ds[d] += kernel.Dot(dB[d*r:][:r], gain)
	}
}
