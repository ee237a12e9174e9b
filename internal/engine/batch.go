package engine

import (
	"context"
	"runtime/debug"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
)

// passRows bounds the rows of a pass, and so its memory: longer prompts are
// taken in pieces. Requests that are being decoded take part in each. Only a
// test changes it.
var passRows = 512

// draftRows is how many rows drafts may fill a pass up to: more make it slower
// than what they can save.
const draftRows = 1 + mostDraft

// referenceRows bounds the rows of a pass that references take, for each of
// which there are logits.
const referenceRows = 128

// batch is a set of sequences that are decoded together.
type batch struct {
	e    *Engine
	work model.Workspace
	seqs []*sequence
}

// Do serves one request.
func (e *Engine) Do(ctx context.Context, r Request) (*Completion, error) {
	res := e.CompleteBatch(ctx, []Request{r})[0]
	return res.Completion, res.Err
}

// CompleteBatch serves requests together, with whatever adapters they have. The
// results are in order, and each is what the request alone would get, to the
// bit (but see the package comment for bfloat16). A request that fails, or
// whose context ends, does not touch the others.
func (e *Engine) CompleteBatch(ctx context.Context, rs []Request) []Result {
	b := batch{e: e}
	all := make([]*sequence, len(rs))
	for i, r := range rs {
		all[i] = e.newSequence(ctx, r)
		b.add(all[i])
	}
	for len(b.seqs) > 0 {
		b.step()
	}
	results := make([]Result, len(rs))
	for i, s := range all {
		results[i] = s.result
	}
	return results
}

// add lets a sequence join, behind those with the same adapter: rows of one
// adapter are fastest as neighbours.
func (b *batch) add(s *sequence) {
	if s.done {
		return
	}
	if err := b.need(s); err != nil {
		s.fail(err)
		return
	}
	at := len(b.seqs)
	for i, o := range b.seqs {
		if o.req.Adapter == s.req.Adapter {
			at = i + 1
		}
	}
	b.seqs = append(b.seqs, nil)
	copy(b.seqs[at+1:], b.seqs[at:])
	b.seqs[at] = s
}

// need reports too little memory for one more sequence, besides what those that
// are there have still to take.
func (b *batch) need(s *sequence) error {
	tokens, rank := s.limit(), 0
	for _, o := range b.seqs {
		tokens += o.limit() - o.held()
	}
	if h := s.req.Adapter; h != nil {
		rank = h.rank
	}
	err := b.e.Model.NeedContext(tokens, min(passRows, tokens), rank)
	if err != nil && b.e.prompts.clear() {
		debug.FreeOSMemory()
		err = b.e.Model.NeedContext(tokens, min(passRows, tokens), rank)
	}
	return err
}

// step makes one pass for all sequences, and removes those that are done.
func (b *batch) step() {
	var exts []model.Extension
	var in []*sequence
	rows, drafts := b.share()
	scored := 0
	for _, s := range b.seqs {
		if err := s.ctx.Err(); err != nil {
			s.fail(err)
			continue
		}
		if s.cache == nil {
			if b.waits(s) {
				continue
			}
			s.start()
		}
		n := s.missing()
		switch {
		case n > 1:
			if n = min(n, rows); n == 0 {
				continue // next time
			}
			rows -= n
		case !s.scored:
			if scored > 0 && scored+1+len(s.req.Reference) > referenceRows {
				continue // next time
			}
			scored += 1 + len(s.req.Reference)
		}
		exts, in = append(exts, s.extension(n, drafts)), append(in, s)
	}
	if len(exts) > 0 {
		logits, err := b.e.Model.ExtendIn(&together{context.Background(), in}, &b.work, exts)
		for i, s := range in {
			switch e := s.ctx.Err(); {
			case err == nil:
				s.advance(logits[i])
			case e != nil:
				s.fail(e)
			default:
				s.fail(err)
			}
		}
	}
	rest := b.seqs[:0]
	for _, s := range b.seqs {
		if !s.done {
			rest = append(rest, s)
		}
	}
	clear(b.seqs[len(rest):])
	b.seqs = rest
}

// share returns how many rows of a pass prompts may take, and how many each
// draft.
func (b *batch) share() (rows, drafts int) {
	decoding := 0
	for _, s := range b.seqs {
		if s.cache != nil && s.missing() == 1 {
			decoding++
		}
	}
	most := draftRows
	if kernel.CurrentPrecision() == kernel.BFloat16 {
		most = 7 // with 8 rows a token's numbers, and perhaps the token, would change
	}
	if n := len(b.seqs); n > 0 && n < most {
		drafts = (most - n) / n
	}
	return max(1, passRows-decoding*(1+drafts)), drafts
}

// waits reports whether a sequence that has not begun should wait for another
// one, with the same adapter, whose prompt is under way: then it can take their
// common beginning from the prompt cache.
func (b *batch) waits(s *sequence) bool {
	if b.e.cacheLimit() < 0 {
		return false
	}
	for _, o := range b.seqs {
		if o == s {
			return false // only for those before: somebody must go on
		}
		if o.key == s.key && len(o.c.Tokens) == 0 && !o.done && commonPrefix(o.tokens, s.tokens) >= worthWaiting {
			return true
		}
	}
	return false
}

// worthWaiting is the length of a common prefix that is worth a later start.
const worthWaiting = 64

// together is a context that has ended when those of all sequences have.
type together struct {
	context.Context
	seqs []*sequence
}

func (t *together) Err() error {
	var first error
	for _, s := range t.seqs {
		err := s.ctx.Err()
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}
