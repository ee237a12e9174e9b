package adapter

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"

	"github.com/code2lora/code2lora/internal/safetensors"
)

// Files and names of an adapter of Hugging Face PEFT.
const (
	peftConfig  = "adapter_config.json"
	peftWeights = "adapter_model.safetensors"
	peftPrefix  = "base_model.model."
	peftA       = ".lora_A.weight"
	peftB       = ".lora_B.weight"
)

// WritePEFT writes a folder that PEFT, vLLM, TGI, LoRAX and the converter of
// llama.cpp load. A pair that layers share is written for each of them; a
// layer without a pair that other layers have gets zeros, because some readers
// otherwise drop the module in all layers. An alpha that is no positive
// integer cannot be written (some readers refuse it): it becomes r, and B
// takes up the factor.
//
// The sidecar code2lora.json, which other readers ignore, has the provenance.
// Existing folders are treated as by [WriteNative].
func WritePEFT(dir string, a *Adapter, opt Options) error {
	dtype, err := opt.dtype()
	if err != nil {
		return err
	}
	if err := a.check(); err != nil {
		return err
	}
	if len(a.Modules()) == 0 {
		return errors.New("the adapter has no pairs")
	}
	a = withIntegerAlpha(a)
	config, err := encodeJSON(peftConfigOf(a))
	if err != nil {
		return err
	}
	zeros := New(a.Dims, a.Modules(), a.Rank, a.Alpha, true)
	var tensors []safetensors.Tensor
	for l := range a.Layers {
		for _, m := range a.Modules() {
			p, s := a.Layers[l][m], a.Dims.Modules[m]
			if p == nil {
				p = zeros.Layers[l][m]
			}
			place := peftPrefix + hfName(l, m)
			tensors = append(tensors,
				safetensors.Float32Tensor(place+peftA, dtype, []int{a.Rank, s.In}, p.A),
				safetensors.Float32Tensor(place+peftB, dtype, []int{s.Out, a.Rank}, p.B))
		}
	}
	return writeFolder(dir, func(tmp string) error {
		if err := writeSidecar(tmp, a); err != nil {
			return err
		}
		if err := writeBytes(filepath.Join(tmp, peftConfig), config); err != nil {
			return err
		}
		return safetensors.Write(filepath.Join(tmp, peftWeights), tensors, map[string]string{"format": "pt"})
	})
}

// peftConfigOf returns the smallest configuration that all readers accept.
func peftConfigOf(a *Adapter) map[string]any {
	base := a.Provenance.Base
	name := base.HubID
	if name == "" {
		name = base.Name
	}
	modules := moduleStrings(a)
	slices.Sort(modules)
	return map[string]any{
		"base_model_name_or_path": name,
		"bias":                    "none",
		"fan_in_fan_out":          false,
		"inference_mode":          true,
		"init_lora_weights":       true,
		"lora_alpha":              uint32(a.Alpha), // Ollama wants an integer literal
		"lora_dropout":            json.RawMessage("0.0"),
		"modules_to_save":         nil,
		"peft_type":               "LORA",
		"r":                       a.Rank,
		"target_modules":          modules,
		"task_type":               "CAUSAL_LM",
		"use_dora":                false,
		"use_rslora":              false,
	}
}

// withIntegerAlpha returns a, or an adapter of the same effect whose alpha is
// a positive integer.
func withIntegerAlpha(a *Adapter) *Adapter {
	if a.Alpha >= 1 && a.Alpha <= math.MaxUint32 && a.Alpha == math.Trunc(a.Alpha) {
		return a
	}
	scaled := ZerosLike(a)
	scaled.Provenance = a.Provenance
	scaled.Alpha = float64(a.Rank)
	to := scaled.Pairs()
	for i, e := range a.Pairs() {
		copy(to[i].A, e.A)
		for j, v := range e.B {
			to[i].B[j] = float32(float64(v) * a.scale())
		}
	}
	return scaled
}

// peftFile is what a reader needs of adapter_config.json; which modules of
// which layers are adapted follows from the tensors.
type peftFile struct {
	Type     string   `json:"peft_type"`
	Base     string   `json:"base_model_name_or_path"`
	Rank     *int     `json:"r"`
	Alpha    *float64 `json:"lora_alpha"`
	Bias     string   `json:"bias"`
	RSLoRA   bool     `json:"use_rslora"`
	FanInOut bool     `json:"fan_in_fan_out"`
}

// peftRefused are the settings that change the effect of an adapter in a way
// that an [Adapter] cannot express.
var peftRefused = []string{
	"use_dora", "lora_bias", "layer_replication", "alora_invocation_tokens", "use_qalora", "use_bdlora",
	"target_parameters", "trainable_token_indices", "modules_to_save", "rank_pattern", "alpha_pattern",
	"kasa_config", "arrow_config", "megatron_config",
}

