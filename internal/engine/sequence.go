package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// Request asks for one completion.
type Request struct {
	Prompt  Prompt
	Adapter *Handle // nil: the bare base
	Options Options
	// Index is where drafts come from besides the text itself; it may be nil.
	Index *Index
	// Reference, unless empty, is a text in tokens whose likelihood behind the
	// prompt is wanted too, see [Completion.Reference]. It is the first draft,
	// and like any draft it changes nothing in the answer.
	Reference []int32
	// Emit, if not nil, receives the text piece by piece; an error from it ends
	// the completion. All requests that are decoded together wait for it.
	Emit func(string) error
	// Context ends this request; nil: that of the call.
	Context context.Context
}

// Result is what became of a [Request]: a completion, or an error.
type Result struct {
	Completion *Completion
	Err        error
}

// sequence is the state of one request.
type sequence struct {
	e       *Engine
	ctx     context.Context
	req     Request
	key     string
	tokens  []int32 // prompt and answer
	prompt  int     // tokens of the prompt
	cache   *model.Cache
	sampler *sampler
	out     *output
	stream  *tokenizer.Stream
	drafter *drafter // nil without look-up
	pending []int32  // of the pass at hand: the tokens that it adds, then a draft
	draft   int      // tokens of the draft
	scored  bool     // the reference was in a pass, or there is none
	done    bool
	result  Result
	c       *Completion
}

// newSequence lays out the prompt of a request. The result of one that cannot
// be served has the error.
func (e *Engine) newSequence(ctx context.Context, r Request) *sequence {
	if r.Context != nil {
		ctx = r.Context
	}
	s := &sequence{e: e, ctx: ctx, req: r,
		c: &Completion{Tokens: []int32{}, LogProbs: []float32{}, FinishReason: FinishLength}} // no null in JSON
	if err := r.Options.Validate(); err != nil {
		s.fail(err)
		return s
	}
	ids, err := e.promptTokens(r.Prompt, r.Options.MaxTokens, s.c)
	if err != nil {
		s.fail(err)
		return s
	}
	s.c.PromptTokens, s.prompt = len(ids), len(ids)
	s.tokens, s.key, s.scored = ids, r.Adapter.key(), len(r.Reference) == 0
	for _, id := range r.Reference {
		if id < 0 || int(id) >= e.Model.VocabSize {
			s.fail(fmt.Errorf("reference has token %d: the base has %d", id, e.Model.VocabSize))
			return s
		}
	}
	if most := e.Model.MaxContext(); s.limit() > most {
		s.fail(fmt.Errorf("a prompt of %d tokens and a reference of %d do not fit a context of %d", len(ids), len(r.Reference), most))
		return s
	}
	s.sampler = newSampler(r.Options)
	s.out = &output{stops: r.Options.Stop, emit: r.Emit}
	s.stream = e.Tokenizer.NewStream()
	if !r.Options.NoLookup {
		s.drafter = newDrafter(len(ids)+r.Options.MaxTokens, r.Index)
		s.drafter.own.append(ids)
	}
	return s
}

func (s *sequence) fail(err error) { s.done, s.result = true, Result{Err: err} }

// limit is the most tokens that the sequence can have.
func (s *sequence) limit() int {
	return s.prompt + max(s.req.Options.MaxTokens, len(s.req.Reference)+1)
}

// held returns the number of tokens whose keys and values are there.
func (s *sequence) held() int {
	if s.cache == nil {
		return 0
	}
	return s.cache.Len()
}

// missing returns how many tokens, without a draft, the next pass or passes
// must add before there is another token.
func (s *sequence) missing() int { return len(s.tokens) - s.held() }

// start takes what the prompt cache has.
func (s *sequence) start() {
	if s.e.cacheLimit() > 0 {
		s.cache = s.e.prompts.take(s.key, s.tokens)
	}
	if s.cache == nil {
		s.cache = s.e.Model.NewCacheOf(s.req.Adapter.pack())
	}
	s.c.CachedTokens = s.cache.Len()
}

