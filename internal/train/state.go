package train

import (
	"encoding/json"
	"fmt"
	"slices"

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

// tensors pairs the three tensors of each parameter with their names.
func (r *Run) tensors() (names []string, values [][]float32) {
	for i, p := range r.Head.Params() {
		names = append(names, "value."+p.Name, "adam.m."+p.Name, "adam.v."+p.Name)
		values = append(values, p.Value, r.optim.m[i], r.optim.v[i])
	}
	return names, values
}

// save writes parameters, moments and position to path, atomically.
func (r *Run) save(path string) error {
	meta, err := json.Marshal(savedState{r.state, r.Options.Seed, r.steps(), r.Identity, r.optim.t})
	if err != nil {
		return err
	}
	names, values := r.tensors()
	var ts []safetensors.Tensor
	for i, name := range names {
		ts = append(ts, safetensors.Float32Tensor(name, safetensors.F32, []int{len(values[i])}, values[i]))
	}
	return safetensors.Write(path, ts, map[string]string{stateKey: string(meta)})
}

// load reads what save wrote. It refuses the state of another configuration,
// which would silently continue something else.
func (r *Run) load(path string) error {
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var s savedState
	if err := json.Unmarshal([]byte(f.Metadata()[stateKey]), &s); err != nil {
		return fmt.Errorf("%s: metadata %q: %w", path, stateKey, err)
	}
	if s.Seed != r.Options.Seed || s.Steps != r.steps() {
		return fmt.Errorf("%s: a run of %d steps with seed %d, and the configuration gives %d steps with seed %d: remove the folder to start anew",
			path, s.Steps, s.Seed, r.steps(), r.Options.Seed)
	}
	if s.Identity != r.Identity {
		return fmt.Errorf("%s: a run of another configuration or of other data: restore them, or remove the folder to start anew", path)
	}
	names, values := r.tensors()
	if have, want := f.Names(), slices.Sorted(slices.Values(names)); !slices.Equal(have, want) {
		return fmt.Errorf("%s: tensors of another head: %d, want %d", path, len(have), len(want))
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
	r.state, r.optim.t = s.state, s.AdamSteps
	return nil
}
