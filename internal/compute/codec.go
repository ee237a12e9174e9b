package compute

import (
	"fmt"
	"maps"
	"slices"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
)

// EncodeRequest writes a request as bytes; the same request always gives the
// same. After the header (magic, length, checksum) come, all numbers
// little-endian, lists after their lengths (uint32):
//
//	base        string
//	precision   string
//	operation   uint32
//	detach      uint32, 0 or 1
//	activations int32 …
//	from        int32
//	pairs       for each distinct pair of factors: A float32 …, B float32 …
//	adapters    for each: dimensions, rank, alpha (float64), and for each layer
//	            seven times 0 or 1 + the index of a pair
//	sequences   for each: adapter, prefix, prefix length int32; tokens int32 …;
//	            labels (position, target int32, weight float32) …; 0, or 1 and
//	            hidden states float32 …
//
// Strings are padded with zeros to a multiple of four bytes. Pairs that several
// layers or adapters share are there once, and shared again when decoded.
// Provenances are left out.
func EncodeRequest(r *Request) ([]byte, error) {
	w := newWriter(requestMagic, adaptersSize(r.Adapters)+sequencesSize(r.Sequences)+1<<10)
	w.string(r.Base)
	w.string(r.Precision.String())
	w.u32(uint32(r.Operation))
	w.bool(r.Options.Detach)
	w.int("number of activations", len(r.Options.Activations))
	for _, l := range r.Options.Activations {
		w.int("layer of an activation", l)
	}
	w.int("first layer", r.From)
	w.adapters(r.Adapters)
	w.int("number of sequences", len(r.Sequences))
	for i := range r.Sequences {
		w.sequence(&r.Sequences[i])
	}
	m, err := w.message()
	if err != nil {
		return nil, fmt.Errorf("encoding a request: %w", err)
	}
	return m, nil
}

// DecodeRequest is the inverse of [EncodeRequest]. It accepts bytes from
// anywhere: what it allocates is bounded by a small multiple of them. Whether
// the request makes sense for a model is for the backend to say. The request
// keeps the message, which must not be changed afterwards.
func DecodeRequest(message []byte) (*Request, error) {
	in, r := newReader(requestMagic, message), &Request{}
	r.Base = in.string()
	precision := in.string()
	r.Operation = Operation(in.u32())
	r.Options.Detach = in.bool()
	for range in.count(4) {
		r.Options.Activations = append(r.Options.Activations, in.int())
	}
	r.From = in.int()
	r.Adapters = in.adapters()
	if n := in.count(sequenceSize); n > 0 {
		r.Sequences = make([]model.Sequence, n)
	}
	for i := range r.Sequences {
		in.sequence(&r.Sequences[i])
	}
	err := in.end()
	if err == nil {
		r.Precision, err = kernel.ParsePrecision(precision)
	}
	if err != nil {
		return nil, fmt.Errorf("decoding a request: %w", err)
	}
	return r, nil
}

// EncodeResponse writes a response as bytes, in the manner of [EncodeRequest]:
//
//	loss        float64
//	sequences   for each: NLL float32 …, most likely tokens int32 …
//	pairs, adapters   the gradients, as in a request
//	activations for each: layer int32, gradient float32 …
func EncodeResponse(r *Response) ([]byte, error) {
	size := adaptersSize(r.Grads) + 1<<10
	for i := range r.NLL {
		size += 8 + 8*len(r.NLL[i])
	}
	for _, dx := range r.Activations {
		size += 8 + 4*len(dx)
	}
	w := newWriter(responseMagic, size)
	if len(r.NLL) != len(r.Argmax) {
		return nil, fmt.Errorf("encoding a response: values of %d sequences and tokens of %d", len(r.NLL), len(r.Argmax))
	}
	w.f64(r.Loss)
	w.int("number of sequences", len(r.NLL))
	for i := range r.NLL {
		w.floats(r.NLL[i])
		w.int32s(r.Argmax[i])
	}
	w.adapters(r.Grads)
	w.int("number of activations", len(r.Activations))
	for _, l := range slices.Sorted(maps.Keys(r.Activations)) {
		w.int("layer of an activation", l)
		w.floats(r.Activations[l])
	}
	m, err := w.message()
	if err != nil {
		return nil, fmt.Errorf("encoding a response: %w", err)
	}
	return m, nil
}

