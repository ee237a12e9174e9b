package engine

import (
	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
)

// Handle is an adapter that is ready for decoding: packed, and known by its
// digest. Requests with one adapter share a handle; a nil one stands for the
// bare base. A handle may be used concurrently, and keeps no reference to the
// adapter it was made from.
type Handle struct {
	packed *model.Packed
	rank   int
	digest string
}

// Handle packs an adapter, and computes its digest, which takes some tens of
// milliseconds. It returns nil for a nil adapter.
func (e *Engine) Handle(a *adapter.Adapter) (*Handle, error) {
	if a == nil {
		return nil, nil
	}
	p, err := e.Model.Pack(a)
	if err != nil {
		return nil, err
	}
	return &Handle{p, a.Rank, adapter.Digest(a)}, nil
}

// Bytes returns the memory that the packed adapter takes.
func (h *Handle) Bytes() int64 {
	if h == nil {
		return 0
	}
	return h.packed.Bytes()
}

// key says which caches a request may use: those that the same adapter, by its
// content, filled in the same precision.
func (h *Handle) key() string {
	p := kernel.CurrentPrecision().String()
	if h == nil {
		return p + " base"
	}
	return p + " adapter " + h.digest
}

// pack returns what the model knows the adapter by.
func (h *Handle) pack() *model.Packed {
	if h == nil {
		return nil
	}
	return h.packed
}
