package encoder

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Kinds of encoders.
const (
	KindHidden      = "hidden"      // the base model's own hidden states
	KindLexical     = "lexical"     // hashed counts of the words in identifiers
	KindDescription = "description" // hidden states of a text about the repository
)

// Options choose an encoder. Everything that changes its result is here and
// in the encoder's id; a checkpoint stores the id, so that a repository is
// always encoded as the training repositories were.
type Options struct {
	Kind string `yaml:"kind"`
	// Base is the SHA-256 of the base model's weights, for hidden. Whoever loads
	// the base sets it, not a configuration.
	Base string `yaml:"-"`
	// Layer is the number of blocks that the hidden states have passed.
	Layer int `yaml:"layer"`
	// Chunk and Overlap are the length of a window of tokens, and what
	// neighbouring windows share; windows shorter than Min are dropped. Of a
	// description, the first Chunk tokens are read.
	Chunk   int `yaml:"chunk"`
	Overlap int `yaml:"overlap"`
	Min     int `yaml:"min"`
	// MaxChunks bounds the windows read of one file (evenly spread); 0: all.
	MaxChunks int `yaml:"max_chunks"`
	// MaxFiles bounds the files read of a repository: those with the lowest
	// blob ids, a choice that is arbitrary but stable; 0: all.
	MaxFiles int `yaml:"max_files"`
	// Lexicon appends to each file vector what the file's tokens look like in
	// the space of the base's logits, all of them read; see [embedding.Lexicon].
	Lexicon bool `yaml:"lexicon"`
	// Second adds the second moments of file vectors to the representation, of the
	// square of their length; see [embedding.Second].
	Second bool `yaml:"second_moments"`
	// Cross adds the cross moments of file vectors with this many random
	// projections of them, a sketch of the second moments; see [embedding.Cross].
	Cross int `yaml:"cross_moments"`
	// Tests includes test files. They hold the answers of the benchmark.
	Tests bool `yaml:"tests"`
	// Dim is the length of the vector, for lexical.
	Dim int `yaml:"dim"`
}

// DefaultOptions are the options of a kind; an empty kind means hidden.
func DefaultOptions(kind string) Options {
	switch kind {
	case KindLexical:
		return Options{Kind: KindLexical, Dim: 1024}
	case KindDescription:
		return Options{Kind: KindDescription, Layer: 8, Chunk: 256}
	}
	return Options{Kind: KindHidden, Layer: 8, Chunk: 256, Min: 8}
}

// Validate reports every option that cannot work.
func (o *Options) Validate() error {
	var errs []error
	within := func(name string, v, lo, hi int) {
		if v < lo || v > hi {
			errs = append(errs, fmt.Errorf("%s %d: want %d to %d", name, v, lo, hi))
		}
	}
	switch o.Kind {
	case KindHidden:
		within("layer", o.Layer, 0, 1<<10)
		within("chunk", o.Chunk, 1, 1<<15)
		within("overlap", o.Overlap, 0, o.Chunk-1)
		within("min", o.Min, 1, o.Chunk)
		within("max_chunks", o.MaxChunks, 0, 1<<20)
	case KindDescription:
		within("layer", o.Layer, 0, 1<<10)
		within("chunk", o.Chunk, 1, 1<<15)
		if o.Overlap != 0 || o.MaxChunks != 0 || o.MaxFiles != 0 || o.Lexicon || o.Second || o.Cross != 0 || o.Tests {
			errs = append(errs, fmt.Errorf("overlap, max_chunks, max_files, lexicon, second_moments, cross_moments, tests: the encoder %s has no such option", KindDescription))
		}
	case KindLexical:
		within("dim", o.Dim, 16, 1<<20)
		if o.Lexicon {
			errs = append(errs, fmt.Errorf("lexicon: only the encoder %s has one, which needs a base model", KindHidden))
		}
	default:
		errs = append(errs, fmt.Errorf("kind %q: want %s, %s or %s", o.Kind, KindHidden, KindLexical, KindDescription))
	}
	within("max_files", o.MaxFiles, 0, 1<<30)
	within("cross_moments", o.Cross, 0, 1<<12)
	return errors.Join(errs...)
}

// ID names the encoder with all its options, such as
//
//	hidden/1 base=b179… layer=8 chunk=256 overlap=0 min=8 max_chunks=2 max_files=48 lexicon=true tests=false
//
// followed by the moments, if there are any. The number is the version of the
// algorithm. [ParseID] is the inverse.
func (o *Options) ID() string {
	id := fmt.Sprintf("hidden/1 base=%s layer=%d chunk=%d overlap=%d min=%d max_chunks=%d max_files=%d lexicon=%t tests=%t",
		o.Base, o.Layer, o.Chunk, o.Overlap, o.Min, o.MaxChunks, o.MaxFiles, o.Lexicon, o.Tests)
	switch o.Kind {
	case KindLexical:
		id = fmt.Sprintf("lexical/1 dim=%d max_files=%d tests=%t", o.Dim, o.MaxFiles, o.Tests)
	case KindDescription:
		id = fmt.Sprintf("description/1 base=%s layer=%d chunk=%d", o.Base, o.Layer, o.Chunk)
	}
	if o.Second {
		id += " second_moments=true"
	}
	if o.Cross != 0 {
		id += fmt.Sprintf(" cross_moments=%d", o.Cross)
	}
	return id
}

// ParseID reads the id of an encoder.
func ParseID(id string) (Options, error) {
	fields := strings.Fields(id)
	if len(fields) == 0 {
		return Options{}, errors.New("encoder id is empty")
	}
	kind, version, _ := strings.Cut(fields[0], "/")
	if version != "1" {
		return Options{}, fmt.Errorf("encoder id %q: want version 1 of %s, %s or %s", id, KindHidden, KindLexical, KindDescription)
	}
	o := Options{Kind: kind}
	ints := map[string]*int{"layer": &o.Layer, "chunk": &o.Chunk, "overlap": &o.Overlap, "min": &o.Min,
		"max_chunks": &o.MaxChunks, "max_files": &o.MaxFiles, "dim": &o.Dim, "cross_moments": &o.Cross}
	for _, f := range fields[1:] {
		key, value, _ := strings.Cut(f, "=")
		var err error
		switch {
		case key == "base":
			o.Base = value
		case key == "tests":
			o.Tests, err = strconv.ParseBool(value)
		case key == "lexicon":
			o.Lexicon, err = strconv.ParseBool(value)
		case key == "second_moments":
			o.Second, err = strconv.ParseBool(value)
		case ints[key] != nil:
			*ints[key], err = strconv.Atoi(value)
		default:
			err = errors.New("unknown option")
		}
		if err != nil {
			return o, fmt.Errorf("encoder id %q: option %s: %w", id, key, err)
		}
	}
	if err := o.Validate(); err != nil {
		return o, fmt.Errorf("encoder id %q: %w", id, err)
	}
	return o, nil
}
