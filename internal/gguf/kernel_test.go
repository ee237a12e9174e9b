package gguf_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/code2lora/code2lora/internal/gguf"
	"github.com/code2lora/code2lora/internal/kernel"
)

// TestKernelFormats compares the products on stored weights with the decoded
// weights: a row of zeros with one 1 in it is exact as int8, and its product
// picks out a weight.
func TestKernelFormats(t *testing.T) {
	was := kernel.CurrentPrecision()
	defer kernel.SetPrecision(was)
	if err := kernel.SetPrecision(kernel.Int8); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	const out, in = 17, 512
	for _, typ := range []gguf.Type{gguf.Q4_0, gguf.Q4_1, gguf.Q5_0, gguf.Q5_1, gguf.Q8_0, gguf.Q4_K, gguf.Q5_K, gguf.Q6_K, gguf.IQ4_NL} {
		format, ok := kernel.ParseBlockFormat(typ.String())
		if !ok {
			t.Errorf("%v: no kernel for it", typ)
			continue
		}
		size, err := typ.RowSize(in)
		if err != nil {
			t.Fatal(err)
		}
		stored, want := make([][]byte, out), make([][]float32, out)
		for i := range stored {
			stored[i], want[i] = make([]byte, size), make([]float32, in)
			for k := range stored[i] {
				stored[i][k] = byte(r.Uint32())
			}
			unit := binary.LittleEndian
			block := size / (in / typ.BlockSize())
			for b := 0; b < size; b += block { // finite scales
				unit.PutUint16(stored[i][b:], 0x2c00|uint16(r.Uint32())&0x83ff)
				if typ == gguf.Q6_K {
					unit.PutUint16(stored[i][b+208:], 0x2c00|uint16(r.Uint32())&0x83ff)
				} else if typ != gguf.Q4_0 && typ != gguf.Q5_0 && typ != gguf.Q8_0 && typ != gguf.IQ4_NL {
					unit.PutUint16(stored[i][b+2:], 0x2c00|uint16(r.Uint32())&0x83ff)
				}
			}
			if err := gguf.DequantizeRow(want[i], typ, stored[i]); err != nil {
				t.Fatal(err)
			}
		}
		f := kernel.NewFrozenFrom(out, in, kernel.Source{Stored: func(i int) []byte { return stored[i] }, Format: format})
		x, y := make([]float32, in), make([]float32, out)
		for k := range in {
			clear(x)
			x[k] = 1
			f.Forward(y, x, 1)
			for i, got := range y {
				// A code of up to 255 times the scale, and its offset, cancel.
				if w := float64(want[i][k]); !(math.Abs(float64(got)-w) <= 1e-4+1e-4*math.Abs(w)) {
					t.Fatalf("%v: weight (%d, %d) is %g, want %g", typ, i, k, got, w)
				}
			}
		}
	}
}
