package hypernet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
)

// Head is a [Generator] that can be trained from scratch and stored in a
// [Checkpoint].
//
// Its life: [New] lays out the parameters without allocating them; [Head.Fit]
// and [Head.Init] prepare it for training, or [ReadTensors] fills it from a
// file. Generate may then be called from several goroutines at once, Backward
// may not.
type Head interface {
	Generator
	// Kind is the name under which the head is registered.
	Kind() string
	// Options are the resolved options: what [New] needs, as JSON, to lay out
	// the same head again.
	Options() any
	// Dims are the layers that generated adapters fit.
	Dims() adapter.Dims
	// Fit computes what is measured rather than trained, such as the mean and
	// the standard deviation of the inputs, from the representations of the
	// training repositories, and of no others.
	Fit(training []*embedding.Representation) error
	// Init sets every parameter to its initial value, which depends on the
	// seed and on the parameter's name only, and clears the gradients.
	Init(seed uint64)
	// Average returns the adapter at the mean of the training repositories.
	Average() (*adapter.Adapter, error)
	// Buffers returns what Fit computed, by tensor name; empty before Fit.
	Buffers() map[string]embedding.Tensor
	// SetBuffers is the inverse of Buffers. It checks shapes and values, and
	// refuses names that it does not know.
	SetBuffers(map[string]embedding.Tensor) error
}

// ContextHead is a [Head] that reads one vector, the context: the standardised
// repository vector, or the state of a recurrence over commits.
type ContextHead interface {
	Head
	// ContextSize is the length of the context.
	ContextSize() int
	// Context reads and standardises the vector of a representation.
	Context(rep *embedding.Representation) ([]float32, error)
	// GenerateContext is Generate after Context. It does not keep ctx.
	GenerateContext(ctx []float32) (*adapter.Adapter, ContextTape, error)
}

// ContextTape is a [Tape] that also gives the gradient of the context.
type ContextTape interface {
	Tape
	// ContextGrad is d(loss)/d(context), summed over the calls of Backward so
	// far. The slice belongs to the tape.
	ContextGrad() []float32
}

// Setup is what a head has to fit, beyond its own options.
type Setup struct {
	Dims adapter.Dims
	// Inputs has the shape of each tensor of a representation, so that options
	// need not repeat what the encoder decides. It may be nil if they do.
	Inputs map[string][]int
}

// InputsOf returns the shapes of the tensors of rep, for [Setup].
func InputsOf(rep *embedding.Representation) map[string][]int {
	shapes := make(map[string][]int, len(rep.Tensors))
	for name, t := range rep.Tensors {
		shapes[name] = slices.Clone(t.Shape)
	}
	return shapes
}

// Factory makes a head from its options, a JSON object in which every field
// may be missing.
type Factory func(options json.RawMessage, s Setup) (Head, error)

var registry = struct {
	sync.Mutex
	kinds map[string]Factory
}{kinds: map[string]Factory{
	DirectKind:    newDirect,
	FactoredKind:  newFactored,
	Text2LoRAKind: newText2LoRA,
}}

// Register adds a kind of head for [New] and [Load]. It panics if the name is
// taken.
func Register(kind string, f Factory) {
	registry.Lock()
	defer registry.Unlock()
	if registry.kinds[kind] != nil {
		panic(fmt.Sprintf("hypernet.Register: kind %q is registered already", kind))
	}
	registry.kinds[kind] = f
}

// Kinds lists the registered kinds in alphabetical order.
func Kinds() []string {
	registry.Lock()
	defer registry.Unlock()
	return slices.Sorted(maps.Keys(registry.kinds))
}

// New makes a head of the named kind. The options are anything that
// encoding/json can turn into an object: a map read from YAML, a
// [DirectOptions], a [json.RawMessage]; nil stands for the defaults. An option
// that the kind does not have is an error.
func New(kind string, options any, s Setup) (Head, error) {
	registry.Lock()
	factory := registry.kinds[kind]
	registry.Unlock()
	if factory == nil {
		return nil, fmt.Errorf("unknown kind of head %q: want one of %s", kind, strings.Join(Kinds(), ", "))
	}
	raw, err := json.Marshal(options)
	if err != nil {
		return nil, fmt.Errorf("options of %s head: %w", kind, err)
	}
	head, err := factory(raw, s)
	if err != nil {
		return nil, fmt.Errorf("%s head: %w", kind, err)
	}
	return head, nil
}

// decodeOptions overwrites the defaults in opts with the fields given in raw.
func decodeOptions(raw json.RawMessage, opts any) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(opts); err != nil {
		return fmt.Errorf("options: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("options: more than one JSON value")
	}
	return nil
}

// Limits on what options and checkpoints may ask for. They lie far above any
// real model and keep every product of them within 63 bits.
const (
	maxLayers = 1 << 10
	maxWidth  = 1 << 24 // of a layer, an input or a hidden layer
	maxRank   = 1 << 12
)

// validateDims reports dimensions that no model has.
func validateDims(d adapter.Dims, modules []adapter.Module) error {
	if d.NumHiddenLayers < 1 || d.NumHiddenLayers > maxLayers {
		return fmt.Errorf("%d layers: want 1 to %d", d.NumHiddenLayers, maxLayers)
	}
	for _, m := range modules {
		if s := d.Modules[m]; s.In < 1 || s.Out < 1 || s.In > maxWidth || s.Out > maxWidth {
			return fmt.Errorf("%s maps %d to %d values: want 1 to %d", m, s.In, s.Out, maxWidth)
		}
	}
	return nil
}

// parseModules resolves the names of target modules, all seven if there are
// none, and sorts them alphabetically as the authors' checkpoints do.
func parseModules(names []string) ([]adapter.Module, []string, error) {
	if len(names) == 0 {
		for m := range adapter.NumModules {
			names = append(names, m.String())
		}
	}
	names = slices.Sorted(slices.Values(names))
	modules := make([]adapter.Module, len(names))
	for i, n := range names {
		if i > 0 && names[i-1] == n {
			return nil, nil, fmt.Errorf("modules: %q is listed twice", n)
		}
		m, err := adapter.ParseModule(n)
		if err != nil {
			return nil, nil, fmt.Errorf("modules: %w", err)
		}
		modules[i] = m
	}
	return modules, names, nil
}

// resolve fills in what a head's options left to its setup, and returns the
// modules by these names, whose dimensions it has checked.
func (s Setup) resolve(input *InputOptions, names *[]string) ([]adapter.Module, error) {
	modules, sorted, err := parseModules(*names)
	if err != nil {
		return nil, err
	}
	*names = sorted
	if err := errors.Join(input.resolve(s), validateDims(s.Dims, modules)); err != nil {
		return nil, err
	}
	return modules, nil
}

// validateLoRA checks the two numbers that every adapter has.
func validateLoRA(rank int, alpha float64) error {
	var errs []error
	if rank < 1 || rank > maxRank {
		errs = append(errs, fmt.Errorf("rank %d: want 1 to %d", rank, maxRank))
	}
	if !(alpha > 0) || alpha > 1e6 {
		errs = append(errs, fmt.Errorf("alpha %g: want above 0, at most 1e6", alpha))
	}
	return errors.Join(errs...)
}
