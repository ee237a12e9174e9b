// Package method has the methods that RepoPeftBench compares, behind one
// interface, and runs them.
//
// A [Method] is prepared for what may be seen of a repository, a
// disclosure.View, and then asked: for each query it returns a [Prompt], which
// is all that a method can do to an answer: text before the prefix, and an
// adapter. The rest is the same for all: a [Runner] lays out the tokens, scores
// the target, and decodes the answer. Neither a View nor a query has the
// answer, so a method cannot look.
package method

import (
	"context"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// Method is one way to make a base model know a repository.
type Method interface {
	// Name identifies the method and its settings in results.
	Name() string
	// Prepare reads what may be seen of a repository while one of its files is
	// asked about. It is called again for other files of the repository, so what
	// is expensive should be kept by blob.
	Prepare(ctx context.Context, v *disclosure.View) (Asker, error)
}

// Asker answers queries about one file.
type Asker interface {
	// Ask returns the prompt for a query, with a context of at most as many
	// tokens as the room has.
	Ask(ctx context.Context, q repopeft.Query, r Room) (Prompt, error)
}

// Room is what a context may take.
type Room struct {
	Tokens int
	Count  func(text string) int // tokens of a text
}

// Prompt is what a method contributes to the answer of a query.
type Prompt struct {
	Context string           // text before the prefix; "" for none
	Adapter *adapter.Adapter // nil: the bare base. The same adapter for several queries should be the same pointer.
}

// Base is the pretrained model as it is.
type Base struct{}

// Name implements [Method].
func (Base) Name() string { return "base" }

// Prepare implements [Method].
func (Base) Prepare(context.Context, *disclosure.View) (Asker, error) { return constant{}, nil }

// Fixed is one adapter for all repositories: a single LoRA, or a fine-tuned
// model as the difference from its base.
type Fixed struct {
	As      string // its name
	Adapter *adapter.Adapter
}

// Name implements [Method].
func (f *Fixed) Name() string { return f.As }

// Prepare implements [Method].
func (f *Fixed) Prepare(context.Context, *disclosure.View) (Asker, error) {
	return constant{Prompt{Adapter: f.Adapter}}, nil
}

// constant gives the same prompt to every query.
type constant struct{ prompt Prompt }

func (c constant) Ask(context.Context, repopeft.Query, Room) (Prompt, error) { return c.prompt, nil }
