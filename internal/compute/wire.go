package compute

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// ErrMessage is returned for bytes that are no message of this version, or
// that were damaged.
var ErrMessage = errors.New("not a message that can be read")

// The beginning of a message; all numbers are little-endian:
//
//	magic    8 bytes, "c2lrequ1" or "c2lresp1": the last is the version
//	length   uint64, bytes of the body
//	crc      uint32, CRC-32C of the body
//	zero     uint32
const (
	requestMagic  = "c2lrequ1"
	responseMagic = "c2lresp1"
	headerSize    = 8 + 8 + 4 + 4
)

// maxMessage bounds a message: four adapters of rank 16 for a model of 3
// billion parameters take half of it.
const maxMessage = 1 << 30

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// writer appends a body to a message. Everything in it takes a multiple of
// four bytes.
type writer struct {
	buf []byte
	err error // the first
}

// newWriter begins a message, whose body will have about the given size.
func newWriter(magic string, size int) *writer {
	w := &writer{buf: make([]byte, headerSize, headerSize+size)}
	copy(w.buf, magic)
	return w
}

// message ends the message.
func (w *writer) message() ([]byte, error) {
	if w.err != nil {
		return nil, w.err
	}
	body := w.buf[headerSize:]
	if len(w.buf) > maxMessage {
		return nil, fmt.Errorf("message of %d bytes: at most %d: send fewer tokens or adapters at once", len(w.buf), maxMessage)
	}
	binary.LittleEndian.PutUint64(w.buf[8:], uint64(len(body)))
	binary.LittleEndian.PutUint32(w.buf[16:], crc32.Checksum(body, castagnoli))
	return w.buf, nil
}

func (w *writer) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

func (w *writer) u32(v uint32)  { w.buf = binary.LittleEndian.AppendUint32(w.buf, v) }
func (w *writer) f32(v float32) { w.u32(math.Float32bits(v)) }
func (w *writer) f64(v float64) { w.buf = binary.LittleEndian.AppendUint64(w.buf, math.Float64bits(v)) }

// int appends an int, which must be one of 32 bits.
func (w *writer) int(what string, v int) {
	if int(int32(v)) != v {
		w.fail("%s is %d: want a number of 32 bits", what, v)
	}
	w.u32(uint32(int32(v)))
}

func (w *writer) bool(v bool) {
	if v {
		w.u32(1)
	} else {
		w.u32(0)
	}
}

// string appends a string and zeros up to a multiple of four bytes.
func (w *writer) string(s string) {
	w.int("length of a string", len(s))
	w.buf = append(w.buf, s...)
	for len(w.buf)%4 != 0 {
		w.buf = append(w.buf, 0)
	}
}

// int32s appends the number of values and the values.
func (w *writer) int32s(v []int32) {
	w.int("number of values", len(v))
	for _, x := range v {
		w.u32(uint32(x))
	}
}

// floats appends the number of values and the values.
func (w *writer) floats(v []float32) {
	w.int("number of values", len(v))
	w.buf = appendFloats(w.buf, v)
}

// reader reads the body of a message. After the first error everything is
// zero and empty. No length is believed before that many bytes have been seen.
type reader struct {
	buf []byte
	err error
}

// newReader checks the header of a message.
func newReader(magic string, message []byte) *reader {
	r := &reader{}
	if len(message) < headerSize {
		r.fail("it has %d bytes, and its header %d", len(message), headerSize)
		return r
	}
	body := message[headerSize:]
	length, sum := binary.LittleEndian.Uint64(message[8:]), binary.LittleEndian.Uint32(message[16:])
	switch {
	case string(message[:7]) != magic[:7]:
		r.fail("it begins with %q, want %q", message[:8], magic)
	case message[7] != magic[7]:
		r.fail("it is of version %q, this program reads version %q: use the same program on both sides", message[7:8], magic[7:])
	case len(message) > maxMessage:
		r.fail("it has %d bytes, at most %d", len(message), maxMessage)
	case length != uint64(len(body)):
		r.fail("its body has %d bytes, the header says %d", len(body), length)
	case binary.LittleEndian.Uint32(message[20:]) != 0 || crc32.Checksum(body, castagnoli) != sum:
		r.fail("its checksum is wrong: it was damaged on the way")
	default:
		r.buf = body
	}
	return r
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMessage, fmt.Sprintf(format, args...))
	}
	r.buf = nil
}

// end reports the first error, or that something is left.
func (r *reader) end() error {
	if r.err == nil && len(r.buf) > 0 {
		r.fail("%d bytes are left over", len(r.buf))
	}
	return r.err
}

// take returns the next n bytes, or nil.
func (r *reader) take(n int) []byte {
	if n > len(r.buf) {
		r.fail("it ends too early")
		return nil
	}
	b := r.buf[:n]
	r.buf = r.buf[n:]
	return b
}

func (r *reader) u32() uint32 {
	b := r.take(4)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}

func (r *reader) int() int { return int(int32(r.u32())) }

func (r *reader) f64() float64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

func (r *reader) f32() float32 { return math.Float32frombits(r.u32()) }

func (r *reader) bool() bool {
	v := r.u32()
	if v > 1 {
		r.fail("a flag is %d", v)
	}
	return v == 1
}

// count reads the number of things of which each takes at least size bytes.
func (r *reader) count(size int) int {
	n := r.u32()
	if uint64(n)*uint64(size) > uint64(len(r.buf)) {
		r.fail("it has %d things of at least %d bytes, and %d bytes are left", n, size, len(r.buf))
		return 0
	}
	return int(n)
}

func (r *reader) string() string {
	n := r.count(1)
	b := r.take((n + 3) &^ 3)
	if b == nil {
		return ""
	}
	for _, c := range b[n:] {
		if c != 0 {
			r.fail("a string is not padded with zeros")
			return ""
		}
	}
	return string(b[:n])
}

func (r *reader) int32s() []int32 {
	n := r.count(4)
	if n == 0 {
		return nil
	}
	v, b := make([]int32, n), r.take(4*n)
	for i := range v {
		v[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

func (r *reader) floats() []float32 {
	n := r.count(4)
	if n == 0 {
		return nil
	}
	return floatsOf(r.take(4 * n))
}
