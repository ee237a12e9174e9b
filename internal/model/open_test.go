package model

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/memory"
)

// TestOpenPacksWhatIsUsed checks that hidden states of a model that was only
// opened are those of a loaded one, also to several callers at once, and that
// nothing is packed for blocks that nobody asked for.
func TestOpenPacksWhatIsUsed(t *testing.T) {
	const path, blocks = "testdata/tiny-llama.gguf", 1
	loaded, _, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Close()
	m, _, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	sequences := [][]int32{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, {11, 12, 13}}
	want, err := loaded.Hidden(context.Background(), sequences, blocks)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			got, err := m.Hidden(context.Background(), sequences, blocks)
			if err != nil {
				t.Error(err)
				return
			}
			for i := range want {
				if !slices.Equal(got[i], want[i]) {
					t.Errorf("sequence %d: other hidden states than those of a loaded model", i)
				}
			}
		})
	}
	all.Wait()
	left := func(f *kernel.Frozen) int64 { return f.PackingBytes(kernel.CurrentPrecision(), manyRows, false) }
	for l := range m.layers {
		for mod, f := range m.layers[l].linear {
			if packed := left(f) == 0; packed != (l < blocks) {
				t.Errorf("block %d, module %d: packed: %t, want %t", l, mod, packed, l < blocks)
			}
		}
	}
	if left(m.output) == 0 {
		t.Error("the output matrix was packed")
	}
	if loaded.packingBytes(kernel.CurrentPrecision(), manyRows, manyRows, false) != 0 {
		t.Error("a loaded model has matrices that aren't packed")
	}

	t.Setenv(memory.Variable, "1kB")
	if _, err := m.Hidden(context.Background(), sequences, blocks); err != nil {
		t.Errorf("blocks that are packed: %v", err)
	}
	_, err = m.Hidden(context.Background(), sequences, blocks+1)
	checkShortage(t, err)
	if _, _, err := Open(path); err != nil {
		t.Errorf("opening needs no memory for weights, but got %v", err)
	}
	if _, _, err := Open("testdata/none.gguf"); err == nil {
		t.Error("no error for a missing file")
	}
	var s *memory.Shortage
	if err := m.Prepare(); !errors.As(err, &s) {
		t.Errorf("got error %v, want a memory.Shortage", err)
	}
}
