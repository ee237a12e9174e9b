package compute

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
)

// requests are requests of all kinds, by name.
func requests(m *model.Model) map[string]*Request {
	full := &Request{Base: "abcd", Operation: Gradient, Options: model.GradientOptions{Detach: true, Activations: []int{3, 1}}, Batch: randomBatch(m, 1, 0)}
	upper := &Request{Base: "abcd", Operation: Gradient, Batch: randomBatch(m, 2, 2)}
	upper.From = 2
	for i := range upper.Sequences {
		s := &upper.Sequences[i]
		s.Hidden = make([]float32, len(s.Tokens)*m.HiddenSize)
		for j := range s.Hidden {
			s.Hidden[j] = float32(math.Sin(float64(i + j)))
		}
	}
	bare := &Request{Base: "abcd", Operation: Score, Batch: model.Batch{Sequences: []model.Sequence{{Tokens: []int32{1, 2}, Adapter: -1}}}}
	twice := &Request{Base: "abcd", Operation: Gradient, Batch: randomBatch(m, 3, 1)}
	twice.Adapters[1] = twice.Adapters[2]
	return map[string]*Request{"full": full, "upper layers": upper, "bare base": bare, "an adapter twice": twice}
}

func TestRequestRoundTrip(t *testing.T) {
	for name, r := range requests(tinyModel(t)) {
		message, err := EncodeRequest(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := DecodeRequest(message)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("%s: got %+v, want %+v", name, got, r)
		}
		for i, a := range r.Adapters {
			if len(got.Adapters[i].Pairs()) != len(a.Pairs()) {
				t.Errorf("%s: adapter %d has %d distinct pairs, want %d", name, i, len(got.Adapters[i].Pairs()), len(a.Pairs()))
			}
		}
		if again, err := EncodeRequest(got); err != nil || !bytes.Equal(again, message) {
			t.Errorf("%s: encoded again: other bytes (%v)", name, err)
		}
	}
}

// TestRoundTrip compares answers, and the answers to decoded requests, bit for
// bit.
func TestRoundTrip(t *testing.T) {
	l := local(t)
	for name, r := range requests(l.Model) {
		want := do(t, l, r)
		got := do(t, RoundTrip{l}, r)
		if !equal(got, want) {
			t.Errorf("%s: another answer through bytes: loss %v, want %v", name, got.Loss, want.Loss)
		}
	}
	if got, want := (RoundTrip{l}).Info(), l.Info(); got != want {
		t.Errorf("info %+v, want %+v", got, want)
	}
}

