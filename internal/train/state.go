package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/safetensors"
)

// stateKey is the key of a run's state in the metadata of its state file.
const stateKey = "code2lora.run"

// savedState is the metadata of a state file. The random numbers of a step are
// derived from the seed and the step's number, so these two are the state of
// the generator.
type savedState struct {
	state
	Seed      uint64 `json:"seed"`
	Steps     int    `json:"steps"`    // of the whole run
	Identity  string `json:"identity"` // see [Run]
	AdamSteps int    `json:"adam_steps"`
}

// save writes parameters, moments and position to path, atomically.
func (r *Run) save(path string) error {
	return SaveState(path, stateKey, savedState{r.state, r.Options.Seed, r.steps(), r.Identity, r.optim.t}, r.Head.Params(), r.optim)
}

// load reads what save wrote. It refuses the state of another configuration,
// which would silently continue something else.
func (r *Run) load(path string) error {
	var s savedState
	check := func() error { return s.check(r.Options.Seed, r.steps(), r.Identity) }
	if err := LoadState(path, stateKey, &s, check, r.Head.Params(), r.optim); err != nil {
		return err
	}
	r.state, r.optim.t = s.state, s.AdamSteps
	return nil
}

// check refuses the state of another configuration.
func (s *savedState) check(seed uint64, steps int, identity string) error {
	if s.Seed != seed || s.Steps != steps {
		return fmt.Errorf("a run of %d steps with seed %d, and the configuration gives %d steps with seed %d: remove the folder to start anew",
			s.Steps, s.Seed, steps, seed)
	}
	if s.Identity != identity {
		return errors.New("a run of another configuration or of other data: restore them, or remove the folder to start anew")
	}
	return nil
}

// stateTensors pairs the three tensors of each parameter with their names.
func stateTensors(params []*hypernet.Param, o *AdamW) (names []string, values [][]float32) {
	for i, p := range params {
		names = append(names, "value."+p.Name, "adam.m."+p.Name, "adam.v."+p.Name)
		values = append(values, p.Value, o.m[i], o.v[i])
	}
	return names, values
}

// SaveState writes parameters and the moments of their optimiser to path,
// atomically, with meta as JSON under a key of the metadata.
func SaveState(path, key string, meta any, params []*hypernet.Param, o *AdamW) error {
	text, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	names, values := stateTensors(params, o)
	var ts []safetensors.Tensor
	for i, name := range names {
		ts = append(ts, safetensors.Float32Tensor(name, safetensors.F32, []int{len(values[i])}, values[i]))
	}
	return safetensors.Write(path, ts, map[string]string{key: string(text)})
}

// LoadState reads what [SaveState] wrote: meta first, then, unless check
// objects to that, the values. On error no value has changed.
func LoadState(path, key string, meta any, check func() error, params []*hypernet.Param, o *AdamW) error {
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := json.Unmarshal([]byte(f.Metadata()[key]), meta); err != nil {
		return fmt.Errorf("%s: metadata %q: %w", path, key, err)
	}
	if err := check(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	names, values := stateTensors(params, o)
	if have, want := f.Names(), slices.Sorted(slices.Values(names)); !slices.Equal(have, want) {
		return fmt.Errorf("%s: tensors of another head or adapter: %d, want %d", path, len(have), len(want))
	}
	loaded := make([][]float32, len(names))
	for i, name := range names {
		if loaded[i], err = f.Float32s(name); err != nil {
			return err
		}
		if len(loaded[i]) != len(values[i]) {
			return fmt.Errorf("%s: tensor %q has %d values, want %d", path, name, len(loaded[i]), len(values[i]))
		}
	}
	for i := range loaded {
		copy(values[i], loaded[i])
	}
	return nil
}