// extension asks for the sequence's part of a pass: at most rows tokens, or as
// many as are missing and a draft of at most most tokens.
func (s *sequence) extension(rows, most int) model.Extension {
	s.pending, s.draft = s.tokens[s.held():], 0
	x := model.Extension{Cache: s.cache}
	switch {
	case len(s.pending) > rows:
		s.pending, x.Logits = s.pending[:rows], model.NoRows
	case !s.scored && len(s.pending) > 1: // the last one comes with the reference
		s.pending, x.Logits = s.pending[:len(s.pending)-1], model.NoRows
	case !s.scored:
		s.pending = append(slices.Clone(s.pending), s.req.Reference...)
		s.draft, x.Logits = len(s.req.Reference), model.AllRows
	case len(s.pending) == 1 && s.drafter != nil:
		most = min(most, s.req.Options.MaxTokens-len(s.c.Tokens)-1)
		if d := s.drafter.next(most); len(d) > 0 {
			s.pending, s.draft = append(append(make([]int32, 0, 1+len(d)), s.pending...), d...), len(d)
			x.Logits = model.AllRows
		}
	}
	x.Tokens = s.pending
	return x
}

// advance takes notice of a pass whose logits follow the last of the pending
// tokens, or all of them if there was a draft. It takes tokens as long as they
// are those of the draft, and one more.
func (s *sequence) advance(logits []float32) {
	if len(logits) == 0 {
		return // a part of the prompt
	}
	if len(s.c.Tokens) == 0 {
		s.keep(s.cache.Fork(len(s.tokens))) // without a draft
	}
	V, accepted := s.e.Model.VocabSize, 0
	reference := !s.scored
	if reference {
		s.scored = true
		for i, id := range s.req.Reference {
			row := logits[i*V:][:V]
			s.c.Reference = append(s.c.Reference, row[id]-kernel.LogSumExp(row))
		}
	}
	for i := 0; !s.done; i++ {
		id := s.take(logits[i*V:][:V])
		if s.done || i == s.draft || id != s.pending[i+1] {
			break
		}
		accepted++
	}
	if s.draft > 0 && !reference {
		s.drafter.learn(s.draft, accepted)
		s.c.Drafted, s.c.Accepted = s.c.Drafted+s.draft, s.c.Accepted+accepted
	}
	if s.done {
		s.cache.Truncate(len(s.tokens))
		s.keep(s.cache)
		s.cache = nil
		return
	}
	s.cache.Truncate(len(s.tokens) - 1) // what was rejected goes
}

// keep puts a cache, of the sequence's first tokens, into the prompt cache. It
// must not be extended any more.
func (s *sequence) keep(c *model.Cache) {
	if limit := s.e.cacheLimit(); limit > 0 {
		s.e.prompts.put(s.key, s.tokens[:c.Len()], c, limit)
	}
}

// take chooses the next token from logits (V). It ends the sequence where that
// is the last one.
func (s *sequence) take(logits []float32) int32 {
	if err := s.ctx.Err(); err != nil {
		s.fail(err)
		return 0
	}
	id := s.sampler.next(logits)
	if s.e.Tokenizer.IsEOG(id) {
		s.c.FinishReason = FinishStop
		s.finish()
		return id
	}
	s.tokens = append(s.tokens, id)
	s.c.Tokens = append(s.c.Tokens, id)
	s.c.LogProbs = append(s.c.LogProbs, logits[id]-kernel.LogSumExp(logits))
	if s.drafter != nil {
		s.drafter.own.append([]int32{id})
	}
	stopped, err := s.out.write(s.stream.Write(id))
	switch {
	case err != nil:
		s.fail(err)
	case stopped:
		s.c.FinishReason = FinishStop
		s.succeed()
	case s.req.Options.Until != nil && s.req.Options.Until(s.out.text()+s.out.held):
		s.c.FinishReason = FinishStop
		s.finish()
	case len(s.c.Tokens) == s.req.Options.MaxTokens:
		s.finish()
	}
	return id
}

// finish passes on the text that was held back.
func (s *sequence) finish() {
	stopped, err := s.out.write(s.stream.Flush())
	if stopped {
		s.c.FinishReason = FinishStop
	} else if err == nil {
		err = s.out.flush()
	}
	if err != nil {
		s.fail(err)
		return
	}
	s.succeed()
}

func (s *sequence) succeed() {
	s.c.Text = s.out.text()
	s.done, s.result = true, Result{Completion: s.c}
}

func (e *Engine) cacheLimit() int64 {
	if e.CacheBytes == 0 {
		return DefaultCacheBytes
	}
	return e.CacheBytes
}
