package gguf

import (
	"fmt"
	"strings"
)

// Type is the storage type of a tensor, with its number in the file.
type Type uint32

// The types that [DequantizeRow] decodes.
const (
	F32    Type = 0
	F16    Type = 1
	Q4_0   Type = 2
	Q4_1   Type = 3
	Q5_0   Type = 6
	Q5_1   Type = 7
	Q8_0   Type = 8
	Q4_K   Type = 12
	Q5_K   Type = 13
	Q6_K   Type = 14
	IQ4_NL Type = 20
	BF16   Type = 30
)

// trait is what the layout of a tensor needs to know of its type.
type trait struct {
	name        string
	block, size int // values and bytes of a block
}

// traits has every type of ggml, so that a file whose tensors we can't decode
// can still be listed and copied.
var traits = map[Type]trait{
	F32: {"F32", 1, 4}, F16: {"F16", 1, 2}, BF16: {"BF16", 1, 2},
	Q4_0: {"Q4_0", 32, 18}, Q4_1: {"Q4_1", 32, 20}, Q5_0: {"Q5_0", 32, 22}, Q5_1: {"Q5_1", 32, 24},
	Q8_0: {"Q8_0", 32, 34}, 9: {"Q8_1", 32, 36},
	10: {"Q2_K", 256, 84}, 11: {"Q3_K", 256, 110}, Q4_K: {"Q4_K", 256, 144}, Q5_K: {"Q5_K", 256, 176},
	Q6_K: {"Q6_K", 256, 210}, 15: {"Q8_K", 256, 292},
	16: {"IQ2_XXS", 256, 66}, 17: {"IQ2_XS", 256, 74}, 18: {"IQ3_XXS", 256, 98}, 19: {"IQ1_S", 256, 50},
	IQ4_NL: {"IQ4_NL", 32, 18}, 21: {"IQ3_S", 256, 110}, 22: {"IQ2_S", 256, 82}, 23: {"IQ4_XS", 256, 136},
	24: {"I8", 1, 1}, 25: {"I16", 1, 2}, 26: {"I32", 1, 4}, 27: {"I64", 1, 8}, 28: {"F64", 1, 8},
	29: {"IQ1_M", 256, 56}, 34: {"TQ1_0", 256, 54}, 35: {"TQ2_0", 256, 66}, 39: {"MXFP4", 32, 17},
}

// String returns the name that llama.cpp uses, such as "Q4_K".
func (t Type) String() string {
	if tr, ok := traits[t]; ok {
		return tr.name
	}
	return fmt.Sprintf("Type(%d)", uint32(t))
}

// ParseType is the inverse of [Type.String]; case does not matter.
func ParseType(name string) (Type, error) {
	for t, tr := range traits {
		if strings.EqualFold(tr.name, name) {
			return t, nil
		}
	}
	return 0, fmt.Errorf("unknown tensor type %q", name)
}

// BlockSize returns the number of values that are stored together, or 0 for an
// unknown type. The length of a row is a multiple of it.
func (t Type) BlockSize() int { return traits[t].block }

// RowSize returns the bytes of a row of n values.
func (t Type) RowSize(n int) (int, error) {
	tr, ok := traits[t]
	switch {
	case !ok:
		return 0, fmt.Errorf("unknown tensor type %d", uint32(t))
	case n < 0 || n%tr.block != 0:
		return 0, fmt.Errorf("row of %d values: %s wants a multiple of %d", n, t, tr.block)
	}
	return n / tr.block * tr.size, nil
}
