package aggregate

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// value is a number of a vector: often one of a few, so that maxima are shared.
var value = rapid.Custom(func(t *rapid.T) float32 {
	if rapid.Bool().Draw(t, "round") {
		return float32(rapid.IntRange(-3, 3).Draw(t, "integer"))
	}
	return rapid.Float32Range(-Limit, Limit).Draw(t, "any")
})

type pair struct{ x, y []float32 }

func drawPair(t *rapid.T, o Options) pair {
	p := pair{x: rapid.SliceOfN(value, o.Dim, o.Dim).Draw(t, "x")}
	if o.Cross > 0 {
		p.y = rapid.SliceOfN(value, o.Cross, o.Cross).Draw(t, "y")
	}
	return p
}

var allOptions = []Options{{Dim: 3}, {Dim: 4, Max: true}, {Dim: 3, Max: true, Second: true, Cross: 2}, {Dim: 1, Cross: 3}, {Dim: 2, Second: true}}

// of returns the sums from scratch, in the order given.
func of(t fataler, o Options, pairs []pair) *Sums {
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pairs {
		if err := s.Add(p.x, p.y); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

type fataler interface{ Fatal(...any) }

func (s *Sums) settleFrom(pairs []pair) error {
	return s.Settle(func(fn func([]float32) error) error {
		for _, p := range pairs {
			if err := fn(p.x); err != nil {
				return err
			}
		}
		return nil
	})
}

// same compares sums bit for bit, and their bytes.
func same(t fataler, what string, got, want *Sums) {
	a, err := got.MarshalBinary()
	if err != nil {
		t.Fatal(what, err)
	}
	b, err := want.MarshalBinary()
	if err != nil {
		t.Fatal(what, err)
	}
	if !got.Equal(want) || !bytes.Equal(a, b) {
		t.Fatal(what, ": got", got, "want", want)
	}
	var back Sums
	if err := back.UnmarshalBinary(a); err != nil || !back.Equal(want) {
		t.Fatal(what, ": read back", back, err)
	}
}

// TestSumsHistories adds, removes, merges and subtracts at random, and compares
// with the sums from scratch.
func TestSumsHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := rapid.SampledFrom(allOptions).Draw(t, "options")
		s := of(t, o, nil)
		var in []pair
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				p := drawPair(t, o)
				if err := s.Add(p.x, p.y); err != nil {
					t.Fatal(err)
				}
				in = append(in, p)
			},
			"remove": func(t *rapid.T) {
				if len(in) == 0 {
					t.Skip("empty")
				}
				i := rapid.IntRange(0, len(in)-1).Draw(t, "which")
				if err := s.Remove(in[i].x, in[i].y); err != nil {
					t.Fatal(err)
				}
				in = slices.Delete(slices.Clone(in), i, i+1)
			},
			"merge": func(t *rapid.T) {
				more := make([]pair, rapid.IntRange(0, 4).Draw(t, "n"))
				for i := range more {
					more[i] = drawPair(t, o)
				}
				if err := s.Merge(of(t, o, more)); err != nil {
					t.Fatal(err)
				}
				in = append(in, more...)
			},
			"merge into another": func(t *rapid.T) {
				p := drawPair(t, o)
				other := of(t, o, []pair{p})
				if err := other.Merge(s); err != nil {
					t.Fatal(err)
				}
				s, in = other, append(in, p)
			},
			"subtract": func(t *rapid.T) {
				in = rapid.Permutation(in).Draw(t, "order")
				n := rapid.IntRange(0, len(in)).Draw(t, "n")
				if err := s.Subtract(of(t, o, in[:n])); err != nil {
					t.Fatal(err)
				}
				in = in[n:]
			},
			"settle": func(t *rapid.T) {
				if err := s.settleFrom(in); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				settled := s.Clone()
				if err := settled.settleFrom(in); err != nil {
					t.Fatal(err)
				}
				same(t, "after the history", settled, of(t, o, rapid.Permutation(in).Draw(t, "scratch")))
			},
		})
	})
}

