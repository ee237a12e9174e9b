// Package aggregate keeps statistics over the files of a repository exactly, so
// that what is added can be taken away again.
//
// A [Sums] has the number of some vectors, their sum and, as its [Options] ask,
// the maximum of each dimension with how many vectors have it, the second
// moments Σ xxᵀ, and the cross moments Σ xyᵀ with a second vector. All sums are
// of integers: values are rounded to multiples of 2^-64 once, when they come in.
// So they are equal bit for bit however they were come by: added in another
// order, over merges, reverts and branches, or from scratch.
//
// A maximum is the one element that can't be subtracted: when the last vector
// that has it goes, the sums are unsettled until [Sums.Settle] has seen those
// that remain.
//
// A [Set] is the files that a Sums is of: which vectors are in it, by path and
// blob id. Forgetting a file, adding the statistics of another repository and
// taking a folder alone are a subtraction or an addition each.
package aggregate

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Limits, by which no sum can overflow: count · Limit² · 2^64 < 2^127.
const (
	Limit    = 1 << 20   // magnitude of a value
	MaxCount = 1<<22 - 1 // vectors
	maxDim   = 1 << 20   // dimensions of a vector
	maxCells = 1 << 26   // numbers in a matrix of moments, 1 GiB
)

var (
	// ErrValue is returned for a vector that can't be summed.
	ErrValue = errors.New("vector can't be summed")
	// ErrAbsent is returned when something is to be taken away that isn't in.
	ErrAbsent = errors.New("is not in the aggregate")
	// ErrUnsettled is returned where a maximum is asked for that isn't known.
	ErrUnsettled = errors.New("the maximum of what remains is not known yet")
	// ErrOptions is returned when two aggregates are of different kinds.
	ErrOptions = errors.New("aggregates of different kinds")
	// ErrCorrupt is returned for data that isn't an aggregate's.
	ErrCorrupt = errors.New("corrupt aggregate")
)

// Options say what is kept, beyond the sum.
type Options struct {
	Dim    int  // length of x
	Max    bool // maxima with their counts, (Dim)
	Second bool // Σ xxᵀ, (Dim, Dim)
	Cross  int  // length of y; unless 0, Σ xyᵀ, (Dim, Cross)
}

// Validate reports options that cannot work.
func (o Options) Validate() error {
	switch {
	case o.Dim < 1 || o.Dim > maxDim:
		return fmt.Errorf("aggregate of vectors of %d values: want 1 to %d", o.Dim, maxDim)
	case o.Cross < 0 || o.Cross > maxDim:
		return fmt.Errorf("cross moments with vectors of %d values: want 0 to %d", o.Cross, maxDim)
	case o.secondCells() > maxCells || o.Dim*o.Cross > maxCells:
		return fmt.Errorf("moments of %d and %d values: a matrix of more than %d numbers", o.Dim, o.Cross, maxCells)
	}
	return nil
}

// secondCells is the number of different second moments.
func (o Options) secondCells() int {
	if !o.Second {
		return 0
	}
	return o.Dim * (o.Dim + 1) / 2
}

// Sums are exact statistics of a multiset of vectors. They are not for
// concurrent use.
type Sums struct {
	opt    Options
	count  int64
	sum    []fixed
	max    []float32 // never -0
	with   []int64   // vectors that have the maximum; 0: all that remain are below max
	second []fixed   // lower triangle, by rows
	cross  []fixed   // (Dim, Cross)
}

// New returns the sums of nothing.
func New(o Options) (*Sums, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return newSums(o), nil
}

func newSums(o Options) *Sums {
	s := &Sums{opt: o, sum: make([]fixed, o.Dim), second: make([]fixed, o.secondCells()), cross: make([]fixed, o.Dim*o.Cross)}
	if o.Max {
		s.max, s.with = make([]float32, o.Dim), make([]int64, o.Dim)
	}
	return s
}

// Options returns those of [New].
func (s *Sums) Options() Options { return s.opt }

// Count returns the number of vectors.
func (s *Sums) Count() int { return int(s.count) }

// Clone returns a copy.
func (s *Sums) Clone() *Sums {
	c := *s
	c.sum, c.max, c.with = slices.Clone(s.sum), slices.Clone(s.max), slices.Clone(s.with)
	c.second, c.cross = slices.Clone(s.second), slices.Clone(s.cross)
	return &c
}

// Equal tells whether two sums are equal bit for bit.
func (s *Sums) Equal(o *Sums) bool {
	return s.opt == o.opt && s.count == o.count && slices.Equal(s.sum, o.sum) && slices.Equal(s.max, o.max) &&
		slices.Equal(s.with, o.with) && slices.Equal(s.second, o.second) && slices.Equal(s.cross, o.cross)
}

// Add adds a vector x (Dim), and y (Cross), nil without cross moments.
func (s *Sums) Add(x, y []float32) error {
	if err := s.check(x, y); err != nil {
		return err
	}
	if s.count >= MaxCount {
		return fmt.Errorf("%w: there are %d already, and at most %d are summed", ErrValue, s.count, MaxCount)
	}
	for i := range s.max {
		s.raise(i, x[i]+0, 1) // +0 makes +0 of -0
	}
	s.accumulate(x, y, 1)
	return nil
}

