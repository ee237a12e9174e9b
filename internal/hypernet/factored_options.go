package hypernet

import (
	"errors"
	"fmt"
	"slices"

	"github.com/code2lora/code2lora/internal/embedding"
)

// FactoredKind is the kind of [Factored].
const FactoredKind = "factored"

// How a [Factored] head depends on the repository.
const (
	// ConditionNone makes the same adapter for every repository: plain LoRA,
	// the control that a conditioned head has to beat.
	ConditionNone = "none"
	// ConditionCore mixes the rows of A with a matrix that depends on the
	// repository.
	ConditionCore = "core"
	// ConditionBases adds basis factors, weighted by the repository.
	ConditionBases = "bases"
)

// Forms of the mixing matrix of [ConditionCore].
const (
	GateDiagonal = "diagonal"
	GateFull     = "full"
)

// Factors that [ConditionBases] changes.
const (
	FactorsBoth = "ab"
	FactorsB    = "b"
)

// FactoredOptions configure a [Factored] head.
type FactoredOptions struct {
	Rank         int      `json:"rank" yaml:"rank"`                 // r of the adapters
	Alpha        float64  `json:"alpha" yaml:"alpha"`               // alpha of the adapters
	Modules      []string `json:"modules" yaml:"modules"`           // target modules; none: all seven
	Conditioning string   `json:"conditioning" yaml:"conditioning"` // none, core or bases
	// FirstLayer is the lowest layer that is adapted. What the layers below compute
	// is the same for all repositories, so a training run may keep it on disk.
	FirstLayer int `json:"first_layer,omitempty" yaml:"first_layer"`
	// Coefficients is n, the length of z; 0 takes the context as it is.
	Coefficients int `json:"coefficients" yaml:"coefficients"`
	// Hidden is the width of the trunk's hidden layer; 0 makes it linear.
	Hidden int `json:"hidden" yaml:"hidden"`
	// Gate is the form of D(z), for core: diagonal or full.
	Gate string `json:"gate" yaml:"gate"`
	// MeanRank is the number of components that the average adapter has, for
	// core; the others are there only where z turns them on. 0 means Rank.
	MeanRank int `json:"mean_rank" yaml:"mean_rank"`
	// SharedBases makes all layers of a module type share their bases.
	SharedBases bool `json:"shared_bases" yaml:"shared_bases"`
	// Factors says what bases change: ab, or only b, which makes the update
	// linear in z.
	Factors string `json:"factors" yaml:"factors"`
	// Inject names a tensor of the representation that is a direction of the
	// residual stream, such as [embedding.Lexicon]. The layers that write to the
	// stream (o_proj and down_proj) learn how much of it to add; empty: none.
	Inject string       `json:"inject,omitempty" yaml:"inject"`
	Input  InputOptions `json:"input" yaml:"input"`
}

// DefaultFactoredOptions are chosen for about a hundred training repositories
// and a checkpoint of a few megabytes.
func DefaultFactoredOptions() FactoredOptions {
	return FactoredOptions{
		Rank: 8, Alpha: 16, Conditioning: ConditionCore, Coefficients: 16, Gate: GateFull,
		SharedBases: true, Factors: FactorsBoth,
		Input: InputOptions{Tensor: embedding.Repository, Standardize: StandardizePCA, Components: 32, Clip: 3},
	}
}

// Validate reports every option that cannot work.
func (o *FactoredOptions) Validate() error {
	errs := []error{validateLoRA(o.Rank, o.Alpha), o.Input.Validate()}
	choice := func(name, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			errs = append(errs, fmt.Errorf("%s %q: want one of %q", name, value, allowed))
		}
	}
	choice("conditioning", o.Conditioning, ConditionNone, ConditionCore, ConditionBases)
	choice("gate", o.Gate, GateDiagonal, GateFull)
	choice("factors", o.Factors, FactorsBoth, FactorsB)
	if o.Coefficients < 0 || o.Coefficients > maxRank {
		errs = append(errs, fmt.Errorf("coefficients %d: want 0 (the context itself) to %d", o.Coefficients, maxRank))
	}
	if o.Coefficients == 0 && o.Input.Width() > maxRank {
		errs = append(errs, fmt.Errorf("coefficients 0 with an input of %d values: want at most %d", o.Input.Width(), maxRank))
	}
	if o.Hidden < 0 || o.Hidden > maxWidth {
		errs = append(errs, fmt.Errorf("hidden %d: want 0 (linear) to %d", o.Hidden, maxWidth))
	}
	if o.Hidden > 0 && o.Coefficients == 0 {
		errs = append(errs, fmt.Errorf("hidden %d without coefficients: the hidden layer needs an output; set coefficients", o.Hidden))
	}
	if o.FirstLayer < 0 {
		errs = append(errs, fmt.Errorf("first_layer %d: want 0 (all layers) or more", o.FirstLayer))
	}
	if o.MeanRank < 0 || o.MeanRank > o.Rank {
		errs = append(errs, fmt.Errorf("mean_rank %d: want 0 (the whole rank) to %d", o.MeanRank, o.Rank))
	}
	return errors.Join(errs...)
}

// meanRank resolves MeanRank.
func (o *FactoredOptions) meanRank() int {
	if o.MeanRank == 0 {
		return o.Rank
	}
	return o.MeanRank
}
