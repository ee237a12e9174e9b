package encoder_test

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/aggregate"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
)

// TestMoments compares the moments of file vectors with sums in float64.
func TestMoments(t *testing.T) {
	o := kinds()["moments"]
	src := &tree{files: sources()}
	e := newEncoder(t, o, nil).(encoder.Filewise)
	rep := encode(t, e, src)
	var x, y [][]float32
	err := e.Vectors(context.Background(), src, src.Blobs(), func(v encoder.FileVector) error {
		if v.Vector != nil {
			x, y = append(x, v.Vector), append(y, v.Sketch)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	d, k := e.Sums().Dim, o.Cross
	if len(x) < 3 || len(y[0]) != k {
		t.Fatalf("%d vectors, sketches of %d values", len(x), len(y[0]))
	}
	compare := func(name string, cols int, z [][]float32) {
		got := rep.Tensors[name]
		if !slices.Equal(got.Shape, []int{d, cols}) {
			t.Fatalf("%s: shape %v, want %d by %d", name, got.Shape, d, cols)
		}
		for i := range d {
			for j := range cols {
				want := 0.0
				for f := range x {
					want += float64(x[f][i]) * float64(z[f][j]) / float64(len(x))
				}
				if g := float64(got.Data[i*cols+j]); math.Abs(g-want) > 1e-6*max(math.Abs(want), 1e-6) {
					t.Fatalf("%s %d,%d: got %g, want %g", name, i, j, g, want)
				}
			}
		}
	}
	compare(embedding.Second, d, x)
	compare(embedding.Cross, k, y)
	// A sketch keeps the size of what it is of, on average over its signs.
	var size, sketched float64
	for f := range x {
		for _, v := range x[f] {
			size += float64(v) * float64(v) / float64(d)
		}
		for _, v := range y[f] {
			sketched += float64(v) * float64(v) / float64(k)
		}
	}
	if r := sketched / size; r < 0.2 || r > 5 {
		t.Errorf("mean squares of sketches are %g of those of vectors", r)
	}
	plain := o
	plain.Second, plain.Cross = false, 0
	delete(rep.Tensors, embedding.Second)
	delete(rep.Tensors, embedding.Cross)
	without := encode(t, newEncoder(t, plain, nil), src)
	if rep.Encoder = without.Encoder; !reflect.DeepEqual(rep, without) {
		t.Errorf("the rest of the representation is %+v, want %+v", rep, without)
	}
	// Moments are made of the same vectors of files.
	cache := newMemory()
	encode(t, newEncoder(t, plain, cache), src)
	src.forbidden = map[string]bool{}
	for path := range src.files {
		src.forbidden[path] = true
	}
	encode(t, newEncoder(t, o, cache), src)
}

// TestFilewise assembles what Encode does, from the vectors of files.
func TestFilewise(t *testing.T) {
	for name, o := range kinds() {
		t.Run(name, func(t *testing.T) {
			o.MaxFiles = 7
			cache := newMemory()
			e := newEncoder(t, o, cache).(encoder.Filewise)
			src := &tree{files: sources()}
			encode(t, e, src)
			src.files["pkg/m3.py"] += "\n"
			src.files["short.py"] += "\n"
			want := encode(t, newEncoder(t, o, nil), src)

			all := src.Blobs()
			before := slices.Clone(all)
			chosen, leftOut := e.Choose(all)
			if len(chosen) != 7 || leftOut != len(all)-7 || !slices.Equal(all, before) {
				t.Fatalf("chose %d, left out %d of %d", len(chosen), leftOut, len(all))
			}
			slices.Reverse(all)
			if again, _ := e.Choose(all); !slices.Equal(again, chosen) {
				t.Errorf("in another order chose %v, want %v", again, chosen)
			}
			src.read = nil
			var read []encoder.Blob
			var made []string
			sums, err := aggregate.New(e.Sums())
			if err != nil {
				t.Fatal(err)
			}
			tokens := 0
			var vectors []encoder.FileVector
			err = e.Vectors(context.Background(), src, chosen, func(v encoder.FileVector) error {
				tokens += v.Tokens
				if !v.Cached {
					made = append(made, v.Path)
				}
				if v.Vector == nil {
					return nil
				}
				read, vectors = append(read, v.Blob), append(vectors, v)
				return sums.Add(v.Vector, v.Sketch)
			})
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(made)
			slices.Sort(src.read)
			if !slices.Equal(made, src.read) || len(made) > 2 {
				t.Errorf("vectors made of %v, but contents read of %v", made, src.read)
			}
			// What comes and goes leaves no trace.
			if err := errors.Join(sums.Add(vectors[0].Vector, vectors[0].Sketch), sums.Remove(vectors[0].Vector, vectors[0].Sketch)); err != nil {
				t.Fatal(err)
			}
			repository := want.Tensors[embedding.Repository].Data
			for j := range e.Sums().Dim {
				sum, most := 0.0, float32(math.Inf(-1))
				for _, v := range vectors {
					sum, most = sum+float64(v.Vector[j]), max(most, v.Vector[j])
				}
				mean := float32(sum / float64(len(vectors)))
				if got := repository[j]; math.Abs(float64(got-mean)) > 0x1p-23*math.Abs(float64(mean)) {
					t.Errorf("mean of value %d: got %g, want %g", j, got, mean)
				}
				if got := repository[e.Sums().Dim+j]; got != most {
					t.Errorf("maximum of value %d: got %g, want %g", j, got, most)
				}
			}
			got, err := e.Assemble(sums, leftOut, tokens, encoder.InputDigest(read))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

func TestFilewiseRefuses(t *testing.T) {
	e := newEncoder(t, encoder.Options{Kind: encoder.KindLexical, Dim: 16}, nil).(encoder.Filewise)
	other, err := aggregate.New(aggregate.Options{Dim: 16})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Assemble(other, 0, 1, ""); err == nil || !strings.Contains(err.Error(), "Max:true") {
		t.Errorf("sums without maxima: got %v", err)
	}
	none, err := aggregate.New(e.Sums())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Assemble(none, 0, 0, ""); !errors.Is(err, encoder.ErrNothing) {
		t.Errorf("no files: got %v", err)
	}
	stop := errors.New("enough")
	src := &tree{files: sources()}
	if err := e.Vectors(context.Background(), src, src.Blobs(), func(encoder.FileVector) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped: got %v", err)
	}
	if len(src.read) > 1 {
		t.Errorf("read %d files after the stop", len(src.read))
	}
	if o, err := encoder.New(encoder.DefaultOptions(encoder.KindLexical), nil, nil, nil); err != nil {
		t.Error(err)
	} else if f, ok := o.(encoder.Filewise); !ok || f.Sums().Dim != 1024 {
		t.Errorf("got %T, want one that reads file by file, of 1024 dimensions", o)
	}
}
