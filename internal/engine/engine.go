// Package engine completes text: prompts, model and adapters in, completions
// out.
//
// The base stays resident; an adapter is packed once, as a [Handle], chosen per
// request, and applied unmerged. Requests are decoded together, whatever their
// adapters: [Engine.CompleteBatch] takes a list, a [Scheduler] takes them as
// they come, and [Engine.Complete] is the case of one. In each pass over the
// weights every request takes part with a piece of its prompt, or with its
// next token; then it streams text as soon as that is whole UTF-8 and cannot
// belong to a stop sequence any more.
//
// Three things make this fast and change no bit of a result (in the precision
// bfloat16: no more than the last places), since what the model gives a token
// does not depend on the other rows of a pass:
//
//   - decoding together: one product with the base for all requests;
//   - the prompt cache: keys and values of earlier requests with the same adapter
//     are taken over as far as the tokens are the same, see [Engine.CacheBytes];
//   - look-up decoding: what followed the last tokens where they appeared
//     before, in the prompt, the answer or an [Index] of a repository, is
//     proposed as a draft, and one pass verifies all of it.
package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// Engine completes prompts with one base model. Its methods may be called
// concurrently.
type Engine struct {
	Model     *model.Model
	Tokenizer *tokenizer.Tokenizer
	// CacheBytes bounds the prompt cache; 0 means [DefaultCacheBytes], and less
	// that there is none. It must not change after the first request.
	CacheBytes int64

	prompts promptCache
}

// DefaultCacheBytes is 256 MiB: some 6,000 tokens of a base of 135 million
// parameters.
const DefaultCacheBytes = 256 << 20

// Prompt is what surrounds the completion.
type Prompt struct {
	Prefix string
	// Suffix is the text after the cursor. It is used when the base has
	// fill-in-the-middle tokens, and else ignored, see
	// [Completion.SuffixIgnored].
	Suffix string
	// Tokens, unless empty, are the prompt as the caller laid it out, instead of
	// Prefix and Suffix. They are not cut.
	Tokens []int32
}

// Options control one completion.
type Options struct {
	MaxTokens   int      // tokens to generate at most
	Temperature float64  // 0: the most likely token every time
	TopK        int      // sample among the K most likely tokens; 0: all
	TopP        float64  // sample among the smallest set of this probability; 0 or 1: all
	Seed        uint64   // of the sampler
	Stop        []string // texts that end the completion and are not part of it
	// Until, if not nil, is asked about the text so far after each token, and
	// ends the completion when it returns true.
	Until    func(text string) bool
	NoLookup bool // decode token by token, without drafts
}

// Validate reports every option that cannot work.
func (o *Options) Validate() error {
	var errs []error
	if o.MaxTokens < 1 {
		errs = append(errs, fmt.Errorf("max tokens %d: want at least 1", o.MaxTokens))
	}
	if !(o.Temperature >= 0) || math.IsInf(o.Temperature, 0) {
		errs = append(errs, fmt.Errorf("temperature %g: want 0 or more", o.Temperature))
	}
	if o.TopK < 0 {
		errs = append(errs, fmt.Errorf("top-k %d: want 0 or more", o.TopK))
	}
	if !(o.TopP >= 0 && o.TopP <= 1) {
		errs = append(errs, fmt.Errorf("top-p %g: want 0 to 1", o.TopP))
	}
	for _, s := range o.Stop {
		if s == "" {
			errs = append(errs, errors.New("a stop sequence is empty"))
		}
	}
	return errors.Join(errs...)
}

// Finish reasons, as OpenAI clients know them.
const (
	FinishStop   = "stop"   // a stop sequence, Until, or an end-of-generation token
	FinishLength = "length" // the token limit, or the end of the context
)

// Completion is the answer to a prompt.
type Completion struct {
	Text          string    `json:"text"`
	Tokens        []int32   `json:"tokens"`    // generated, including any that a stop sequence cut
	LogProbs      []float32 `json:"log_probs"` // natural logarithm of each token's probability, before temperature
	FinishReason  string    `json:"finish_reason"`
	PromptTokens  int       `json:"prompt_tokens"`
	Truncated     bool      `json:"truncated"`      // the prompt's beginning did not fit the context
	SuffixIgnored bool      `json:"suffix_ignored"` // the base has no fill-in-the-middle tokens
	Reference     []float32 `json:"-"`              // natural logarithm of the probability of each token of the request's reference
	CachedTokens  int       `json:"-"`              // of the prompt, taken from the prompt cache
	Drafted       int       `json:"-"`              // tokens proposed by look-up
	Accepted      int       `json:"-"`              // of those
}

// Complete continues a prompt, with adapter a or, when it is nil, the bare
// base. emit, if not nil, receives the text piece by piece; an error from it
// ends the completion.
//
// It packs the adapter first: for more than one prompt with an adapter, make a
// [Handle] and call [Engine.Do] or [Engine.CompleteBatch].
func (e *Engine) Complete(ctx context.Context, p Prompt, a *adapter.Adapter, opt Options, emit func(string) error) (*Completion, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	h, err := e.Handle(a)
	if err != nil {
		return nil, err
	}
	return e.Do(ctx, Request{Prompt: p, Adapter: h, Options: opt, Emit: emit})
}

// promptTokens lays out a prompt, cut at its beginning to leave room for the
// answer. Where the tokenizer asks for it, the token that begins a text comes
// first, cut or not.
func (e *Engine) promptTokens(p Prompt, maxTokens int, c *Completion) ([]int32, error) {
	t := e.Tokenizer
	room := e.Model.MaxContext() - maxTokens
	if len(p.Tokens) > 0 {
		if len(p.Tokens) > room {
			return nil, fmt.Errorf("a prompt of %d tokens and %d to generate do not fit a context of %d", len(p.Tokens), maxTokens, e.Model.MaxContext())
		}
		return slices.Clone(p.Tokens), nil
	}
	if room < 8 { // the fewest in which a prompt says anything
		return nil, fmt.Errorf("%d tokens to generate leave no room for a prompt in a context of %d", maxTokens, e.Model.MaxContext())
	}
	var bos []int32
	if t.AddBOS() {
		bos = []int32{t.BOS()}
		room--
	}
	prefix := t.Encode(p.Prefix)
	pre, suf, mid, fim := t.FIM()
	c.SuffixIgnored = p.Suffix != "" && !fim
	if p.Suffix == "" || !fim {
		if len(prefix) == 0 && len(bos) == 0 {
			start, ok := t.Start()
			if !ok {
				return nil, errors.New("empty prompt, and the base has no token to start from: give some text")
			}
			prefix = []int32{start}
		}
		c.Truncated = len(prefix) > room
		return append(bos, prefix[max(0, len(prefix)-room):]...), nil
	}
	// Three quarters of the room go to the prefix, unless the suffix is short.
	suffix := t.Encode(p.Suffix)
	room -= 3
	forSuffix := min(len(suffix), max(room/4, room-len(prefix)))
	forPrefix := min(len(prefix), room-forSuffix)
	c.Truncated = forSuffix < len(suffix) || forPrefix < len(prefix)
	ids := append(append(bos, pre), prefix[len(prefix)-forPrefix:]...)
	ids = append(append(ids, suf), suffix[:forSuffix]...)
	return append(ids, mid), nil
}
