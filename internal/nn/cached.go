package nn

import (
	"math"

	"github.com/code2lora/code2lora/internal/kernel"
)

// PageRows is the number of tokens in a page of keys and values.
const PageRows = 64

// panelWidth is the number of columns of a panel, see [kernel.MulPanels].
const panelWidth = 16

// cachedRows is about how many rows of scores, queries times heads of a group,
// a unit of [Cached.Forward] holds.
const cachedRows = 64

// Cached describes causal grouped-query attention over cached keys and values,
// for decoding. A sequence's keys and values lie in pages of [PageRows] tokens,
// so that a cache grows without being copied, and sequences with a common
// beginning share it. In a page, each key/value head has
//
//	k (PageRows/16, hd, 16)  keys, transposed in panels of 16 tokens
//	v (PageRows, ⌈hd⌉16)     values, rows filled up with zeros to a multiple of 16
//
// one after the other: so both products of attention read it as it lies, and
// all query heads of a group read it once.
//
// A query row's result depends on its keys and values only: not on the other
// rows of the call, nor on how the sequence was cut into calls.
type Cached struct{ H, Hkv, HD int }

func (a Cached) valueWidth() int { return (a.HD + panelWidth - 1) / panelWidth * panelWidth }

func (a Cached) headSize() int { return PageRows * (a.HD + a.valueWidth()) }

// PageSize returns the number of values in a page.
func (a Cached) PageSize() int { return a.Hkv * a.headSize() }

// Put stores the key and the value (Hkv·hd) of a token in row i of a page.
func (a Cached) Put(page []float32, i int, k, v []float32) {
	wv := a.valueWidth()
	for h := range a.Hkv {
		keys := page[h*a.headSize()+i/panelWidth*a.HD*panelWidth+i%panelWidth:]
		for d, x := range k[h*a.HD:][:a.HD] {
			keys[d*panelWidth] = x
		}
		copy(page[h*a.headSize()+PageRows*a.HD+i*wv:], v[h*a.HD:][:a.HD])
	}
}

// queries is the number of query rows in a unit.
func (a Cached) queries() int { return max(1, cachedRows/(a.H/a.Hkv)) }

// Units returns the number of independent parts of Forward for n query rows.
func (a Cached) Units(n int) int { return a.Hkv * ((n + a.queries() - 1) / a.queries()) }

// unitRows is the number of rows of scores that a unit of n query rows holds.
func (a Cached) unitRows(n int) int { return min(n, a.queries()) * (a.H / a.Hkv) }

// Scratch returns how many values a unit of Forward needs, for n query rows over
// the given number of keys.
func (a Cached) Scratch(n, keys int) int {
	width := (keys + PageRows - 1) / PageRows * PageRows
	return a.unitRows(n) * (a.HD + width + a.valueWidth())
}

// Forward computes one unit of the attention of n query rows, which are the
// last of the past+n tokens in pages; units may run in parallel, each with
// scratch values of its own, see Scratch. Shapes: o, q (n, H·hd). Over keys
// 0..past+i of query row i,
//
//	S = q kᵀ / sqrt(hd);  P = softmax(S);  o = P v
func (a Cached) Forward(unit int, o, q, scratch []float32, n, past int, pages [][]float32) {
	// The longest units come first, so that the threads end together.
	h, lo := unit%a.Hkv, (a.Units(n)-1-unit)/a.Hkv*a.queries()
	hi := min(n, lo+a.queries())
	group, keys, wv := a.H/a.Hkv, past+hi, a.valueWidth()
	rows, width := (hi-lo)*group, (keys+PageRows-1)/PageRows*PageRows
	qs, s, out := scratch[:rows*a.HD], scratch[rows*a.HD:][:rows*width], scratch[rows*(a.HD+width):][:rows*wv]
	scale := float32(1 / math.Sqrt(float64(a.HD)))
	for i := range hi - lo {
		src := q[((lo+i)*a.H+h*group)*a.HD:][:group*a.HD]
		copy(qs[i*group*a.HD:], src)
	}
	kernel.Scale(qs, scale)
	head := h * a.headSize()
	for p := 0; p*PageRows < keys; p++ {
		held := min(PageRows, (keys-p*PageRows+panelWidth-1)/panelWidth*panelWidth)
		kernel.MulPanels(s[p*PageRows:], width, qs, a.HD, pages[p][head:], panelWidth, a.HD*panelWidth, rows, held, a.HD, false)
	}
	for r := range rows {
		row := s[r*width:][:width]
		seen := past + lo + r/group + 1
		kernel.SoftmaxRow(row[:seen])
		clear(row[seen:])
	}
	for p := 0; p*PageRows < keys; p++ {
		values := pages[p][head+PageRows*a.HD:]
		kernel.MulPanels(out, wv, s[p*PageRows:], width, values, wv, panelWidth, rows, wv, min(PageRows, keys-p*PageRows), p > 0)
	}
	for r := range rows {
		copy(o[((lo+r/group)*a.H+h*group+r%group)*a.HD:][:a.HD], out[r*wv:])
	}
}
