package hypernet

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/code2lora/code2lora/internal/embedding"
)

// The ways to standardise an input vector.
const (
	// StandardizeNone passes the vector through, as the released heads expect.
	StandardizeNone = "none"
	// StandardizeScore subtracts the mean and divides by the standard
	// deviation, dimension by dimension.
	StandardizeScore = "zscore"
	// StandardizePCA projects the scores on their principal components and
	// scales each to unit variance.
	StandardizePCA = "pca"
)

// InputOptions say which vector a head reads and what is done to it first.
//
// Repository vectors lie close together (cosines of 0.74 on average in an
// audit of the released heads), so that a head with a smooth trunk can hardly
// tell them apart. Standardising removes what all repositories have in common,
// whitening also what few directions dominate.
type InputOptions struct {
	Tensor      string  `json:"tensor" yaml:"tensor"`           // name in the representation
	Dim         int     `json:"dim" yaml:"dim"`                 // length of that tensor; 0: what the encoder gives
	Standardize string  `json:"standardize" yaml:"standardize"` // none, zscore or pca
	Components  int     `json:"components" yaml:"components"`   // number of components, for pca
	Clip        float64 `json:"clip" yaml:"clip"`               // largest magnitude of a standardised value; 0: no limit
}

// resolve fills in the length from the setup.
func (o *InputOptions) resolve(s Setup) error {
	shape, ok := s.Inputs[o.Tensor]
	if !ok {
		if s.Inputs != nil {
			return fmt.Errorf("input: the encoder gives no tensor %q", o.Tensor)
		}
		return nil
	}
	n := numElements(shape)
	if o.Dim == 0 {
		o.Dim = n
	}
	if o.Dim != n {
		return fmt.Errorf("input: dim %d, but tensor %q of the encoder has %d values", o.Dim, o.Tensor, n)
	}
	return nil
}

// Validate reports every option that cannot work.
func (o *InputOptions) Validate() error {
	var errs []error
	if o.Tensor == "" {
		errs = append(errs, errors.New("input: tensor is empty: name a tensor of the representation"))
	}
	if o.Dim < 1 || o.Dim > maxWidth {
		errs = append(errs, fmt.Errorf("input: dim %d: want 1 to %d", o.Dim, maxWidth))
	}
	if !slices.Contains([]string{StandardizeNone, StandardizeScore, StandardizePCA}, o.Standardize) {
		errs = append(errs, fmt.Errorf("input: standardize %q: want none, zscore or pca", o.Standardize))
	}
	if o.Standardize == StandardizePCA && (o.Components < 1 || o.Components > o.Dim) {
		errs = append(errs, fmt.Errorf("input: components %d: want 1 to %d", o.Components, o.Dim))
	}
	if o.Clip < 0 || math.IsNaN(o.Clip) {
		errs = append(errs, fmt.Errorf("input: clip %g: want 0 (no limit) or more", o.Clip))
	}
	return errors.Join(errs...)
}

// Width is the length of the standardised vector.
func (o *InputOptions) Width() int {
	if o.Standardize == StandardizePCA {
		return o.Components
	}
	return o.Dim
}

// Standardizer maps an input vector x (Dim) to the context (Width):
//
//	s = (x − Mean) / Std           0 where Std is 0
//	s = Projection · s             with pca
//	s = clamp(s, −Clip, Clip)      with a clip
//
// The zero value of a field that has not been fitted is nil.
type Standardizer struct {
	Options InputOptions
	Mean    []float32 // (Dim); with none it is recorded but not subtracted
	// Std (Dim) is the standard deviation over the training repositories
	// (divided by their number, not one less); 0 marks a dimension that does
	// not vary, and whose score is always 0.
	Std []float32
	// Projection (Components,Dim) has one principal direction per row, divided
	// by the standard deviation of the training repositories along it.
	Projection []float32
}

// minRelativeStd is the share of the median standard deviation below which a
// dimension counts as constant: its score would be noise, blown up.
const minRelativeStd = 1e-3

