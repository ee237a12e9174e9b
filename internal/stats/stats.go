// Package stats says how sure a result of the benchmark is.
//
// Tasks of one repository are alike, so the unit of resampling is the
// repository and not the task: [Mean] and [Difference] draw whole clusters. An
// average is micro, where every task has the same weight, or macro, where
// every repository has. [TaskInterval] is what the paper does (tasks drawn one
// by one, as if they were independent), to compare with its figures only: its
// intervals are too narrow.
//
// Two methods are compared on the same tasks. [Difference] is the interval of
// the difference, [SignFlip] the chance of such a difference between equals by
// repository, [McNemar] by task; [Holm] corrects several such p-values for
// their number. [CohenH], [CliffDelta] and [RankBiserial] say how large a
// difference is, in units without a scale.
//
// Everything is deterministic: draws come from the generator of NumPy's
// default_rng for a given seed, so that results can be repeated there, and the
// order of the clusters is that of their names.
package stats

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Average says what has equal weight.
type Average string

// The averages.
const (
	Micro Average = "micro" // tasks
	Macro Average = "macro" // clusters, whatever their number of tasks
)

// Options of a bootstrap. The zero value is micro averages, 95 %, 5,000
// resamples and seed 0.
type Options struct {
	Average   Average
	Level     float64 // of confidence; 0: 0.95
	Resamples int     // 0: 5000
	Seed      uint32
}

// Validate reports every option that cannot work, in one error.
func (o Options) Validate() error {
	var errs []error
	if o.Average != "" && o.Average != Micro && o.Average != Macro {
		errs = append(errs, fmt.Errorf("average %q: want %q or %q", o.Average, Micro, Macro))
	}
	if !(o.Level >= 0 && o.Level < 1) {
		errs = append(errs, fmt.Errorf("level %g: want above 0 and below 1", o.Level))
	}
	if o.Resamples < 0 {
		errs = append(errs, fmt.Errorf("%d resamples: want at least 1, or 0 for %d", o.Resamples, defaultResamples))
	}
	return errors.Join(errs...)
}

const (
	defaultLevel     = 0.95
	defaultResamples = 5000
)

func (o Options) withDefaults() Options {
	if o.Average == "" {
		o.Average = Micro
	}
	if o.Level == 0 {
		o.Level = defaultLevel
	}
	if o.Resamples == 0 {
		o.Resamples = defaultResamples
	}
	return o
}

// Value is a figure of one task.
type Value struct {
	Cluster string // repository
	X       float64
}

// Pair is a figure of one task by two methods.
type Pair struct {
	Cluster string // repository
	A, B    float64
}

// Interval is an average with its percentile interval. What is not known is
// NaN, and null in JSON.
type Interval struct {
	Mean, Low, High float64
	N               int // tasks
	Clusters        int // repositories
}

// plainInterval is an Interval in JSON.
type plainInterval struct {
	Mean     *float64 `json:"mean"`
	Low      *float64 `json:"low"`
	High     *float64 `json:"high"`
	N        int      `json:"n"`
	Clusters int      `json:"clusters"`
}

// MarshalJSON writes {"mean", "low", "high", "n", "clusters"}.
func (iv Interval) MarshalJSON() ([]byte, error) {
	known := func(x float64) *float64 {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil
		}
		return &x
	}
	return json.Marshal(plainInterval{known(iv.Mean), known(iv.Low), known(iv.High), iv.N, iv.Clusters})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (iv *Interval) UnmarshalJSON(data []byte) error {
	var p plainInterval
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	value := func(x *float64) float64 {
		if x == nil {
			return math.NaN()
		}
		return *x
	}
	*iv = Interval{Mean: value(p.Mean), Low: value(p.Low), High: value(p.High), N: p.N, Clusters: p.Clusters}
	return nil
}

// Mean returns the average of values and its interval over repositories. Of no
// values it is NaN. Of one repository nothing is known about others, and the
// bounds are NaN. Options that Validate refuses panic.
func Mean(values []Value, o Options) Interval {
	if err := o.Validate(); err != nil {
		panic("stats: " + err.Error())
	}
	o = o.withDefaults()
	totals := cluster(values)
	iv := Interval{N: len(values), Clusters: len(totals), Low: math.NaN(), High: math.NaN()}
	iv.Mean = average(totals, o.Average)
	if len(totals) > 1 {
		iv.Low, iv.High = bootstrap(totals, o)
	}
	return iv
}

// Difference returns the average of A − B and its interval over repositories,
// as Mean does.
func Difference(pairs []Pair, o Options) Interval {
	values := make([]Value, len(pairs))
	for i, p := range pairs {
		values[i] = Value{p.Cluster, p.A - p.B}
	}
	return Mean(values, o)
}

// total is what an average needs of a cluster.
type total struct {
	sum float64
	n   int
}

// cluster sums values by cluster, in the order of the names.
func cluster(values []Value) []total {
	index := map[string]int{}
	var names []string
	for _, v := range values {
		if _, ok := index[v.Cluster]; !ok {
			index[v.Cluster] = 0
			names = append(names, v.Cluster)
		}
	}
	slices.Sort(names)
	for i, name := range names {
		index[name] = i
	}
	totals := make([]total, len(names))
	for _, v := range values {
		t := &totals[index[v.Cluster]]
		t.sum += v.X
		t.n++
	}
	return totals
}

// average returns Σ sum / Σ n, or the mean of sum / n.
func average(totals []total, a Average) float64 {
	var sum, n float64
	for _, t := range totals {
		s, w := t.weigh(a)
		sum, n = sum+s, n+w
	}
	return sum / n
}

// weigh returns what a cluster adds to the two sums of an average.
func (t total) weigh(a Average) (sum, weight float64) {
	if a == Macro {
		return t.sum / float64(t.n), 1
	}
	return t.sum, float64(t.n)
}

// bootstrap draws as many clusters as there are, with replacement, and returns
// the quantiles of their averages.
func bootstrap(totals []total, o Options) (low, high float64) {
	sums, weights := make([]float64, len(totals)), make([]float64, len(totals))
	for i, t := range totals {
		sums[i], weights[i] = t.weigh(o.Average)
	}
	r := newRandom(o.Seed)
	means := make([]float64, o.Resamples)
	for b := range means {
		var sum, weight float64
		for range totals {
			i := r.below(uint32(len(totals)))
			sum, weight = sum+sums[i], weight+weights[i]
		}
		means[b] = sum / weight
	}
	slices.Sort(means)
	tail := (1 - o.Level) / 2
	return quantile(means, tail), quantile(means, 1-tail)
}

// TaskInterval is the interval of the paper (arXiv 2606.06492): single tasks
// are drawn with replacement, whatever repository they are of. With the
// defaults and its seeds (0 for exact match, 1 for edit similarity, 2 for
// CodeBLEU) it is theirs, draw for draw. Clusters of the result is N.
func TaskInterval(values []float64, o Options) Interval {
	if err := o.Validate(); err != nil {
		panic("stats: " + err.Error())
	}
	o = o.withDefaults()
	totals := make([]total, len(values))
	for i, x := range values {
		totals[i] = total{x, 1}
	}
	iv := Interval{Mean: average(totals, Micro), N: len(values), Clusters: len(values), Low: math.NaN(), High: math.NaN()}
	if len(values) > 0 {
		iv.Low, iv.High = bootstrap(totals, o)
	}
	return iv
}

// quantile returns the q-quantile of sorted values, with linear interpolation
// between neighbours, as numpy.quantile does.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