// DecodeResponse is the inverse of [EncodeResponse]; see [DecodeRequest], and
// [Response.Fits].
func DecodeResponse(message []byte) (*Response, error) {
	in, r := newReader(responseMagic, message), &Response{}
	r.Loss = in.f64()
	if n := in.count(8); n > 0 {
		r.NLL, r.Argmax = make([][]float32, n), make([][]int32, n)
	}
	for i := range r.NLL {
		r.NLL[i], r.Argmax[i] = in.floats(), in.int32s()
	}
	r.Grads = in.adapters()
	last := -1
	for range in.count(8) {
		l := in.int()
		if l <= last {
			in.fail("the layers of its activations are not in order")
			break
		}
		if r.Activations == nil {
			r.Activations = map[int][]float32{}
		}
		r.Activations[l], last = in.floats(), l
	}
	if err := in.end(); err != nil {
		return nil, fmt.Errorf("decoding a response: %w", err)
	}
	return r, nil
}

// Fits reports the first thing in a response that cannot answer a request:
// whoever gets it from elsewhere should ask before using it.
func (r *Response) Fits(q *Request) error {
	if len(r.NLL) != len(q.Sequences) || len(r.Argmax) != len(q.Sequences) {
		return fmt.Errorf("response has %d sequences, the request %d", len(r.NLL), len(q.Sequences))
	}
	tokens := 0
	for i, s := range q.Sequences {
		if len(r.NLL[i]) != len(s.Labels) || len(r.Argmax[i]) != len(s.Labels) {
			return fmt.Errorf("response has %d values and %d tokens for sequence %d, want %d", len(r.NLL[i]), len(r.Argmax[i]), i, len(s.Labels))
		}
		tokens += len(s.Tokens)
	}
	if q.Operation != Gradient {
		return nil
	}
	if len(r.Grads) != len(q.Adapters) {
		return fmt.Errorf("response has %d gradients, want %d", len(r.Grads), len(q.Adapters))
	}
	for i, g := range r.Grads {
		if !sameShape(g, q.Adapters[i]) {
			return fmt.Errorf("response has a gradient of another shape than adapter %d", i)
		}
	}
	for _, l := range q.Options.Activations {
		if dx, ok := r.Activations[l]; !ok || tokens == 0 || len(dx)%tokens != 0 {
			return fmt.Errorf("response has %d values for the input of layer %d, want some for each of %d tokens", len(dx), l, tokens)
		}
	}
	return nil
}

// sameShape reports whether g can be the gradient of a.
func sameShape(g, a *adapter.Adapter) bool {
	if g == nil || a == nil || g.Dims != a.Dims || g.Rank != a.Rank || len(g.Layers) != len(a.Layers) {
		return false
	}
	for l := range a.Layers {
		for m, p := range a.Layers[l] {
			q := g.Layers[l][m]
			if (p == nil) != (q == nil) || p != nil && (len(p.A) != len(q.A) || len(p.B) != len(q.B)) {
				return false
			}
		}
	}
	return true
}

// sequenceSize is the least that a sequence takes.
const sequenceSize = 6 * 4

func sequencesSize(seqs []model.Sequence) (n int) {
	for i := range seqs {
		s := &seqs[i]
		n += sequenceSize + 4*len(s.Tokens) + 12*len(s.Labels) + 4*len(s.Hidden) + 4
	}
	return n
}

func (w *writer) sequence(s *model.Sequence) {
	w.int("adapter of a sequence", s.Adapter)
	w.int("prefix of a sequence", s.Prefix)
	w.int("prefix length of a sequence", s.PrefixLen)
	w.int32s(s.Tokens)
	w.int("number of labels", len(s.Labels))
	for _, l := range s.Labels {
		w.int("position of a label", l.Pos)
		w.u32(uint32(l.Target))
		w.f32(l.Weight)
	}
	w.bool(s.Hidden != nil)
	if s.Hidden != nil {
		w.floats(s.Hidden)
	}
}

