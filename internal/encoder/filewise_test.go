package encoder_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/encoder"
)

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
			sum, most, tokens := make([]float64, e.Dim()), make([]float32, e.Dim()), 0
			byID := map[string][]float32{}
			err := e.Vectors(context.Background(), src, chosen, func(v encoder.FileVector) error {
				tokens += v.Tokens
				if !v.Cached {
					made = append(made, v.Path)
				}
				if v.Vector == nil {
					return nil
				}
				read, byID[v.ID] = append(read, v.Blob), v.Vector
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(made)
			slices.Sort(src.read)
			if !slices.Equal(made, src.read) || len(made) > 2 {
				t.Errorf("vectors made of %v, but contents read of %v", made, src.read)
			}
			first := true
			for _, b := range chosen {
				for j, x := range byID[b.ID] {
					sum[j] += float64(x)
					if first || most[j] < x {
						most[j] = x
					}
				}
				first = first && byID[b.ID] == nil
			}
			mean := make([]float32, e.Dim())
			for j := range mean {
				mean[j] = float32(sum[j] / float64(len(read)))
			}
			got, err := e.Assemble(mean, most, len(read), leftOut, tokens, encoder.InputDigest(read))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

func TestFilewiseRefuses(t *testing.T) {
	e := newEncoder(t, encoder.Options{Kind: encoder.KindLexical, Dim: 16}, nil).(encoder.Filewise)
	v := make([]float32, 16)
	if _, err := e.Assemble(v[:15], v, 1, 0, 1, ""); err == nil || !strings.Contains(err.Error(), "mean of 15") {
		t.Errorf("short mean: got %v", err)
	}
	if _, err := e.Assemble(v, v[:1], 1, 0, 1, ""); err == nil || !strings.Contains(err.Error(), "maximum of 1") {
		t.Errorf("short maximum: got %v", err)
	}
	if _, err := e.Assemble(v, v, 0, 0, 0, ""); !errors.Is(err, encoder.ErrNothing) {
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
	} else if f, ok := o.(encoder.Filewise); !ok || f.Dim() != 1024 {
		t.Errorf("got %T, want one that reads file by file, of 1024 dimensions", o)
	}
}
