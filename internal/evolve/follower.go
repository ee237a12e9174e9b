package evolve

import (
	"context"
	"encoding"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/gitrepo"
)

// State is what is known of a repository at a commit. It is not changed once it
// is made. Its binary form is canonical: equal states have equal bytes.
type State interface {
	encoding.BinaryMarshaler
	// Steps is the number of commits since it was begun; always 0 of a state that
	// is the same whichever way it came to its commit.
	Steps() int
}

// Follower carries states over the commits of a repository. Its methods may be
// called concurrently.
type Follower interface {
	// ID names everything that its states depend on: kind, checkpoint, encoder.
	// States of another id are not its own.
	ID() string
	// Begin makes the state at a commit from nothing. report may be nil.
	Begin(ctx context.Context, r *gitrepo.Repo, commit string, report func(encoder.Progress)) (State, error)
	// Advance carries the state at a commit's first parent, whose tree is
	// parentTree, over that commit. s stays as it is.
	Advance(ctx context.Context, r *gitrepo.Repo, s State, step gitrepo.Step, parentTree string) (State, error)
	// Decode reads the binary form of a state of this follower.
	Decode(data []byte) (State, error)
	// Adapter generates the adapter of a state, with its provenance as far as it
	// is known.
	Adapter(s State) (*adapter.Adapter, error)
}
