// Package engine completes text: prompt, model and adapter in, completion out.
//
// The base stays resident; an adapter is chosen per request and applied
// unmerged. [Engine.Complete] prefills the prompt into a key/value cache and
// decodes token by token, streaming text as soon as it is whole UTF-8 and
// cannot belong to a stop sequence any more.
package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// Engine completes prompts with one base model. Its methods may be called
// concurrently.
type Engine struct {
	Model     *model.Model
	Tokenizer *tokenizer.Tokenizer
}

// Prompt is what surrounds the completion.
type Prompt struct {
	Prefix string
	// Suffix is the text after the cursor. It is used when the base has
	// fill-in-the-middle tokens, and else ignored, see
	// [Completion.SuffixIgnored].
	Suffix string
}

// Options control one completion.
type Options struct {
	MaxTokens   int      // tokens to generate at most
	Temperature float64  // 0: the most likely token every time
	TopK        int      // sample among the K most likely tokens; 0: all
	TopP        float64  // sample among the smallest set of this probability; 0 or 1: all
	Seed        uint64   // of the sampler
	Stop        []string // texts that end the completion and are not part of it
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
	FinishStop   = "stop"   // a stop sequence, or an end-of-generation token
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
}

// Complete continues a prompt, with adapter a or, when it is nil, the bare
// base. emit, if not nil, receives the text piece by piece; an error from it
// ends the completion.
func (e *Engine) Complete(ctx context.Context, p Prompt, a *adapter.Adapter, opt Options, emit func(string) error) (*Completion, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	c := &Completion{Tokens: []int32{}, LogProbs: []float32{}, FinishReason: FinishLength} // no null in JSON
	ids, err := e.promptTokens(p, opt.MaxTokens, c)
	if err != nil {
		return nil, err
	}
	c.PromptTokens = len(ids)
	rank := 0
	if a != nil {
		rank = a.Rank
	}
	if err := e.Model.NeedContext(len(ids)+opt.MaxTokens, len(ids), rank); err != nil {
		return nil, err
	}
	cache, err := e.Model.NewCache(a)
	if err != nil {
		return nil, err
	}
	sampler := newSampler(opt)
	out := &output{stops: opt.Stop, emit: emit}
	stream := e.Tokenizer.NewStream()
	next := ids
	for len(c.Tokens) < opt.MaxTokens && cache.Len()+len(next) <= e.Model.MaxContext() {
		logits, err := e.Model.Extend(ctx, []model.Extension{{Cache: cache, Tokens: next}})
		if err != nil {
			return nil, err
		}
		id := sampler.next(logits[0])
		if e.Tokenizer.IsEOG(id) {
			c.FinishReason = FinishStop
			break
		}
		c.Tokens = append(c.Tokens, id)
		c.LogProbs = append(c.LogProbs, logits[0][id]-kernel.LogSumExp(logits[0]))
		stopped, err := out.write(stream.Write(id))
		if err != nil {
			return nil, err
		}
		if stopped {
			c.FinishReason = FinishStop
			c.Text = out.text()
			return c, nil
		}
		next = []int32{id}
	}
	stopped, err := out.write(stream.Flush())
	if stopped {
		c.FinishReason = FinishStop
	} else if err == nil {
		err = out.flush()
	}
	if err != nil {
		return nil, err
	}
	c.Text = out.text()
	return c, nil
}

// promptTokens lays out a prompt, cut at its beginning to leave room for the
// answer. Where the tokenizer asks for it, the token that begins a text comes
// first, cut or not.
func (e *Engine) promptTokens(p Prompt, maxTokens int, c *Completion) ([]int32, error) {
	t := e.Tokenizer
	room := e.Model.MaxContext() - maxTokens
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
			start := t.BOS()
			if start < 0 {
				start = t.EOS()
			}
			if start < 0 {
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

// output collects text, holds back what may be the beginning of a stop
// sequence, and passes on the rest.
type output struct {
	stops []string
	emit  func(string) error
	done  strings.Builder // passed on
	held  string
}

func (o *output) text() string { return o.done.String() }

// write adds text and reports whether a stop sequence has appeared.
func (o *output) write(s string) (stopped bool, err error) {
	o.held += s
	first := -1
	for _, stop := range o.stops {
		if i := strings.Index(o.held, stop); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	if first >= 0 {
		return true, o.pass(first)
	}
	return false, o.pass(len(o.held) - o.partial())
}

// partial returns the length of the longest end of held that begins a stop
// sequence.
func (o *output) partial() int {
	longest := 0
	for _, stop := range o.stops {
		for n := min(len(stop)-1, len(o.held)); n > longest; n-- {
			if strings.HasSuffix(o.held, stop[:n]) {
				longest = n
			}
		}
	}
	return longest
}

func (o *output) flush() error { return o.pass(len(o.held)) }

func (o *output) pass(n int) error {
	s := o.held[:n]
	o.held = o.held[n:]
	o.done.WriteString(s)
	if s == "" || o.emit == nil {
		return nil
	}
	return o.emit(s)
}
