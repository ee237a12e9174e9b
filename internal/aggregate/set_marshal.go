package aggregate

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
)

const (
	maxPath   = 1 << 16       // bytes
	maxTokens = math.MaxInt32 // of a file
)

// setMagic begins the binary form of a Set:
//
//	"c2lset01"
//	number of files   uvarint
//	files, by path and blob:
//		length of the path, then the path        uvarint, bytes
//		length of the id, then the id            uvarint, bytes
//		size                                     uvarint
//		tokens + 1, or 0 if it has no vector     uvarint
//	sums              see sumsMagic
//	SHA-256 of all of this
const setMagic = "c2lset01"

// MarshalBinary implements [encoding.BinaryMarshaler]. Equal sets have equal
// bytes.
func (s *Set) MarshalBinary() ([]byte, error) {
	sums, err := s.sums.MarshalBinary()
	if err != nil {
		return nil, err
	}
	b := binary.AppendUvarint([]byte(setMagic), uint64(len(s.files)))
	for _, f := range s.files {
		id, err := hex.DecodeString(f.Blob)
		if err != nil {
			return nil, fmt.Errorf("file %q: blob id %q: %w", f.Path, f.Blob, err)
		}
		b = append(binary.AppendUvarint(b, uint64(len(f.Path))), f.Path...)
		b = append(binary.AppendUvarint(b, uint64(len(id))), id...)
		b = binary.AppendUvarint(b, uint64(f.Size))
		tokens := uint64(0)
		if f.Read {
			tokens = uint64(f.Tokens) + 1
		}
		b = binary.AppendUvarint(b, tokens)
	}
	b = append(b, sums...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...), nil
}

// UnmarshalBinary implements [encoding.BinaryUnmarshaler]. What is cut, damaged
// or contradicts itself gives [ErrCorrupt].
func (s *Set) UnmarshalBinary(data []byte) error {
	body := data[:max(0, len(data)-sha256.Size)]
	if sum := sha256.Sum256(body); !bytes.HasPrefix(body, []byte(setMagic)) || !bytes.Equal(sum[:], data[len(body):]) {
		return fmt.Errorf("%w: %d bytes that are damaged, cut off, or no set of files", ErrCorrupt, len(data))
	}
	r := reader{b: body[len(setMagic):]}
	n := r.number(uint64(len(r.b)))
	t := &Set{sums: &Sums{}}
	read := int64(0)
	for range n {
		f := File{Path: string(r.bytes(maxPath)), Blob: hex.EncodeToString(r.bytes(32)), Size: int64(r.number(math.MaxInt64))}
		if tokens := r.number(maxTokens + 1); tokens > 0 {
			f.Read, f.Tokens = true, int(tokens-1)
			read++
		}
		if r.bad {
			break
		}
		if err := f.check(); err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		t.files = append(t.files, f)
	}
	if r.bad {
		return fmt.Errorf("%w: the list of files ends early, or has a number that is too large", ErrCorrupt)
	}
	if err := t.sums.UnmarshalBinary(r.b); err != nil {
		return err
	}
	if err := t.consistent(read); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	*s = *t
	return nil
}

// consistent reports what contradicts itself.
func (s *Set) consistent(read int64) error {
	if read != s.sums.count {
		return fmt.Errorf("%d files with a vector, and sums over %d", read, s.sums.count)
	}
	byBlob := map[string]File{}
	for i, f := range s.files {
		if i > 0 && compareFiles(s.files[i-1], f) > 0 {
			return fmt.Errorf("file %q is not in order", f.Path)
		}
		g, ok := byBlob[f.Blob]
		if g.Path = f.Path; ok && f != g {
			return fmt.Errorf("blob %s of file %q has two sizes or numbers of tokens", f.Blob, f.Path)
		}
		byBlob[f.Blob] = f
	}
	return nil
}

// reader takes numbers and strings off b. After the first that isn't there, or
// not in its shortest form, it is bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 || v > most || n > 1 && r.b[n-1] == 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(most uint64) []byte {
	n := r.number(most)
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}
