package mine

import (
	"cmp"
	"slices"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// Near-duplicates are found by MinHash (Broder 1997): the least of each of 64
// hashes over the shingles of a text agree in two texts with the probability
// that is their Jaccard similarity. Texts that agree in a band of 4 are compared.
const (
	hashes     = 64
	bandSize   = 4
	shingle    = 5    // tokens
	nearTail   = 1024 // bytes of the prefix that are looked at
	maxInBand  = 64   // texts with the same band that are compared
	minShingle = 8    // shingles that a text needs to be compared
)

type signature [hashes]uint32

// multipliers are odd numbers that look random, one for each hash.
var multipliers = func() (m [hashes]uint64) {
	x := uint64(0x9e3779b97f4a7c15)
	for i := range m {
		x += 0x9e3779b97f4a7c15 // splitmix64
		z := x
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		m[i] = z ^ z>>31 | 1
	}
	return m
}()

// signatureOf returns the signature of a task: of the end of its prefix, and its
// target. It is false for texts that are too short to compare.
func signatureOf(t *repopeft.Task) (signature, bool) {
	tokens := tokenHashes(before(t.Prefix, nearTail) + t.Target)
	var sig signature
	for i := range sig {
		sig[i] = ^uint32(0)
	}
	if len(tokens) < shingle+minShingle-1 {
		return sig, false
	}
	for i := range tokens[:len(tokens)-shingle+1] {
		x := uint64(14695981039346656037)
		for _, t := range tokens[i : i+shingle] {
			x = (x ^ t) * 0x9e3779b97f4a7c15
			x ^= x >> 29
		}
		for j, m := range multipliers {
			if h := uint32(x * m >> 32); h < sig[j] {
				sig[j] = h
			}
		}
	}
	return sig, true
}

// tokenHashes returns a hash for each word and each sign of a text.
func tokenHashes(text string) []uint64 {
	var out []uint64
	h := uint64(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80 {
			h = (h ^ uint64(c)) * 1099511628211
			if h == 0 {
				h = 1
			}
			continue
		}
		if h != 0 {
			out, h = append(out, h), 0
		}
		if c > ' ' {
			out = append(out, uint64(c))
		}
	}
	if h != 0 {
		out = append(out, h)
	}
	return out
}

// similarity estimates the Jaccard similarity.
func (s *signature) similarity(o *signature) float64 {
	n := 0
	for i := range s {
		if s[i] == o[i] {
			n++
		}
	}
	return float64(n) / hashes
}

// side is which of the parts a task belongs to that must have nothing in common,
// whatever their tracks. The lower one keeps what two have. Those from 2 on divide
// the tasks of training repositories.
func side(t *repopeft.Task) int {
	switch {
	case t.Split == dataset.Test || t.Track == repopeft.OOD: // which is there to test with
		return 0
	case t.Split == dataset.Validation:
		return 1
	case t.InRepo == dataset.Test:
		return 2
	case t.InRepo == dataset.Validation:
		return 3
	}
	return 4
}

// taskKey names a task in a track.
type taskKey struct {
	track repopeft.Track
	id    string
}

// sketch is what is kept of a task to compare it.
type sketch struct {
	key  taskKey
	side int
	sig  signature
}

// bucket has the tasks of lower sides with the same band.
type bucket struct {
	tasks []int32
	more  int // of those that there was no room for
}

// nearDuplicates returns the tasks that nearly equal one of a lower side, and
// counts what was not compared for want of room.
func nearDuplicates(all []sketch, near float64) (map[taskKey]bool, repopeft.Near) {
	drop := map[taskKey]bool{}
	counts := repopeft.Near{Compared: len(all)}
	order := make([]int32, len(all))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(all[a].side, all[b].side) })
	bands := make([]map[uint64]*bucket, hashes/bandSize)
	for b := range bands {
		bands[b] = map[uint64]*bucket{}
	}
	for len(order) > 0 {
		n := 0 // of this side
		for n < len(order) && all[order[n]].side == all[order[0]].side {
			n++
		}
		for _, i := range order[:n] {
			s := &all[i]
			found, missed := findNear(all, bands, s, near)
			if found {
				drop[s.key] = true
			} else if missed > 0 {
				counts.PartlyCompared++
				counts.NotCompared += missed
			}
		}
		for _, i := range order[:n] {
			if s := &all[i]; s.side < 4 && !drop[s.key] {
				for b := range bands {
					k := s.sig.band(b)
					at := bands[b][k]
					if at == nil {
						at = &bucket{}
						bands[b][k] = at
					}
					if len(at.tasks) < maxInBand {
						at.tasks = append(at.tasks, i)
					} else {
						at.more++
					}
				}
			}
		}
		order = order[n:]
	}
	return drop, counts
}

// findNear tells whether a task nearly equals one of the bands. missed counts the
// comparisons that full bands left out; two tasks that have several full bands in
// common count once for each.
func findNear(all []sketch, bands []map[uint64]*bucket, s *sketch, near float64) (found bool, missed int) {
	for b := range bands {
		at := bands[b][s.sig.band(b)]
		if at == nil {
			continue
		}
		for _, i := range at.tasks {
			if s.sig.similarity(&all[i].sig) >= near {
				return true, 0
			}
		}
		missed += at.more
	}
	return false, missed
}

func (s *signature) band(b int) uint64 {
	h := uint64(b) + 1
	for _, x := range s[b*bandSize : (b+1)*bandSize] {
		h = (h ^ uint64(x)) * 0x9e3779b97f4a7c15
		h ^= h >> 31
	}
	return h
}
