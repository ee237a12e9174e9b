package mine

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// key identifies what is asked for among the versions of a file, by where it
// stands and what it says, not by what is around it. A number is a hash over the
// kind, the class and the function, and
//
//	id      the statement and the target
//	head    the statement up to the target
//	target  the target
//
// blanks and the style of quotes left out. Under the paper's rules there is an
// id only, see [paperKeys].
type key struct{ id, head, target uint64 }

// setKeys fills in the keys of a file's candidates.
func setKeys(s *source, items []item) {
	for i := range items {
		it := &items[i]
		where := string(it.Kind) + "\x00" + it.Class + "\x00" + it.Function
		head := strings.Join(strings.Fields(string(s.text[min(it.statement, it.Start):it.Start])), " ")
		target := it.normalized
		if it.Start == it.End { // without a target: the line it begins on
			target, _, _ = strings.Cut(string(s.text[it.Start:]), "\n")
			target = normalize(target)
		}
		it.key = key{hash("id", where, head, target), hash("head", where, head), hash("target", where, target)}
	}
}

// fileKeys is what is remembered of a file at a commit.
type fileKeys struct {
	Keys  keyList  `json:"keys,omitempty"`  // sorted by id
	Names []string `json:"names,omitempty"` // what it defines for others
}

// has tells whether an id is among the keys.
func (f *fileKeys) has(id uint64) bool {
	if f == nil {
		return false
	}
	_, ok := f.find(id)
	return ok
}

func (f *fileKeys) find(id uint64) (int, bool) {
	return slices.BinarySearchFunc(f.Keys, id, func(k key, id uint64) int {
		switch {
		case k.id < id:
			return -1
		case k.id > id:
			return 1
		}
		return 0
	})
}

// newKeys collects the keys of items.
func newKeys(items []item) keyList {
	keys := make(keyList, len(items))
	for i, it := range items {
		keys[i] = it.key
	}
	return keys.sorted()
}

// keyList has a short form in JSON: base64 of three numbers of 8 bytes for each
// key, little-endian.
type keyList []key

// sorted sorts by id, and leaves one of each.
func (l keyList) sorted() keyList {
	slices.SortFunc(l, func(a, b key) int {
		switch {
		case a.id < b.id:
			return -1
		case a.id > b.id:
			return 1
		}
		return 0
	})
	return slices.CompactFunc(l, func(a, b key) bool { return a.id == b.id })
}

// MarshalText implements [encoding.TextMarshaler].
func (l keyList) MarshalText() ([]byte, error) {
	raw := make([]byte, 0, 24*len(l))
	for _, k := range l {
		for _, n := range []uint64{k.id, k.head, k.target} {
			raw = binary.LittleEndian.AppendUint64(raw, n)
		}
	}
	return base64.StdEncoding.AppendEncode(nil, raw), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (l *keyList) UnmarshalText(text []byte) error {
	raw, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil || len(raw)%24 != 0 {
		return fmt.Errorf("keys: %d bytes in base64, want a multiple of 24 (%v)", len(raw), err)
	}
	*l = make(keyList, 0, len(raw)/24)
	for ; len(raw) > 0; raw = raw[24:] {
		*l = append(*l, key{binary.LittleEndian.Uint64(raw), binary.LittleEndian.Uint64(raw[8:]), binary.LittleEndian.Uint64(raw[16:])})
	}
	return nil
}