// equal compares responses; empty and absent lists count as the same.
func equal(a, b *Response) bool {
	x, errX := EncodeResponse(a)
	y, errY := EncodeResponse(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func TestKeepsSpecialValues(t *testing.T) {
	odd := []float32{float32(math.NaN()), float32(math.Inf(-1)), float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32, math.Float32frombits(0x7fa00001)}
	r := &Response{model.Result{Loss: math.Inf(1), NLL: [][]float32{odd, nil}, Argmax: [][]int32{{-1, 1 << 30}, nil}, Activations: map[int][]float32{7: odd, 2: nil}}}
	message, err := EncodeResponse(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeResponse(message)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range odd {
		if g := got.NLL[0][i]; math.Float32bits(g) != math.Float32bits(v) {
			t.Errorf("value %d: bits %#x, want %#x", i, math.Float32bits(g), math.Float32bits(v))
		}
	}
	if !math.IsInf(got.Loss, 1) || !reflect.DeepEqual(got.Argmax, r.Argmax) || len(got.Activations) != 2 {
		t.Errorf("got %+v, want %+v", got, r)
	}
}

func TestRefusesMessages(t *testing.T) {
	m := tinyModel(t)
	good, err := EncodeRequest(requests(m)["full"])
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, b ...byte) []byte {
		c := bytes.Clone(good)
		copy(c[at:], b)
		return c
	}
	for name, tt := range map[string]struct {
		message []byte
		want    string
	}{
		"nothing":       {nil, "it has 0 bytes"},
		"header cut":    {good[:20], "it has 20 bytes"},
		"a response":    {change(0, []byte("c2lresp1")...), "it begins with"},
		"newer version": {change(7, '2'), `it is of version "2"`},
		"cut":           {good[:len(good)-1], "the header says"},
		"more":          {append(bytes.Clone(good), 0), "the header says"},
		"a bit flipped": {change(100, good[100]^1), "checksum"},
		"header's zero": {change(20, 1), "checksum"},
		"left over":     {resum(append(bytes.Clone(good), 0, 0, 0, 0)), "4 bytes are left over"},
		"huge string":   {resum(change(headerSize, 0xff, 0xff, 0xff, 0xff)), "4294967295 things"},
		"padding":       {resum([]byte("c2lrequ1................\x01\x00\x00\x00abcd")), "padded"},
		"body cut":      {resum(bytes.Clone(good[:len(good)-8])), ""},
	} {
		_, err := DecodeRequest(tt.message)
		if !errors.Is(err, ErrMessage) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want %v with %q", name, err, ErrMessage, tt.want)
		}
	}
	if _, err := DecodeResponse(good); !errors.Is(err, ErrMessage) {
		t.Errorf("a request as response: got error %v, want %v", err, ErrMessage)
	}
}

// resum makes length and checksum of a message right, in place.
func resum(message []byte) []byte {
	body := message[headerSize:]
	binary.LittleEndian.PutUint64(message[8:], uint64(len(body)))
	binary.LittleEndian.PutUint32(message[16:], crc32.Checksum(body, castagnoli))
	binary.LittleEndian.PutUint32(message[20:], 0)
	return message
}

func TestEncodeErrors(t *testing.T) {
	m := tinyModel(t)
	for name, tt := range map[string]struct {
		change func(*Request)
		want   string
	}{
		"nil adapter":  {func(r *Request) { r.Adapters[1] = nil }, "adapter 1 is nil"},
		"large number": {func(r *Request) { r.Sequences[0].Prefix = 1 << 40 }, "prefix of a sequence is 1099511627776"},
	} {
		r := requests(m)["full"]
		tt.change(r)
		if _, err := EncodeRequest(r); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, tt.want)
		}
	}
}

func TestRefusesRequests(t *testing.T) {
	l := local(t)
	for name, tt := range map[string]struct {
		change func(*Request)
		is     error
		want   string
	}{
		"another base":      {func(r *Request) { r.Base = "ef01" }, ErrBase, `"ef01", those here "abcd"`},
		"another precision": {func(r *Request) { r.Precision = kernel.Int8 }, ErrPrecision, "int8, and this process computes in float32"},
		"no operation":      {func(r *Request) { r.Operation = 0 }, nil, "operation 0"},
		"unknown operation": {func(r *Request) { r.Operation = 9 }, nil, "operation 9"},
		"bad batch":         {func(r *Request) { r.Sequences[3].Adapter = 5 }, nil, "sequence 3"},
		"bad factors":       {func(r *Request) { r.Adapters[0].Layers[0][adapter.QProj].A = nil }, nil, "adapter 0"},
	} {
		for kind, b := range map[string]Backend{"local": l, "bytes": RoundTrip{l}} {
			r := requests(l.Model)["full"]
			tt.change(r)
			_, err := b.Do(context.Background(), r)
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%s, %s: got error %v, want %v with %q", name, kind, err, tt.is, tt.want)
			}
		}
	}
}

func TestFits(t *testing.T) {
	l := local(t)
	q := requests(l.Model)["full"]
	for name, tt := range map[string]struct {
		change func(*Response)
		want   string
	}{
		"sequence missing":   {func(r *Response) { r.NLL = r.NLL[1:] }, "sequences"},
		"label missing":      {func(r *Response) { r.Argmax[2] = nil }, "sequence 2"},
		"gradient missing":   {func(r *Response) { r.Grads = r.Grads[:2] }, "2 gradients, want 3"},
		"other gradient":     {func(r *Response) { r.Grads[1] = randomAdapter(l.Model, 1, 2, false) }, "adapter 1"},
		"short gradient":     {func(r *Response) { r.Grads[2].Pairs()[0].A = nil; r.Grads[2].Layers[0][0].A = nil }, "adapter 2"},
		"activation missing": {func(r *Response) { delete(r.Activations, 1) }, "layer 1"},
	} {
		r := do(t, l, q)
		tt.change(r)
		if err := r.Fits(q); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, tt.want)
		}
	}
}