// raise merges a maximum that n vectors have (0: all of them are below) into
// dimension i.
func (s *Sums) raise(i int, most float32, n int64) {
	switch {
	case s.count == 0 || most > s.max[i]:
		s.max[i], s.with[i] = most, n
	case most == s.max[i]:
		s.with[i] += n
	}
}

// Remove takes away a vector that was added. If it can tell that it wasn't, it
// changes nothing and returns [ErrAbsent].
func (s *Sums) Remove(x, y []float32) error {
	if err := s.check(x, y); err != nil {
		return err
	}
	if s.count == 0 {
		return fmt.Errorf("vector %w, which is empty", ErrAbsent)
	}
	for i, most := range s.max {
		if x[i] > most || x[i] == most && s.with[i] == 0 {
			return fmt.Errorf("vector %w: value %d is %g, and the maximum is %g", ErrAbsent, i, x[i], most)
		}
	}
	if s.count == 1 {
		return s.removeLast(x, y)
	}
	for i, most := range s.max {
		if x[i] == most {
			s.with[i]--
		}
	}
	s.accumulate(x, y, -1)
	return nil
}

// removeLast removes the only vector, which leaves zeros.
func (s *Sums) removeLast(x, y []float32) error {
	rest := s.Clone()
	rest.accumulate(x, y, -1)
	rest.clearMax()
	if empty := newSums(s.opt); !rest.Equal(empty) {
		return fmt.Errorf("vector %w: the only one in it is another", ErrAbsent)
	}
	*s = *rest
	return nil
}

func (s *Sums) clearMax() {
	clear(s.max)
	clear(s.with)
}

// check reports vectors that can't be summed.
func (s *Sums) check(x, y []float32) error {
	if len(x) != s.opt.Dim || len(y) != s.opt.Cross {
		return fmt.Errorf("%w: vectors of %d and %d values, want %d and %d", ErrValue, len(x), len(y), s.opt.Dim, s.opt.Cross)
	}
	for _, v := range [][]float32{x, y} {
		for i, a := range v {
			if !(a >= -Limit && a <= Limit) { // NaN neither
				return fmt.Errorf("%w: value %d is %g, want one of magnitude %d at most", ErrValue, i, a, Limit)
			}
		}
	}
	return nil
}

// accumulate adds a vector to all sums, or, with sign -1, subtracts it.
func (s *Sums) accumulate(x, y []float32, sign int64) {
	add := func(f *fixed, v float64) { *f = f.plus(toFixed(v)) }
	if sign < 0 {
		add = func(f *fixed, v float64) { *f = f.minus(toFixed(v)) }
	}
	s.count += sign
	for i, a := range x {
		add(&s.sum[i], float64(a))
	}
	if s.opt.Second {
		at := 0
		for i, a := range x {
			for _, b := range x[:i+1] {
				add(&s.second[at], float64(a)*float64(b)) // exact: 48 bits
				at++
			}
		}
	}
	for j, b := range y {
		for i, a := range x {
			add(&s.cross[i*s.opt.Cross+j], float64(a)*float64(b))
		}
	}
}

// Merge adds all that is in o, which stays as it is.
func (s *Sums) Merge(o *Sums) error {
	if s.opt != o.opt {
		return fmt.Errorf("%w: %+v and %+v", ErrOptions, s.opt, o.opt)
	}
	if s.count+o.count > MaxCount {
		return fmt.Errorf("%w: %d and %d vectors, and at most %d are summed", ErrValue, s.count, o.count, MaxCount)
	}
	if o.count == 0 {
		return nil
	}
	for i := range s.max {
		s.raise(i, o.max[i], o.with[i])
	}
	s.combine(o, 1)
	return nil
}

// Subtract takes away all that is in o, which must be in s and be settled. If it
// can tell that it isn't in s, it changes nothing and returns [ErrAbsent].
func (s *Sums) Subtract(o *Sums) error {
	switch {
	case s.opt != o.opt:
		return fmt.Errorf("%w: %+v and %+v", ErrOptions, s.opt, o.opt)
	case !o.Settled():
		return fmt.Errorf("to be taken away: %w", ErrUnsettled)
	case o.count > s.count:
		return fmt.Errorf("%d vectors: not all of that %w, which has %d", o.count, ErrAbsent, s.count)
	case o.count == 0:
		return nil
	}
	for i, most := range o.max {
		if most > s.max[i] || most == s.max[i] && o.with[i] > s.with[i] {
			return fmt.Errorf("maximum %g of value %d, %d times: %w, which has %g %d times", most, i, o.with[i], ErrAbsent, s.max[i], s.with[i])
		}
	}
	if o.count == s.count {
		rest := s.Clone()
		rest.combine(o, -1)
		rest.clearMax()
		if !rest.Equal(newSums(s.opt)) {
			return fmt.Errorf("as many vectors, but other ones: that %w", ErrAbsent)
		}
		*s = *rest
		return nil
	}
	for i, most := range o.max {
		if most == s.max[i] {
			s.with[i] -= o.with[i]
		}
	}
	s.combine(o, -1)
	return nil
}

