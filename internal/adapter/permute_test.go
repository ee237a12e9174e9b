package adapter

import (
	"slices"
	"testing"
)

func TestPermute(t *testing.T) {
	// Two heads of six rows, with one value in each row.
	hf := []float32{0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15}
	file := []float32{0, 3, 1, 4, 2, 5, 10, 13, 11, 14, 12, 15}
	if got := toGGUF(hf, 12, 2); !slices.Equal(got, file) {
		t.Errorf("toGGUF: got %v, want %v", got, file)
	}
	if got := fromGGUF(file, 12, 2); !slices.Equal(got, hf) {
		t.Errorf("fromGGUF: got %v, want %v", got, hf)
	}
	if got := toGGUF(hf, 12, 0); !slices.Equal(got, hf) {
		t.Errorf("without heads: got %v, want %v", got, hf)
	}
	wide := make([]float32, 24*5)
	for i := range wide {
		wide[i] = float32(i)
	}
	if got := fromGGUF(toGGUF(wide, 24, 4), 24, 4); !slices.Equal(got, wide) {
		t.Errorf("there and back: got %v", got)
	}
	if got := toGGUF(wide, 24, 4)[5:10]; !slices.Equal(got, wide[15:20]) {
		t.Errorf("row 1 in the file: got %v, want row 3: %v", got, wide[15:20])
	}
}

func TestPermutedHeads(t *testing.T) {
	for _, tt := range []struct {
		arch string
		m    Module
		want int
	}{
		{"llama", QProj, 4}, {"llama", KProj, 2}, {"llama", VProj, 0}, {"llama", OProj, 0}, {"llama", UpProj, 0},
		{"qwen2", QProj, 0}, {"qwen3", KProj, 0},
	} {
		d := testDims
		d.Arch = tt.arch
		if got := permutedHeads(d, tt.m); got != tt.want {
			t.Errorf("%s %s: got %d heads, want %d", tt.arch, tt.m, got, tt.want)
		}
	}
}