// Fit measures the vectors of the training repositories, each of Options.Dim
// values.
func (s *Standardizer) Fit(vectors [][]float32) error {
	o := s.Options
	if len(vectors) < 2 && o.Standardize != StandardizeNone {
		return fmt.Errorf("standardising with %d training repositories: want at least 2", len(vectors))
	}
	if len(vectors) == 0 {
		return errors.New("no training repositories to take the mean of")
	}
	mean, std := make([]float64, o.Dim), make([]float64, o.Dim)
	for i, v := range vectors {
		if len(v) != o.Dim {
			return fmt.Errorf("vector %d has %d values, want %d", i, len(v), o.Dim)
		}
		for d, x := range v {
			mean[d] += float64(x) / float64(len(vectors))
		}
	}
	for _, v := range vectors {
		for d, x := range v {
			std[d] += (float64(x) - mean[d]) * (float64(x) - mean[d]) / float64(len(vectors))
		}
	}
	for d := range std {
		std[d] = math.Sqrt(std[d])
	}
	s.Mean, s.Std, s.Projection = float32s(mean), nil, nil
	if o.Standardize == StandardizeNone {
		return nil
	}
	dropConstant(std, mean)
	s.Std = float32s(std)
	if slices.Max(std) == 0 {
		return errors.New("the vectors of all training repositories are the same: nothing to standardise")
	}
	if o.Standardize == StandardizePCA {
		return s.fitPCA(vectors)
	}
	return nil
}

// dropConstant sets the deviation of dimensions that do not vary to 0.
func dropConstant(std, mean []float64) {
	sorted := slices.Sorted(slices.Values(std))
	floor := minRelativeStd * sorted[len(sorted)/2]
	for d, v := range std {
		if v < floor || v < 1e-6*math.Abs(mean[d]) { // 1e-6: float32 noise of a constant
			std[d] = 0
		}
	}
}

// fitPCA computes the projection from the singular vectors of the (N,Dim)
// matrix of scores. With N repositories there are at most N−1 directions.
func (s *Standardizer) fitPCA(vectors [][]float32) error {
	n, dim, k := len(vectors), s.Options.Dim, s.Options.Components
	x := mat.NewDense(n, dim, nil)
	for i, v := range vectors {
		for d := range v {
			if s.Std[d] != 0 {
				x.Set(i, d, (float64(v[d])-float64(s.Mean[d]))/float64(s.Std[d]))
			}
		}
	}
	var svd mat.SVD
	if !svd.Factorize(x, mat.SVDThin) {
		return errors.New("principal components: the singular value decomposition did not converge")
	}
	values := svd.Values(nil)
	rank := 0
	for rank < len(values) && values[rank] > 1e-5*values[0] {
		rank++
	}
	rank = min(rank, n-1) // the scores are centred up to rounding
	if k > rank {
		return fmt.Errorf("input: components %d: %d training repositories span only %d directions; use at most that many", k, n, rank)
	}
	var v mat.Dense
	svd.VTo(&v) // (dim, min(n,dim))
	s.Projection = make([]float32, k*dim)
	for j := range k {
		// Variance along direction j is values[j]²/n. The sign of a singular
		// vector is arbitrary: make its largest entry positive.
		largest := 0.0
		for d := range dim {
			if math.Abs(v.At(d, j)) > math.Abs(largest) {
				largest = v.At(d, j)
			}
		}
		scale := math.Copysign(math.Sqrt(float64(n))/values[j], largest)
		for d := range dim {
			s.Projection[j*dim+d] = float32(v.At(d, j) * scale)
		}
	}
	return nil
}

// Fitted reports whether Transform can be used.
func (s *Standardizer) Fitted() bool {
	return s.Options.Standardize == StandardizeNone || s.Std != nil
}