// TestSumsValues compares with sums in exact rational numbers.
func TestSumsValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	o := Options{Dim: 3, Max: true, Second: true, Cross: 2}
	var in []pair
	for range 100 {
		p := pair{make([]float32, 3), make([]float32, 2)}
		for _, v := range [][]float32{p.x, p.y} {
			for i := range v {
				v[i] = float32(rng.NormFloat64() * math.Pow(10, float64(rng.IntN(12)-8)))
			}
		}
		in = append(in, p)
	}
	s := of(t, o, in)
	check := func(name string, got float32, term func(p pair) float64) {
		t.Helper()
		sum, scale := new(big.Rat), 0.0
		for _, p := range in {
			sum.Add(sum, new(big.Rat).SetFloat64(term(p)))
			scale += math.Abs(term(p))
		}
		want, _ := sum.Quo(sum, big.NewRat(int64(len(in)), 1)).Float64()
		if math.Abs(float64(got)-want) > math.Abs(want)*0x1p-24+0x1p-64 {
			t.Errorf("%s: got %g, want %g", name, got, want)
		}
	}
	most, with, err := s.Max()
	if err != nil {
		t.Fatal(err)
	}
	for i, mean := range s.Mean() {
		check("mean", mean, func(p pair) float64 { return float64(p.x[i]) })
		want := slices.MaxFunc(in, func(a, b pair) int { return int(math.Copysign(1, float64(a.x[i]-b.x[i]))) }).x[i]
		if most[i] != want || with[i] != 1 {
			t.Errorf("maximum %d: got %g %d times, want %g once", i, most[i], with[i], want)
		}
		for j := range 3 {
			check("second moment", s.Second()[i*3+j], func(p pair) float64 { return float64(p.x[i]) * float64(p.x[j]) })
		}
		for j := range 2 {
			check("cross moment", s.Cross()[i*2+j], func(p pair) float64 { return float64(p.x[i]) * float64(p.y[j]) })
		}
	}
	empty := of(t, o, nil)
	if got := empty.Mean(); !slices.Equal(got, make([]float32, 3)) {
		t.Errorf("mean of nothing: got %v", got)
	}
	if bare := of(t, Options{Dim: 1}, nil); bare.Second() != nil || bare.Cross() != nil {
		t.Error("moments that are not kept: want nil")
	} else if _, _, err := bare.Max(); !errors.Is(err, ErrOptions) {
		t.Errorf("maxima that are not kept: got %v", err)
	}
}

func TestToFixed(t *testing.T) {
	tests := []struct {
		x    float64
		want fixed
	}{
		{0, fixed{}}, {1, fixed{1, 0}}, {-1, fixed{-1, 0}}, {0.5, fixed{0, 1 << 63}}, {-0.5, fixed{-1, 1 << 63}},
		{0x1p-64, fixed{0, 1}}, {-0x1p-64, fixed{-1, math.MaxUint64}}, {0x1p-65, fixed{}}, {0x1.8p-64, fixed{0, 2}}, {-0x1.8p-64, fixed{-1, math.MaxUint64 - 1}},
		{Limit * Limit, fixed{1 << 40, 0}}, {-Limit - 0x1p-20, fixed{-Limit - 1, math.MaxUint64 - 1<<44 + 1}},
	}
	for _, tt := range tests {
		got := toFixed(tt.x)
		if got != tt.want {
			t.Errorf("%g: got %v, want %v", tt.x, got, tt.want)
		}
		if math.Abs(tt.x) >= 0x1p-63 && got.float() != tt.x && tt.x*0x1p64 == math.Round(tt.x*0x1p64) {
			t.Errorf("%g: back %g", tt.x, got.float())
		}
		if b := got.append(nil); readFixed(b) != got {
			t.Errorf("%g: bytes %x give %v", tt.x, b, readFixed(b))
		}
	}
	big := toFixed(Limit * Limit).times(MaxCount)
	if big.hi <= 0 || big.plus(big.negative()) != (fixed{}) || big.compare(fixed{}) != 1 || big.negative().compare(big) != -1 {
		t.Errorf("the largest sum: got %v", big)
	}
}

func TestSumsRefuse(t *testing.T) {
	o := Options{Dim: 2, Max: true, Cross: 1}
	one, other := pair{[]float32{1, 2}, []float32{3}}, pair{[]float32{1, 1}, []float32{3}}
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	s := of(t, o, []pair{one})
	want := s.Clone()
	for name, tt := range map[string]struct {
		do   func() error
		want error
		text string
	}{
		"NaN":             {func() error { return s.Add([]float32{1, nan}, one.y) }, ErrValue, "value 1 is NaN"},
		"infinite":        {func() error { return s.Add([]float32{inf, 1}, one.y) }, ErrValue, "-Inf"},
		"too large":       {func() error { return s.Add(one.x, []float32{Limit + 1}) }, ErrValue, "magnitude 1048576"},
		"length":          {func() error { return s.Add(one.x[:1], one.y) }, ErrValue, "want 2 and 1"},
		"no y":            {func() error { return s.Add(one.x, nil) }, ErrValue, "2 and 0 values"},
		"remove NaN":      {func() error { return s.Remove([]float32{nan, nan}, one.y) }, ErrValue, "NaN"},
		"remove larger":   {func() error { return s.Remove([]float32{1, 3}, one.y) }, ErrAbsent, "maximum is 2"},
		"remove another":  {func() error { return s.Remove(other.x, other.y) }, ErrAbsent, "another"},
		"from nothing":    {func() error { return of(t, o, nil).Remove(one.x, one.y) }, ErrAbsent, "empty"},
		"merge":           {func() error { return s.Merge(of(t, Options{Dim: 2}, nil)) }, ErrOptions, "Cross"},
		"subtract kind":   {func() error { return s.Subtract(of(t, Options{Dim: 2}, nil)) }, ErrOptions, "Cross"},
		"subtract more":   {func() error { return s.Subtract(of(t, o, []pair{one, one})) }, ErrAbsent, "2 vectors"},
		"subtract other":  {func() error { return s.Subtract(of(t, o, []pair{other})) }, ErrAbsent, "other ones"},
		"subtract larger": {func() error { return s.Subtract(of(t, o, []pair{{[]float32{2, 2}, one.y}})) }, ErrAbsent, "maximum 2"},
		"options":         {func() error { _, err := New(Options{}); return err }, nil, "0 values"},
		"cross":           {func() error { _, err := New(Options{Dim: 1, Cross: -1}); return err }, nil, "-1 values"},
		"cells":           {func() error { _, err := New(Options{Dim: 1 << 15, Second: true}); return err }, nil, "matrix"},
	} {
		err := tt.do()
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %v, want %v with %q", name, err, tt.want, tt.text)
		}
	}
	same(t, "after refusals", s, want)
}

