package adapter

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzMetadata reads JSON from outside: whatever is accepted has sizes that
// can be allocated, and can be written again.
func FuzzMetadata(f *testing.F) {
	text, err := encodeSidecar(random(testDims, []Module{QProj}, 2, 2, true))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"peft_type":"LORA","r":4,"lora_alpha":8.0,"rank_pattern":{},"use_rslora":true}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if c, alpha, err := parsePEFTConfig(raw); err == nil {
			if err := checkScale(*c.Rank, alpha/float64(*c.Rank)); err != nil {
				t.Errorf("accepted: %v", err)
			}
		}
		s, err := decodeSidecar(raw)
		if err != nil {
			return
		}
		d, err := s.dims()
		if err != nil {
			return
		}
		b, err := newBuilder(d, s.Rank, s.Alpha)
		if err != nil {
			return
		}
		b.a.Provenance = s.Provenance
		again, err := encodeSidecar(b.a)
		if err != nil {
			t.Fatal(err)
		}
		if s, err = decodeSidecar(again); err != nil {
			t.Fatal(err)
		}
		if got, err := s.dims(); err != nil || got != d {
			t.Errorf("dimensions: got %+v, %v, want %+v", got, err, d)
		}
	})
}

// FuzzReadGGUF reads whole adapter files.
func FuzzReadGGUF(f *testing.F) {
	path := filepath.Join(f.TempDir(), "a.gguf")
	if err := WriteGGUF(path, random(testDims, []Module{KProj}, 1, 2, false), Options{}); err != nil {
		f.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(t.TempDir(), "a.gguf")
		if err := os.WriteFile(path, raw, 0o666); err != nil {
			t.Fatal(err)
		}
		for _, dims := range []*Dims{nil, &testDims} {
			if a, err := Read(path, dims); err == nil {
				if err := a.Validate(); err != nil {
					t.Errorf("accepted: %v", err)
				}
				Digest(a)
				Norms(a)
			}
		}
	})
}