// Transform returns the context for x, in a slice of its own.
func (s *Standardizer) Transform(x []float32) ([]float32, error) {
	o := s.Options
	if len(x) != o.Dim {
		return nil, fmt.Errorf("input %q has %d values, want %d", o.Tensor, len(x), o.Dim)
	}
	if !s.Fitted() {
		return nil, errors.New("input is not standardised yet: fit the head to the training repositories, or load a checkpoint")
	}
	y := slices.Clone(x)
	if o.Standardize != StandardizeNone {
		for d, v := range x {
			y[d] = 0
			if s.Std[d] != 0 {
				y[d] = (v - s.Mean[d]) / s.Std[d]
			}
		}
	}
	if o.Standardize == StandardizePCA {
		scores := y
		y = make([]float32, o.Components)
		for j := range y {
			var sum float64 // float64: Dim is in the thousands
			for d, p := range s.Projection[j*o.Dim:][:o.Dim] {
				sum += float64(p) * float64(scores[d])
			}
			y[j] = float32(sum)
		}
	}
	if o.Clip > 0 {
		for i, v := range y {
			y[i] = min(max(v, float32(-o.Clip)), float32(o.Clip))
		}
	}
	return y, nil
}

// meanContext is the context of the mean training vector: zeros if the input
// is standardised. An unfitted head that does not standardise, such as one
// imported from elsewhere, has no mean, and zeros stand for it too.
func (s *Standardizer) meanContext() []float32 {
	if s.Options.Standardize == StandardizeNone && s.Mean != nil {
		return slices.Clone(s.Mean)
	}
	return make([]float32, s.Options.Width())
}

// vectors reads the input tensor of each representation.
func (s *Standardizer) vectors(reps []*embedding.Representation) ([][]float32, error) {
	vs := make([][]float32, len(reps))
	for i, rep := range reps {
		v, err := rep.Vector(s.Options.Tensor, s.Options.Dim)
		if err != nil {
			return nil, fmt.Errorf("training repository %d: %w", i, err)
		}
		vs[i] = v
	}
	return vs, nil
}

// context reads and transforms the input tensor of a representation.
func (s *Standardizer) context(rep *embedding.Representation) ([]float32, error) {
	x, err := rep.Vector(s.Options.Tensor, s.Options.Dim)
	if err != nil {
		return nil, err
	}
	return s.Transform(x)
}

// Names of the standardiser's tensors in a checkpoint.
const (
	bufferMean       = "input.mean"
	bufferStd        = "input.std"
	bufferProjection = "input.projection"
)

// buffers returns the fitted tensors by name.
func (s *Standardizer) buffers() map[string]embedding.Tensor {
	b := map[string]embedding.Tensor{}
	o := s.Options
	if s.Mean != nil {
		b[bufferMean] = embedding.Tensor{Shape: []int{o.Dim}, Data: s.Mean}
	}
	if s.Std != nil {
		b[bufferStd] = embedding.Tensor{Shape: []int{o.Dim}, Data: s.Std}
	}
	if s.Projection != nil {
		b[bufferProjection] = embedding.Tensor{Shape: []int{o.Components, o.Dim}, Data: s.Projection}
	}
	return b
}

// setBuffers takes its tensors out of b, which it modifies.
func (s *Standardizer) setBuffers(b map[string]embedding.Tensor) error {
	o := s.Options
	scores, pca := o.Standardize != StandardizeNone, o.Standardize == StandardizePCA
	for _, want := range []struct {
		name     string
		dst      *[]float32
		used     bool
		required bool
		shape    []int
	}{
		{bufferMean, &s.Mean, true, scores, []int{o.Dim}},
		{bufferStd, &s.Std, scores, scores, []int{o.Dim}},
		{bufferProjection, &s.Projection, pca, pca, []int{o.Components, o.Dim}},
	} {
		t, ok := b[want.name]
		if !ok && want.required {
			return fmt.Errorf("tensor %q is missing, and standardize is %q", want.name, o.Standardize)
		}
		if !ok || !want.used {
			continue // an unused one stays in b, as an unknown tensor
		}
		if err := checkTensor(want.name, t, want.shape); err != nil {
			return err
		}
		*want.dst = t.Data
		delete(b, want.name)
	}
	for d, v := range s.Std {
		if v < 0 {
			return fmt.Errorf("tensor %q: value %d is %g: a standard deviation is not negative", bufferStd, d, v)
		}
	}
	return nil
}

func float32s(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}