// ReadPEFT reads a PEFT folder. Settings whose effect cannot be represented
// are refused, as are tensors that are no factor of one of the seven
// projections. Pairs that are equal in all layers become shared.
//
// The dimensions of the base model are needed, unless the folder was written
// by [WritePEFT]; then dims may be nil.
func ReadPEFT(dir string, dims *Dims) (*Adapter, error) {
	a, err := readPEFT(dir, dims)
	if err != nil {
		return nil, fmt.Errorf("adapter %s: %w", dir, err)
	}
	return a, nil
}

func readPEFT(dir string, dims *Dims) (*Adapter, error) {
	raw, err := readSmall(filepath.Join(dir, peftConfig))
	if err != nil {
		return nil, err
	}
	config, alpha, err := parsePEFTConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", peftConfig, err)
	}
	provenance, known, err := peftProvenance(dir, config)
	if err != nil {
		return nil, err
	}
	d, err := chooseDims(known, dims, provenance.Base)
	if err != nil {
		return nil, err
	}
	f, err := safetensors.Open(filepath.Join(dir, peftWeights))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := newBuilder(d, *config.Rank, alpha)
	if err != nil {
		return nil, err
	}
	layers := sites(d, hfName)
	for _, name := range f.Names() {
		at, isA, err := findFactor(layers, name, peftPrefix, peftA, peftB)
		if err != nil {
			return nil, err
		}
		if err := b.addTensor(f, name, at.layer, at.module, isA); err != nil {
			return nil, err
		}
	}
	return b.finishUnshared(provenance)
}

// parsePEFTConfig reads adapter_config.json and returns alpha as [Adapter] has
// it: with rank-stabilised LoRA the scale is alpha/√r.
func parsePEFTConfig(raw []byte) (*peftFile, float64, error) {
	var c peftFile
	var all map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(raw, &c), json.Unmarshal(raw, &all)); err != nil {
		return nil, 0, err
	}
	if c.Type != "LORA" {
		return nil, 0, fmt.Errorf("peft_type is %q, want %q", c.Type, "LORA")
	}
	if c.Rank == nil || c.Alpha == nil {
		return nil, 0, errors.New("r or lora_alpha is missing")
	}
	if c.Bias != "" && c.Bias != "none" {
		return nil, 0, fmt.Errorf("bias is %q: only %q is supported", c.Bias, "none")
	}
	if c.FanInOut {
		return nil, 0, errors.New("fan_in_fan_out is not supported")
	}
	for _, key := range peftRefused {
		if v := string(all[key]); !isOff(v) {
			return nil, 0, fmt.Errorf("%s is %.60s: adapters with it are not supported", key, v)
		}
	}
	if err := checkScale(*c.Rank, *c.Alpha); err != nil {
		return nil, 0, err
	}
	if c.RSLoRA {
		return &c, *c.Alpha * math.Sqrt(float64(*c.Rank)), nil
	}
	return &c, *c.Alpha, nil
}

// isOff reports whether the JSON value of an option means that it isn't used.
func isOff(v string) bool {
	var x any
	if v == "" || json.Unmarshal([]byte(v), &x) != nil {
		return v == ""
	}
	switch x := x.(type) {
	case nil:
		return true
	case bool:
		return !x
	case []any:
		return len(x) == 0
	case map[string]any:
		return len(x) == 0
	}
	return false
}

// peftProvenance returns what the sidecar says, ours or that of the authors'
// exporter, and the dimensions if it has them.
func peftProvenance(dir string, config *peftFile) (Provenance, *Dims, error) {
	raw, err := readSmall(filepath.Join(dir, sidecarName))
	if err == nil {
		return sidecarProvenance(sidecarName, raw)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return Provenance{}, nil, err
	}
	p := Provenance{Base: Base{HubID: config.Base}}
	raw, err = readSmall(filepath.Join(dir, authorsSidecar))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil, nil
	}
	if err != nil {
		return p, nil, err
	}
	var theirs struct {
		Repository string `json:"repo_id"`
		Base       string `json:"base_model"`
		Commit     string `json:"endpoint_sha"`
		Checkpoint string `json:"checkpoint_id"`
		Version    string `json:"c2l_version"`
	}
	if err := json.Unmarshal(raw, &theirs); err != nil {
		return p, nil, fmt.Errorf("%s: %w", authorsSidecar, err)
	}
	p.Repository, p.Commit, p.Checkpoint = theirs.Repository, theirs.Commit, theirs.Checkpoint
	if theirs.Base != "" {
		p.Base.HubID = theirs.Base
	}
	if theirs.Version != "" {
		p.Tool = "c2l " + theirs.Version
	}
	return p, nil, nil
}

// authorsSidecar is written by the exporter of the Code2LoRA authors.
const authorsSidecar = "c2l_adapter.json"