// FuzzDecode gives the decoders bodies with a right header. What they accept
// they must write the same way, and what they allocate must be bounded by what
// they were given.
func FuzzDecode(f *testing.F) {
	l := local(f)
	for _, r := range requests(l.Model) {
		message, err := EncodeRequest(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(message[headerSize:])
		res, err := l.Do(context.Background(), r)
		if err != nil {
			f.Fatal(err)
		}
		if message, err = EncodeResponse(res); err != nil {
			f.Fatal(err)
		}
		f.Add(message[headerSize:])
	}
	f.Add([]byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, body []byte) {
		message := func(magic string) []byte { return resum(append(append([]byte(magic), make([]byte, 16)...), body...)) }
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, errRequest := DecodeRequest(message(requestMagic))
		res, errResponse := DecodeResponse(message(responseMagic))
		runtime.ReadMemStats(&after)
		if most := uint64(1<<20 + 100*len(body)); after.TotalAlloc-before.TotalAlloc > most {
			t.Errorf("%d bytes allocated for a message of %d", after.TotalAlloc-before.TotalAlloc, len(body))
		}
		if errRequest == nil {
			if again, err := EncodeRequest(r); err != nil {
				t.Errorf("decoded, but not encoded: %v", err)
			} else if got, err := DecodeRequest(again); err != nil || len(got.Sequences) != len(r.Sequences) || len(got.Adapters) != len(r.Adapters) {
				t.Errorf("decoded again: %v", err)
			}
			// A backend refuses what it cannot compute, and does not panic.
			r.Base = l.Base
			_, _ = l.Do(context.Background(), r)
		}
		if errResponse == nil {
			if again, err := EncodeResponse(res); err != nil {
				t.Errorf("decoded, but not encoded: %v", err)
			} else if got, err := DecodeResponse(again); err != nil || !equal(got, res) {
				t.Errorf("decoded again: %v", err)
			}
		}
	})
}

// training is a request of a typical step: 5 million adapter parameters, 2,000
// tokens, 200 labels.
func training() *Request {
	d := adapter.Dims{Arch: "llama", NumHiddenLayers: 30, NumAttentionHeads: 9, NumKeyValueHeads: 3}
	for m := range d.Modules {
		d.Modules[m] = adapter.Shape{In: 576, Out: 576}
	}
	a := adapter.New(d, []adapter.Module{0, 1, 2, 3, 4, 5, 6}, 21, 42, false)
	for _, e := range a.Pairs() {
		for i := range e.A {
			e.A[i] = float32(i)
		}
		for i := range e.B {
			e.B[i] = float32(i)
		}
	}
	r := &Request{Base: strings.Repeat("ab", 32), Operation: Gradient, Batch: model.Batch{Adapters: []*adapter.Adapter{a}}}
	for range 8 {
		r.Sequences = append(r.Sequences, model.Sequence{Tokens: make([]int32, 250), Labels: make([]model.Label, 25)})
	}
	return r
}

func BenchmarkEncodeRequest(b *testing.B) {
	r := training()
	for b.Loop() {
		message, err := EncodeRequest(r)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(message)))
	}
}

func BenchmarkDecodeRequest(b *testing.B) {
	message, err := EncodeRequest(training())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(message)))
	for b.Loop() {
		if _, err := DecodeRequest(message); err != nil {
			b.Fatal(err)
		}
	}
}

// TestFloats compares the ways in which floats become bytes and are read.
func TestFloats(t *testing.T) {
	v := []float32{1, -2.5, float32(math.Inf(1)), math.MaxFloat32, 0}
	b := appendFloats([]byte{9, 9, 9, 9}, v)
	want := []byte{9, 9, 9, 9}
	for _, x := range v {
		want = binary.LittleEndian.AppendUint32(want, math.Float32bits(x))
	}
	if !bytes.Equal(b, want) {
		t.Errorf("bytes %v, want %v", b, want)
	}
	for off := range 5 { // only some are aligned
		moved := append(make([]byte, off, off+len(b)), b[4:]...)
		if got := floatsOf(moved[off:]); !reflect.DeepEqual(got, v) {
			t.Errorf("read %d bytes further on: %v, want %v", off, got, v)
		}
		if got := copyFloats(moved[off:]); !reflect.DeepEqual(got, v) {
			t.Errorf("copied %d bytes further on: %v, want %v", off, got, v)
		}
	}
	if got := floatsOf(nil); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
