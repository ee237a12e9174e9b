package adapter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
)

// sidecarName is the JSON file beside the factors. In a PEFT folder it only
// adds what PEFT has no place for; a GGUF file has its text as a metadata value.
const sidecarName = "code2lora.json"

const (
	sidecarFormat  = "code2lora adapter"
	sidecarVersion = 1
	maxJSON        = 1 << 22 // bytes of a JSON file that is read
	maxLayers      = 1 << 12
	maxFeatures    = 1 << 24
	maxRank        = 1 << 14
)

// sidecar is the content of code2lora.json.
type sidecar struct {
	Format     string      `json:"format"`
	Version    int         `json:"version"`
	Dims       sidecarDims `json:"dims"`
	Rank       int         `json:"rank"`
	Alpha      float64     `json:"alpha"`
	Modules    []string    `json:"target_modules"`
	Shared     bool        `json:"shared"` // all layers use the same pairs; informative
	Provenance Provenance  `json:"provenance"`
}

// sidecarDims is [Dims] in the words of a Hugging Face configuration.
type sidecarDims struct {
	Arch              string                 `json:"arch"`
	NumHiddenLayers   int                    `json:"num_hidden_layers"`
	NumAttentionHeads int                    `json:"num_attention_heads"`
	NumKeyValueHeads  int                    `json:"num_key_value_heads"`
	Linear            map[string]sidecarSize `json:"linear"`
}

type sidecarSize struct {
	In  int `json:"in_features"`
	Out int `json:"out_features"`
}

// encodeSidecar returns the JSON text for a.
func encodeSidecar(a *Adapter) ([]byte, error) {
	s := sidecar{
		Format: sidecarFormat, Version: sidecarVersion, Rank: a.Rank, Alpha: a.Alpha,
		Dims: sidecarDims{a.Dims.Arch, a.Dims.NumHiddenLayers, a.Dims.NumAttentionHeads, a.Dims.NumKeyValueHeads,
			map[string]sidecarSize{}},
		Modules: moduleStrings(a), Shared: a.Shared(), Provenance: a.Provenance,
	}
	for m, shape := range a.Dims.Modules {
		s.Dims.Linear[Module(m).String()] = sidecarSize(shape)
	}
	if d := s.Provenance.MeanDistance; d != nil && (math.IsNaN(*d) || math.IsInf(*d, 0)) {
		s.Provenance.MeanDistance = nil // JSON has no such numbers
	}
	return encodeJSON(s)
}

func moduleStrings(a *Adapter) []string {
	names := []string{}
	for _, m := range a.Modules() {
		names = append(names, m.String())
	}
	return names
}

// encodeJSON returns indented JSON with a final newline.
func encodeJSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return buf.Bytes(), err
}

// decodeSidecar reads and checks the text of a sidecar.
func decodeSidecar(raw []byte) (*sidecar, error) {
	var s sidecar
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	if s.Format != sidecarFormat {
		return nil, fmt.Errorf("format is %q, want %q", s.Format, sidecarFormat)
	}
	if s.Version != sidecarVersion {
		return nil, fmt.Errorf("version %d is not supported, want %d: update the program", s.Version, sidecarVersion)
	}
	return &s, nil
}

// sidecarProvenance returns what the text of a sidecar says about an adapter of
// another format. The name is that of its place, for messages.
func sidecarProvenance(name string, raw []byte) (Provenance, *Dims, error) {
	s, err := decodeSidecar(raw)
	if err != nil {
		return Provenance{}, nil, fmt.Errorf("%s: %w", name, err)
	}
	d, err := s.dims()
	if err != nil {
		return Provenance{}, nil, fmt.Errorf("%s: %w", name, err)
	}
	return s.Provenance, &d, nil
}

// dims returns the dimensions of a sidecar, or an error if they are absurd.
func (s *sidecar) dims() (Dims, error) {
	d := Dims{Arch: s.Dims.Arch, NumHiddenLayers: s.Dims.NumHiddenLayers,
		NumAttentionHeads: s.Dims.NumAttentionHeads, NumKeyValueHeads: s.Dims.NumKeyValueHeads}
	for name, size := range s.Dims.Linear {
		m, err := ParseModule(name)
		if err != nil {
			return d, fmt.Errorf("dims.linear: %w", err)
		}
		d.Modules[m] = Shape(size)
	}
	return d, d.check()
}

// check reports dimensions that no model has. It bounds what a file from
// outside can make us allocate.
func (d Dims) check() error {
	if d.NumHiddenLayers < 1 || d.NumHiddenLayers > maxLayers {
		return fmt.Errorf("dimensions: %d layers, want 1 to %d", d.NumHiddenLayers, maxLayers)
	}
	if d.NumAttentionHeads < 1 || d.NumAttentionHeads > maxFeatures || d.NumKeyValueHeads < 1 || d.NumKeyValueHeads > maxFeatures {
		return fmt.Errorf("dimensions: %d heads and %d for keys, want 1 to %d", d.NumAttentionHeads, d.NumKeyValueHeads, maxFeatures)
	}
	for m, s := range d.Modules {
		if s.In < 1 || s.In > maxFeatures || s.Out < 1 || s.Out > maxFeatures {
			return fmt.Errorf("dimensions: %s is %dx%d, want sizes from 1 to %d", Module(m), s.Out, s.In, maxFeatures)
		}
	}
	return checkHeads(d)
}

// checkScale reports a rank or an alpha that no adapter can have.
func checkScale(rank int, alpha float64) error {
	if rank < 1 || rank > maxRank {
		return fmt.Errorf("rank %d: want 1 to %d", rank, maxRank)
	}
	if math.IsNaN(alpha) || math.IsInf(alpha, 0) {
		return fmt.Errorf("alpha %g: want a finite number", alpha)
	}
	return nil
}

// readSmall reads a file of at most [maxJSON] bytes.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	if err == nil && len(raw) > maxJSON {
		err = fmt.Errorf("%s: more than %d bytes", path, maxJSON)
	}
	return raw, err
}
