package tune

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/safetensors"
	"github.com/code2lora/code2lora/internal/train"
)

// The methods.
const (
	LoRA = "lora"
	Full = "full" // all weights of the chosen layers and modules
)

// What is learned behind a target.
const (
	StopNext = train.StopNext // the token that follows in the file: it leaves the target
	StopEOS  = "eos"          // the end of the text
	StopNone = train.StopNone // nothing, as in the paper's first baselines
)

// The schedules of the learning rate, after the warm-up.
const (
	Cosine   = "cosine"
	Linear   = "linear"
	Constant = "constant"
)

// What the best step is chosen by.
const (
	ByCrossEntropy = "cross_entropy"
	ByExactMatch   = "exact_match" // equal ones by cross-entropy
)

// Options are the settings of one fit. There is no dropout: the model's pass has
// none, and the paper's second setting does without it too.
type Options struct {
	Method  string   `yaml:"method" json:"method"`
	Rank    int      `yaml:"rank" json:"rank"`       // of lora
	Alpha   float64  `yaml:"alpha" json:"alpha"`     // of lora; 0: twice the rank
	Modules []string `yaml:"modules" json:"modules"` // adapted ones; none: all seven
	Layers  int      `yaml:"layers" json:"layers"`   // the last N are adapted; 0: all

	Seed         uint64  `yaml:"seed" json:"seed"`
	LearningRate float64 `yaml:"learning_rate" json:"learning_rate"` // peak
	FinalRate    float64 `yaml:"final_rate" json:"final_rate"`       // share of the peak at the end
	Schedule     string  `yaml:"schedule" json:"schedule"`           // cosine, linear or constant
	Warmup       float64 `yaml:"warmup" json:"warmup"`               // share of all steps
	// WeightDecay pulls factors to zero; of all weights, those to the base's.
	WeightDecay float64 `yaml:"weight_decay" json:"weight_decay"`
	Clip        float64 `yaml:"clip" json:"clip"` // largest norm of the gradient; 0: no limit

	// One of these is above 0 and ends the fit. A draw is a labelled task that a
	// step has seen; steps are whole, so there may be a few more.
	Epochs int `yaml:"epochs" json:"epochs"`
	Steps  int `yaml:"steps" json:"steps"`
	Draws  int `yaml:"draws" json:"draws"`

	TokensPerStep int `yaml:"tokens_per_step" json:"tokens_per_step"`
	TokensPerPass int `yaml:"tokens_per_pass" json:"tokens_per_pass"` // bounds memory; a step takes as many passes as it needs
	// SharePrefixes deals files instead of windows to steps; the base computes
	// once what the windows of a file have in common.
	SharePrefixes bool   `yaml:"share_prefixes" json:"share_prefixes"`
	Stop          string `yaml:"stop" json:"stop"`           // next, eos or none
	Precision     string `yaml:"precision" json:"precision"` // of the frozen products: float32, bfloat16 or int8

	ValidateEvery int    `yaml:"validate_every" json:"validate_every"` // steps
	SaveEvery     int    `yaml:"save_every" json:"save_every"`         // steps
	Patience      int    `yaml:"patience" json:"patience"`             // validations without improvement before stopping; 0: never
	Select        string `yaml:"select" json:"select"`                 // cross_entropy or exact_match
	Store         string `yaml:"store" json:"store"`                   // type of the adapter's file: F32, F16 or BF16
}

// DefaultOptions are the paper's second LoRA setting (rank 16, alpha 32) for a
// method; full fine-tuning is of the last six layers.
func DefaultOptions(method string) Options {
	o := Options{
		Method: LoRA, Rank: 16, Seed: 1, LearningRate: 2e-4, FinalRate: 0.05, Schedule: Cosine, Warmup: 0.03, WeightDecay: 0.01, Clip: 1,
		TokensPerStep: 4096, TokensPerPass: 2048, Stop: StopNext, Precision: kernel.Float32.String(),
		ValidateEvery: 50, SaveEvery: 25, Patience: 8, Select: ByCrossEntropy, Store: string(safetensors.F32),
	}
	if method == Full {
		o.Method, o.Rank, o.Layers, o.LearningRate = Full, 0, 6, 2e-5
	}
	return o
}

