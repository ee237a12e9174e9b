// Package compute is the one way in which training and evaluation reach the
// base model: a [Request] goes to a [Backend], a [Response] comes back.
//
// A request is plain data and says everything: which base, which precision,
// the adapters as they are, the packed batch. A backend keeps nothing between
// requests, so any that has the same base may answer any request, in any order,
// and again after a failure. The same request has the same answer, bit for bit,
// on one kind of processor.
//
// [Local] computes in this process. [Pool] splits a request over several
// backends and adds their gradients in the order of the batch, whoever answers
// first. [Trunk] reads the output of layers that no adapter touches from disk.
// [RoundTrip] turns requests and responses into bytes and back around another
// backend, which is what a worker elsewhere would do; see [EncodeRequest] for
// the format.
package compute

import (
	"context"
	"errors"
	"fmt"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
)

// Operation is what a request asks for.
type Operation uint32

const (
	// Score asks for the loss, and for the negative log-likelihood and the most
	// likely token at every label.
	Score Operation = 1 + iota
	// Gradient asks for the gradient of the loss with respect to the adapters
	// too.
	Gradient
)

// String returns "score" or "gradient".
func (o Operation) String() string {
	switch o {
	case Score:
		return "score"
	case Gradient:
		return "gradient"
	}
	return fmt.Sprintf("Operation(%d)", uint32(o))
}

// Request is one request to the expensive pure function of this project.
// Neither side changes it or keeps parts of it.
type Request struct {
	Base      string // SHA-256 of the base's weight file, lower-case hex
	Precision kernel.Precision
	Operation Operation
	Options   model.GradientOptions // of [Gradient]
	// Batch has the adapters whole, not as changes to ones that were sent before,
	// so that no backend has to remember any. Their provenance is not part of a
	// request.
	model.Batch
}

// Response answers a [Request].
type Response struct{ model.Result }

// Info describes the base model of a backend.
type Info struct {
	Base       string // SHA-256 of its weight file, lower-case hex
	Config     model.Config
	MaxContext int              // longest sequence, in tokens
	Precision  kernel.Precision // in which it computes
}

// Backend answers requests. Its methods may be called concurrently.
type Backend interface {
	// Do answers a request. Requests for another base than that of Info are
	// refused with [ErrBase], for another precision with [ErrPrecision].
	Do(ctx context.Context, r *Request) (*Response, error)
	Info() Info
}

var (
	// ErrBase is returned for a request about another base model.
	ErrBase = errors.New("request for another base model")
	// ErrPrecision is returned for a request that asks for another precision.
	ErrPrecision = errors.New("request for another precision")
)

// NewRequest returns a request that the backend's base can answer.
func NewRequest(b Backend, op Operation, batch model.Batch, opt model.GradientOptions) *Request {
	info := b.Info()
	return &Request{Base: info.Base, Precision: info.Precision, Operation: op, Options: opt, Batch: batch}
}

// check reports why a request is not one for the base.
func (i *Info) check(r *Request) error {
	if r.Base != i.Base {
		return fmt.Errorf("%w: its weights have SHA-256 %q, those here %q", ErrBase, r.Base, i.Base)
	}
	if r.Precision != i.Precision {
		return fmt.Errorf("%w: %s, and this process computes in %s", ErrPrecision, r.Precision, i.Precision)
	}
	return nil
}

// Local is the backend in this process.
type Local struct {
	Model *model.Model
	Base  string // SHA-256 of the model's weight file, lower-case hex
}

// Info describes the model and the precision that the process computes in now.
func (l *Local) Info() Info {
	return Info{Base: l.Base, Config: l.Model.Config, MaxContext: l.Model.MaxContext(), Precision: kernel.CurrentPrecision()}
}

// Do computes the answer.
func (l *Local) Do(ctx context.Context, r *Request) (*Response, error) {
	info := l.Info()
	if err := info.check(r); err != nil {
		return nil, err
	}
	var res *model.Result
	var err error
	switch r.Operation {
	case Score:
		res, err = l.Model.Score(ctx, r.Batch)
	case Gradient:
		res, err = l.Model.Gradient(ctx, r.Batch, r.Options)
	default:
		return nil, fmt.Errorf("request has operation %d: want %d (%s) or %d (%s)", uint32(r.Operation), Score, Score, Gradient, Gradient)
	}
	if err != nil {
		return nil, err
	}
	return &Response{*res}, nil
}

// RoundTrip is a backend that hands another one nothing but bytes, and reads
// its answers from bytes.
type RoundTrip struct{ Backend Backend }

// Info is that of the other backend.
func (t RoundTrip) Info() Info { return t.Backend.Info() }

// Do encodes the request, lets the other backend answer what was decoded, and
// returns the decoded answer.
func (t RoundTrip) Do(ctx context.Context, r *Request) (*Response, error) {
	message, err := EncodeRequest(r)
	if err != nil {
		return nil, err
	}
	if r, err = DecodeRequest(message); err != nil {
		return nil, err
	}
	res, err := t.Backend.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	if message, err = EncodeResponse(res); err != nil {
		return nil, err
	}
	if res, err = DecodeResponse(message); err != nil {
		return nil, err
	}
	return res, res.Fits(r)
}
