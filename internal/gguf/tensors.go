package gguf

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
)

// readTensors reads n tensor infos.
func (f *File) readTensors(r *reader, n int) error {
	f.tensors = make([]TensorInfo, 0, n)
	f.byName = make(map[string]int, n)
	for i := range n {
		t, err := readTensor(r, i)
		if err != nil {
			return err
		}
		if _, dup := f.byName[t.Name]; dup {
			return fmt.Errorf("tensor %q occurs twice", t.Name)
		}
		f.byName[t.Name] = i
		f.tensors = append(f.tensors, t)
	}
	return nil
}

func readTensor(r *reader, i int) (TensorInfo, error) {
	var t TensorInfo
	t.Name = r.string(fmt.Sprintf("name of tensor %d", i), maxNameLen)
	numDims := r.u32("dimension count")
	if r.err != nil {
		return t, fmt.Errorf("tensor %d %q: %w", i, t.Name, r.err)
	}
	if t.Name == "" {
		return t, fmt.Errorf("tensor %d has no name", i)
	}
	if numDims < 1 || numDims > maxDims {
		return t, fmt.Errorf("tensor %q: %d dimensions, want 1 to %d", t.Name, numDims, maxDims)
	}
	t.Dims = make([]uint64, numDims)
	for d := range t.Dims {
		t.Dims[d] = r.u64("dimension")
	}
	t.Type = Type(r.u32("type"))
	t.Offset = r.u64("offset")
	if r.err != nil {
		return t, fmt.Errorf("tensor %q: %w", t.Name, r.err)
	}
	var err error
	if t.Size, err = sizeOf(t.Type, t.Dims); err != nil {
		return t, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return t, nil
}

// sizeOf returns the bytes of a tensor. Neither they nor the number of
// elements exceed 2^62.
func sizeOf(typ Type, dims []uint64) (uint64, error) {
	tr, ok := traits[typ]
	if !ok {
		return 0, fmt.Errorf("unknown tensor type %d", uint32(typ))
	}
	if dims[0]%uint64(tr.block) != 0 {
		return 0, fmt.Errorf("dimensions %v: rows of %s have a multiple of %d values", dims, typ, tr.block)
	}
	elements, empty := uint64(1), slices.Contains(dims, 0)
	for _, d := range dims {
		hi, lo := bits.Mul64(elements, max(d, 1))
		// A quarter of the range leaves room for 8 bytes per element.
		if hi != 0 || lo > 1<<59 {
			return 0, fmt.Errorf("dimensions %v overflow", dims)
		}
		elements = lo
	}
	if empty {
		return 0, nil
	}
	return elements / uint64(tr.block) * uint64(tr.size), nil
}

// checkLayout reports a tensor that is misaligned, outside of the data
// section, or overlaps with another.
func (f *File) checkLayout() error {
	n := uint64(len(f.data))
	order := make([]int, len(f.tensors))
	for i, t := range f.tensors {
		order[i] = i
		switch {
		case t.Offset%f.Alignment != 0:
			return fmt.Errorf("tensor %q: offset %d is no multiple of the alignment %d", t.Name, t.Offset, f.Alignment)
		case t.Offset > n || t.Size > n-t.Offset:
			return fmt.Errorf("tensor %q: %d bytes at offset %d, the data section has %d (is the file truncated?)",
				t.Name, t.Size, t.Offset, n)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(f.tensors[a].Offset, f.tensors[b].Offset), cmp.Compare(f.tensors[a].Size, f.tensors[b].Size))
	})
	for i := 1; i < len(order); i++ {
		prev, t := f.tensors[order[i-1]], f.tensors[order[i]]
		if prev.Offset+prev.Size > t.Offset {
			return fmt.Errorf("tensors %q and %q overlap at offset %d", prev.Name, t.Name, t.Offset)
		}
	}
	return nil
}