func (r *reader) sequence(s *model.Sequence) {
	s.Adapter, s.Prefix, s.PrefixLen = r.int(), r.int(), r.int()
	s.Tokens = r.int32s()
	if n := r.count(12); n > 0 {
		s.Labels = make([]model.Label, n)
	}
	for i := range s.Labels {
		s.Labels[i] = model.Label{Pos: r.int(), Target: int32(r.u32()), Weight: r.f32()}
	}
	if r.bool() {
		if s.Hidden = r.floats(); s.Hidden == nil {
			s.Hidden = []float32{}
		}
	}
}

func adaptersSize(as []*adapter.Adapter) (n int) {
	for _, a := range as {
		if a != nil {
			n += 4*a.NumParameters() + 8*len(a.Pairs()) + 4*int(adapter.NumModules)*len(a.Layers) + 128 + len(a.Dims.Arch)
		}
	}
	return n
}

// adapters appends the distinct pairs of several adapters, and the adapters.
func (w *writer) adapters(as []*adapter.Adapter) {
	index := map[*adapter.Pair]int{}
	var pairs []*adapter.Pair
	for i, a := range as {
		if a == nil {
			w.fail("adapter %d is nil: sequences of the bare base have adapter -1", i)
			return
		}
		for _, e := range a.Pairs() {
			if index[e.Pair] == 0 {
				pairs = append(pairs, e.Pair)
				index[e.Pair] = len(pairs)
			}
		}
	}
	w.int("number of pairs", len(pairs))
	for _, p := range pairs {
		w.floats(p.A)
		w.floats(p.B)
	}
	w.int("number of adapters", len(as))
	for _, a := range as {
		w.dims(a.Dims)
		w.int("rank", a.Rank)
		w.f64(a.Alpha)
		w.int("number of layers", len(a.Layers))
		for _, layer := range a.Layers {
			for _, p := range layer {
				w.u32(uint32(index[p]))
			}
		}
	}
}

// adapters reads what [writer.adapters] wrote.
func (r *reader) adapters() []*adapter.Adapter {
	pairs := make([]*adapter.Pair, r.count(8))
	for i := range pairs {
		pairs[i] = &adapter.Pair{A: r.floats(), B: r.floats()}
	}
	var as []*adapter.Adapter
	for range r.count(4 * int(adapter.NumModules)) {
		a := &adapter.Adapter{Dims: r.dims(), Rank: r.int(), Alpha: r.f64()}
		a.Layers = make([][adapter.NumModules]*adapter.Pair, r.count(4*int(adapter.NumModules)))
		for l := range a.Layers {
			for m := range a.Layers[l] {
				switch i := r.u32(); {
				case i > uint32(len(pairs)):
					r.fail("an adapter has pair %d of %d", i, len(pairs))
				case i > 0:
					a.Layers[l][m] = pairs[i-1]
				}
			}
		}
		as = append(as, a)
		if r.err != nil {
			return nil
		}
	}
	return as
}

func (w *writer) dims(d adapter.Dims) {
	w.string(d.Arch)
	w.int("number of layers", d.NumHiddenLayers)
	w.int("number of heads", d.NumAttentionHeads)
	w.int("number of key/value heads", d.NumKeyValueHeads)
	for _, s := range d.Modules {
		w.int("inputs of a layer", s.In)
		w.int("outputs of a layer", s.Out)
	}
}

func (r *reader) dims() adapter.Dims {
	d := adapter.Dims{Arch: r.string(), NumHiddenLayers: r.int(), NumAttentionHeads: r.int(), NumKeyValueHeads: r.int()}
	for m := range d.Modules {
		d.Modules[m] = adapter.Shape{In: r.int(), Out: r.int()}
	}
	return d
}
