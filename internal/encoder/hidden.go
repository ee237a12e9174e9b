package encoder

import (
	"context"

	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// batchTokens is the number of tokens in one pass over the weights: enough to
// make the products efficient, few enough to bound memory.
const batchTokens = 2048

// hidden makes file vectors of the base model's hidden states.
type hidden struct {
	opt       Options
	model     *model.Model
	tokenizer *tokenizer.Tokenizer
	lexicon   *lexicon
	pending   []window
	rows      int // tokens pending
}

// window is a run of tokens of one file.
type window struct {
	tokens []int32
	file   *hiddenFile
}

// hiddenFile is a file whose windows are being encoded.
type hiddenFile struct {
	left, n int // windows to come, windows in all
	sum     []float64
	lexicon []float32 // nil without Options.Lexicon
	tokens  int
	done    func(v []float32, tokens int) error
}

func (h *hidden) fresh() fileVectors {
	return &hidden{opt: h.opt, model: h.model, tokenizer: h.tokenizer, lexicon: h.lexicon}
}

func (h *hidden) dim() int {
	if h.opt.Lexicon {
		return 2 * h.model.HiddenSize
	}
	return h.model.HiddenSize
}

// windows cuts ids into windows of Chunk tokens with Overlap; a last one
// shorter than Min is dropped. With MaxChunks, evenly spread ones remain.
func (h *hidden) windows(ids []int32) [][]int32 {
	o := h.opt
	var ws [][]int32
	for at := 0; at < len(ids); at += o.Chunk - o.Overlap {
		w := ids[at:min(len(ids), at+o.Chunk)]
		if len(w) >= o.Min {
			ws = append(ws, w)
		}
		if at+o.Chunk >= len(ids) {
			break
		}
	}
	if o.MaxChunks == 0 || len(ws) <= o.MaxChunks {
		return ws
	}
	some := make([][]int32, o.MaxChunks)
	for i := range some {
		some[i] = ws[(2*i+1)*len(ws)/(2*o.MaxChunks)]
	}
	return some
}

func (h *hidden) add(ctx context.Context, content []byte, done func([]float32, int) error) error {
	ids := h.tokenizer.Encode(string(content))
	ws := h.windows(ids)
	if len(ws) == 0 {
		return done(nil, 0)
	}
	f := &hiddenFile{left: len(ws), n: len(ws), sum: make([]float64, h.model.HiddenSize), done: done}
	if h.opt.Lexicon {
		f.lexicon = h.lexicon.fileVector(ids)
	}
	for _, w := range ws {
		f.tokens += len(w)
		h.pending = append(h.pending, window{w, f})
		if h.rows += len(w); h.rows >= batchTokens {
			if err := h.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush encodes the pending windows: a window's vector is the mean of its
// hidden states, a file's the mean of its windows.
func (h *hidden) flush(ctx context.Context) error {
	if len(h.pending) == 0 {
		return nil
	}
	batch := make([][]int32, len(h.pending))
	for i, w := range h.pending {
		batch[i] = w.tokens
	}
	states, err := h.model.Hidden(ctx, batch, h.opt.Layer)
	if err != nil {
		return err
	}
	pending := h.pending
	h.pending, h.rows = nil, 0
	d := h.model.HiddenSize
	for i, w := range pending {
		scale := 1 / float64(len(w.tokens)*w.file.n)
		for t := range w.tokens {
			for j, x := range states[i][t*d:][:d] {
				w.file.sum[j] += scale * float64(x)
			}
		}
		if w.file.left--; w.file.left > 0 {
			continue
		}
		v := make([]float32, d)
		for j, s := range w.file.sum {
			v[j] = float32(s)
		}
		if err := w.file.done(append(v, w.file.lexicon...), w.file.tokens); err != nil {
			return err
		}
	}
	return nil
}