func (s *Sums) combine(o *Sums, sign int64) {
	s.count += sign * o.count
	for _, p := range [][2][]fixed{{s.sum, o.sum}, {s.second, o.second}, {s.cross, o.cross}} {
		for i, f := range p[1] {
			if sign < 0 {
				f = f.negative()
			}
			p[0][i] = p[0][i].plus(f)
		}
	}
}

// Settled tells whether all maxima are known.
func (s *Sums) Settled() bool {
	return s.count == 0 || !slices.Contains(s.with, 0)
}

// Settle finds the maxima that are not known. each passes every vector that is
// in s to its argument, in any order.
func (s *Sums) Settle(each func(fn func(x []float32) error) error) error {
	if s.Settled() {
		return nil
	}
	var open []int
	for i, n := range s.with {
		if n == 0 {
			open = append(open, i)
		}
	}
	most, with, seen := make([]float32, len(open)), make([]int64, len(open)), int64(0)
	err := each(func(x []float32) error {
		if len(x) != s.opt.Dim {
			return fmt.Errorf("%w: %d values, want %d", ErrValue, len(x), s.opt.Dim)
		}
		for k, i := range open {
			switch v := x[i] + 0; {
			case !(v < s.max[i]):
				return fmt.Errorf("vector %w: value %d is %g, and all that remain are below %g", ErrAbsent, i, v, s.max[i])
			case seen == 0 || v > most[k]:
				most[k], with[k] = v, 1
			case v == most[k]:
				with[k]++
			}
		}
		seen++
		return nil
	})
	if err != nil {
		return err
	}
	if seen != s.count {
		return fmt.Errorf("%w: saw %d vectors of %d", ErrUnsettled, seen, s.count)
	}
	for k, i := range open {
		s.max[i], s.with[i] = most[k], with[k]
	}
	return nil
}

// Mean returns the mean (Dim); zeros if there is no vector.
func (s *Sums) Mean() []float32 { return s.average(s.sum) }

func (s *Sums) average(f []fixed) []float32 {
	v := make([]float32, len(f))
	if s.count > 0 {
		for i, x := range f {
			v[i] = float32(x.float() / float64(s.count))
		}
	}
	return v
}

// Max returns the maximum of each dimension (Dim), and how many vectors have it;
// zeros if there is no vector.
func (s *Sums) Max() ([]float32, []int, error) {
	if !s.opt.Max {
		return nil, nil, fmt.Errorf("%w: this one keeps no maxima", ErrOptions)
	}
	if !s.Settled() {
		return nil, nil, ErrUnsettled
	}
	with := make([]int, len(s.with))
	for i, n := range s.with {
		with[i] = int(n)
	}
	return slices.Clone(s.max), with, nil
}

// Second returns the mean of xxᵀ (Dim, Dim); nil if it isn't kept.
func (s *Sums) Second() []float32 {
	if !s.opt.Second {
		return nil
	}
	d, m := s.opt.Dim, make([]float32, s.opt.Dim*s.opt.Dim)
	at := 0
	for i, triangle := 0, s.average(s.second); i < d; i++ {
		for j := range i + 1 {
			m[i*d+j], m[j*d+i] = triangle[at], triangle[at]
			at++
		}
	}
	return m
}

// Cross returns the mean of xyᵀ (Dim, Cross); nil if it isn't kept.
func (s *Sums) Cross() []float32 {
	if s.opt.Cross == 0 {
		return nil
	}
	return s.average(s.cross)
}

// plausible reports the first dimension whose numbers can't be those of count
// vectors.
func (s *Sums) plausible() error {
	bound := toFixed(Limit).times(s.count)
	for i, f := range s.sum {
		top := bound
		if s.opt.Max {
			m := float64(s.max[i])
			if math.Signbit(m) && m == 0 || !(math.Abs(m) <= Limit) || s.with[i] < min(s.count, 1) || s.with[i] > s.count || s.count == 0 && m != 0 {
				return fmt.Errorf("maximum %g, %d times in %d vectors", m, s.with[i], s.count)
			}
			if m < 0 {
				top = toFixed(-m).times(s.count).negative()
			} else {
				top = toFixed(m).times(s.count)
			}
		}
		if f.compare(top) > 0 || f.compare(bound.negative()) < 0 {
			return fmt.Errorf("sum %g of value %d in %d vectors", f.float(), i, s.count)
		}
	}
	bound = toFixed(Limit * Limit).times(s.count)
	for _, moments := range [][]fixed{s.second, s.cross} {
		for _, f := range moments {
			if f.compare(bound) > 0 || f.compare(bound.negative()) < 0 {
				return fmt.Errorf("moment %g in %d vectors", f.float(), s.count)
			}
		}
	}
	for i := range s.opt.Dim {
		if s.opt.Second && s.second[i*(i+1)/2+i].hi < 0 {
			return fmt.Errorf("second moment of value %d is negative", i)
		}
	}
	return nil
}
