package stats

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Comparison is McNemar's test of two methods that are right or wrong on the
// same tasks.
type Comparison struct {
	OnlyA   int     `json:"only_a"`  // tasks that only A gets right
	OnlyB   int     `json:"only_b"`  // tasks that only B gets right
	Exact   float64 `json:"p_exact"` // two-sided binomial p-value
	ChiSq   float64 `json:"chi_sq"`  // with continuity correction, max(0, |OnlyA − OnlyB| − 1)² / (OnlyA + OnlyB)
	PChiSq  float64 `json:"p_chi_sq"`
	OddsLog float64 `json:"log_odds"` // ln((OnlyA + ½) / (OnlyB + ½)), above 0 where A is better
}

// McNemar tests whether A and B are right equally often, given how many tasks
// only one of them gets right. It takes tasks as independent; [SignFlip]
// doesn't.
func McNemar(onlyA, onlyB int) Comparison {
	c := Comparison{OnlyA: onlyA, OnlyB: onlyB, Exact: 1, PChiSq: 1}
	c.OddsLog = math.Log((float64(onlyA) + 0.5) / (float64(onlyB) + 0.5))
	n := onlyA + onlyB
	if n == 0 {
		return c
	}
	c.Exact = min(1, 2*distuv.Binomial{N: float64(n), P: 0.5}.CDF(float64(min(onlyA, onlyB))))
	if d := math.Abs(float64(onlyA-onlyB)) - 1; d > 0 {
		c.ChiSq = d * d / float64(n)
	}
	c.PChiSq = math.Erfc(math.Sqrt(c.ChiSq / 2)) // chi-squared with one degree of freedom
	return c
}

// McNemarPairs counts what McNemar needs: a figure of at least ½ is right.
func McNemarPairs(pairs []Pair) Comparison {
	var onlyA, onlyB int
	for _, p := range pairs {
		switch a, b := p.A >= 0.5, p.B >= 0.5; {
		case a && !b:
			onlyA++
		case b && !a:
			onlyB++
		}
	}
	return McNemar(onlyA, onlyB)
}

// SignFlip returns the two-sided p-value of the average difference when, for
// each repository, A and B are swapped at random: the chance of a difference
// as large between methods that are equal on every repository. With up to 12
// repositories all swaps are counted; else it is of o.Resamples draws and the
// observed one, and so never below 1/(o.Resamples+1). Of no pairs it is 1.
func SignFlip(pairs []Pair, o Options) float64 {
	if err := o.Validate(); err != nil {
		panic("stats: " + err.Error())
	}
	o = o.withDefaults()
	values := make([]Value, len(pairs))
	for i, p := range pairs {
		values[i] = Value{p.Cluster, p.A - p.B}
	}
	totals := cluster(values)
	d := make([]float64, len(totals))
	var sum, size float64
	for i, t := range totals {
		d[i], _ = t.weigh(o.Average)
		sum += d[i]
		size += math.Abs(d[i])
	}
	// Sums in another order differ in their last bits and count as equal.
	limit := math.Abs(sum) - 1e-12*size
	if len(d) <= 12 {
		return flipAll(d, limit)
	}
	r := newRandom(o.Seed)
	hits := 1
	for range o.Resamples {
		var s float64
		var word uint32
		for i, x := range d {
			if i%32 == 0 {
				word = r.uint32()
			}
			if word>>(i%32)&1 == 1 {
				x = -x
			}
			s += x
		}
		if math.Abs(s) >= limit {
			hits++
		}
	}
	return float64(hits) / float64(o.Resamples+1)
}

func flipAll(d []float64, limit float64) float64 {
	hits := 0
	for signs := range 1 << len(d) {
		var s float64
		for i, x := range d {
			if signs>>i&1 == 1 {
				x = -x
			}
			s += x
		}
		if math.Abs(s) >= limit {
			hits++
		}
	}
	return float64(hits) / float64(int(1)<<len(d))
}

// Holm returns p-values corrected for their number by Holm's step-down
// method, in the order given: comparing them with a level bounds the chance of
// any false finding by that level.
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	adjusted := make([]float64, len(p))
	var last float64
	for rank, i := range order {
		last = max(last, min(1, float64(len(p)-rank)*p[i]))
		adjusted[i] = last
	}
	return adjusted
}

// CohenH is the effect size of two proportions, 2·asin √a − 2·asin √b: 0.2 is
// called small, 0.5 medium and 0.8 large.
func CohenH(a, b float64) float64 {
	return 2*math.Asin(math.Sqrt(a)) - 2*math.Asin(math.Sqrt(b))
}

// CliffDelta is the chance that a figure of a is above one of b, minus that of
// the opposite; from −1 to 1. Of nothing it is NaN.
func CliffDelta(a, b []float64) float64 {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	var sum, below, upTo int // of b: how many are below x, how many not above
	for _, x := range a {
		for below < len(b) && b[below] < x {
			below++
		}
		for upTo < len(b) && b[upTo] <= x {
			upTo++
		}
		sum += below - (len(b) - upTo)
	}
	return float64(sum) / (float64(len(a)) * float64(len(b)))
}

// RankBiserial is the matched-pairs rank-biserial correlation, the effect size
// of Wilcoxon's test: (W⁺ − W⁻) / (W⁺ + W⁻) over the ranks of |A − B|, where
// equal ones share their rank and zeros are left out. From −1 to 1; without
// any difference it is 0.
func RankBiserial(pairs []Pair) float64 {
	var d []float64
	for _, p := range pairs {
		if x := p.A - p.B; x != 0 {
			d = append(d, x)
		}
	}
	if len(d) == 0 {
		return 0
	}
	slices.SortFunc(d, func(a, b float64) int { return cmp.Compare(math.Abs(a), math.Abs(b)) })
	var signed, all float64
	for i := 0; i < len(d); {
		j := i
		for j < len(d) && math.Abs(d[j]) == math.Abs(d[i]) {
			j++
		}
		rank := float64(i+j+1) / 2 // mean of i+1 … j
		for ; i < j; i++ {
			signed += math.Copysign(rank, d[i])
			all += rank
		}
	}
	return signed / all
}

// Wilson returns the interval of a proportion of n independent trials, for a
// level of confidence (0: 0.95). Of no trials it is from 0 to 1, with a mean
// of NaN.
func Wilson(successes, n int, level float64) Interval {
	if level == 0 {
		level = defaultLevel
	}
	iv := Interval{Mean: float64(successes) / float64(n), Low: 0, High: 1, N: n, Clusters: n}
	if n == 0 {
		return iv
	}
	z := distuv.UnitNormal.Quantile(1 - (1-level)/2)
	m, p := float64(n), iv.Mean
	centre := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	iv.Low, iv.High = max(0, centre-half), min(1, centre+half)
	return iv
}