// TestUnsettled takes away the vectors that have the maximum.
func TestUnsettled(t *testing.T) {
	o := Options{Dim: 2, Max: true}
	low, middle, high := pair{x: []float32{-1, 5}}, pair{x: []float32{-2, 5}}, pair{x: []float32{3, 5}}
	s := of(t, o, []pair{low, middle, high, high})
	for range 2 {
		if !s.Settled() {
			t.Error("unsettled with a vector that has the maximum")
		}
		if err := s.Remove(high.x, nil); err != nil {
			t.Fatal(err)
		}
	}
	if s.Settled() {
		t.Error("settled without the vectors that had the maximum")
	}
	if _, _, err := s.Max(); !errors.Is(err, ErrUnsettled) {
		t.Errorf("Max: got %v", err)
	}
	if _, err := s.MarshalBinary(); !errors.Is(err, ErrUnsettled) {
		t.Errorf("MarshalBinary: got %v", err)
	}
	if err := of(t, o, []pair{low, middle, high}).Subtract(s); !errors.Is(err, ErrUnsettled) {
		t.Errorf("Subtract: got %v", err)
	}
	if err := s.Clone().Remove(high.x, nil); !errors.Is(err, ErrAbsent) {
		t.Errorf("removing once more: got %v", err)
	}
	for name, seen := range map[string][]pair{"too few": {low}, "too many": {low, middle, low}, "not below": {low, high}} {
		if err := s.settleFrom(seen); err == nil || s.Settled() {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
	c := s.Clone()
	if err := c.Add(high.x, nil); err != nil || !c.Settled() {
		t.Errorf("a new maximum: %v, settled %t", err, c.Settled())
	}
	same(t, "a new maximum", c, of(t, o, []pair{high, middle, low}))
	if err := s.settleFrom([]pair{middle, low}); err != nil {
		t.Fatal(err)
	}
	same(t, "settled", s, of(t, o, []pair{low, middle}))
	if most, with, err := s.Max(); err != nil || !reflect.DeepEqual(most, []float32{-1, 5}) || !reflect.DeepEqual(with, []int{1, 2}) {
		t.Errorf("got %v, %v, %v", most, with, err)
	}
}

func TestNegativeZero(t *testing.T) {
	o := Options{Dim: 1, Max: true}
	zero := float32(math.Copysign(0, -1))
	a, b := pair{x: []float32{zero}}, pair{x: []float32{0}}
	same(t, "-0", of(t, o, []pair{a, b}), of(t, o, []pair{b, a}))
	same(t, "-0 alone", of(t, o, []pair{a}), of(t, o, []pair{b}))
}

func TestTooMany(t *testing.T) {
	s := of(t, Options{Dim: 1}, nil)
	s.count = MaxCount
	if err := s.Add([]float32{1}, nil); !errors.Is(err, ErrValue) {
		t.Errorf("Add: got %v", err)
	}
	if err := s.Merge(of(t, s.opt, []pair{{x: []float32{1}}})); !errors.Is(err, ErrValue) {
		t.Errorf("Merge: got %v", err)
	}
}

func FuzzSums(f *testing.F) {
	for _, o := range allOptions {
		var in []pair
		for i := range 3 {
			p := pair{x: make([]float32, o.Dim)}
			if o.Cross > 0 {
				p.y = make([]float32, o.Cross)
			}
			for j := range p.x {
				p.x[j] = float32(i*j) - 1.5
			}
			in = append(in, p)
		}
		data, err := of(f, o, in).MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)-1])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Sums
		if err := s.UnmarshalBinary(data); err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v, want ErrCorrupt", err)
			}
			return
		}
		again, err := s.MarshalBinary()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("written again: %x, %v; want %x", again, err, data)
		}
	})
}
