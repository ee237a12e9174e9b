package main

import (
	"errors"
	"testing"

	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/follow"
)

// readsTests is a follower whose states read tests.
type readsTests struct{ evolve.Represented }

func (readsTests) ReadsTests() bool { return true }

// TestHeldOutRefuses holds that tasks of files which a state may have read are no
// held-out ones.
func TestHeldOutRefuses(t *testing.T) {
	type unknown struct{ evolve.Follower }
	for _, f := range []evolve.Follower{readsTests{}, unknown{}} {
		if _, err := (&followed{Job: follow.Job{Follower: f}}).heldOut(1, 64, nil); !errors.Is(err, errInput) {
			t.Errorf("%T: got %v, want it refused", f, err)
		}
	}
}