// Validate reports every option that cannot work.
func (o *Options) Validate() error {
	var errs []error
	oneOf := func(name, v string, of ...string) {
		if !slices.Contains(of, v) {
			errs = append(errs, fmt.Errorf("%s %q: want %s", name, v, strings.Join(of, ", ")))
		}
	}
	least := func(name string, v, least int) {
		if v < least {
			errs = append(errs, fmt.Errorf("%s %d: want at least %d", name, v, least))
		}
	}
	within := func(name string, v, lo, hi float64) {
		if !(v >= lo && v <= hi) {
			errs = append(errs, fmt.Errorf("%s %g: want %g to %g", name, v, lo, hi))
		}
	}
	oneOf("method", o.Method, LoRA, Full)
	oneOf("schedule", o.Schedule, Cosine, Linear, Constant)
	oneOf("stop", o.Stop, StopNext, StopEOS, StopNone)
	oneOf("select", o.Select, ByCrossEntropy, ByExactMatch)
	oneOf("store", o.Store, string(safetensors.F32), string(safetensors.F16), string(safetensors.BF16))
	if o.Method == Full {
		if o.Rank != 0 || o.Alpha != 0 {
			errs = append(errs, errors.New("rank, alpha: the method full has none"))
		}
	} else {
		within("rank", float64(o.Rank), 1, 1<<12)
		within("alpha", o.Alpha, 0, 1e6)
	}
	ends := 0
	for _, v := range []int{o.Epochs, o.Steps, o.Draws} {
		if v > 0 {
			ends++
		}
	}
	if ends != 1 || o.Epochs < 0 || o.Steps < 0 || o.Draws < 0 {
		errs = append(errs, fmt.Errorf("epochs %d, steps %d, draws %d: want one of them above 0, the others 0", o.Epochs, o.Steps, o.Draws))
	}
	least("layers", o.Layers, 0)
	least("tokens_per_step", o.TokensPerStep, 1)
	least("tokens_per_pass", o.TokensPerPass, 1)
	least("validate_every", o.ValidateEvery, 1)
	least("save_every", o.SaveEvery, 1)
	least("patience", o.Patience, 0)
	within("learning_rate", o.LearningRate, 1e-9, 10)
	within("final_rate", o.FinalRate, 0, 1)
	within("warmup", o.Warmup, 0, 1)
	within("weight_decay", o.WeightDecay, 0, 10)
	within("clip", o.Clip, 0, math.MaxFloat64)
	if _, err := kernel.ParsePrecision(o.Precision); err != nil {
		errs = append(errs, fmt.Errorf("precision: %w", err))
	}
	if _, err := o.modules(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// modules are the adapted module types, in the order of a block.
func (o *Options) modules() ([]adapter.Module, error) {
	var ms []adapter.Module
	for _, name := range o.Modules {
		m, err := adapter.ParseModule(name)
		if err != nil {
			return nil, fmt.Errorf("modules: %w", err)
		}
		if slices.Contains(ms, m) {
			return nil, fmt.Errorf("modules: %q is listed twice", name)
		}
		ms = append(ms, m)
	}
	if len(ms) == 0 {
		for m := range adapter.NumModules {
			ms = append(ms, m)
		}
	}
	slices.Sort(ms)
	return ms, nil
}

// rate is the learning rate of a step, which counts from 0: a linear warm-up to
// the peak, then the schedule, which would arrive at the final rate one step
// after the last.
func (o *Options) rate(step, steps int) float64 {
	warmup := int(o.Warmup * float64(steps))
	if step < warmup {
		return o.LearningRate * float64(step+1) / float64(warmup)
	}
	x := min(float64(step-warmup)/float64(max(1, steps-warmup)), 1)
	left := 1.0 // share of what is above the final rate
	switch o.Schedule {
	case Cosine:
		left = 0.5 * (1 + math.Cos(math.Pi*x))
	case Linear:
		left = 1 - x
	}
	return o.LearningRate * (o.FinalRate + (1-o.FinalRate)*left)
}
