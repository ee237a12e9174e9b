package method

import (
	"errors"
	"fmt"
	"strings"

	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/retrieve"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// Layout says how a query becomes tokens, the same for every method:
//
//	[begin of text] context, three newlines, prefix
//
// Context and prefix have room of their own, so that neither displaces the
// other. (In the authors' evaluation of the evolution track both share 4,096
// tokens that are cut at the beginning, which costs retrieval its context.)
type Layout struct {
	// PrefixTokens is the most that is kept of a prefix, counted from its end.
	// What is cut is a multiple of a quarter of it, so that the tasks of one
	// file begin with the same tokens, and are computed together.
	PrefixTokens int `json:"prefix_tokens"`
	// ContextTokens is the most that a method's context may take.
	ContextTokens int `json:"context_tokens"`
	// SuffixTokens is the most that is shown of what follows, where a whole line
	// is asked for and the base has fill-in-the-middle tokens.
	SuffixTokens int `json:"suffix_tokens"`
	// RawPrefix keeps the blanks that a prefix ends with, as the paper does.
	// Otherwise they begin the answer: byte-level tokenizers join a space to
	// the word after it, so no model has seen many texts that end with one.
	RawPrefix bool `json:"raw_prefix,omitempty"`
}

// DefaultLayout is what runs use unless told otherwise.
func DefaultLayout() Layout { return Layout{PrefixTokens: 768, ContextTokens: 768, SuffixTokens: 256} }

// Validate reports what cannot work in a context of the given number of tokens.
func (l Layout) Validate(context, answer int) error {
	switch {
	case l.PrefixTokens < 16:
		return fmt.Errorf("%d tokens for the prefix: want at least 16", l.PrefixTokens)
	case l.ContextTokens < 0 || l.SuffixTokens < 0:
		return errors.New("room for context and suffix cannot be negative")
	case l.PrefixTokens+l.ContextTokens+l.SuffixTokens+answer+8 > context:
		return fmt.Errorf("%d tokens for prefix, %d for context, %d for the suffix and %d for the answer do not fit the base's context of %d",
			l.PrefixTokens, l.ContextTokens, l.SuffixTokens, answer, context)
	}
	return nil
}

// laid is a query in tokens.
type laid struct {
	ids     []int32
	context int    // of ids, those of the context
	blanks  string // moved from the end of the prefix to the answer
}

// lay lays out a query. A context that is longer than its room is cut at its
// end.
func (l Layout) lay(t *tokenizer.Tokenizer, q *repopeft.Query, context string) (laid, error) {
	var out laid
	if t.AddBOS() {
		out.ids = append(out.ids, t.BOS())
	}
	prefix := q.Prefix
	if !l.RawPrefix {
		prefix = strings.TrimRight(prefix, " \t")
		out.blanks = q.Prefix[len(prefix):]
	}
	if strings.TrimSpace(context) != "" {
		ids := t.Encode(retrieve.Assemble(context, ""))
		ids = ids[:min(len(ids), l.ContextTokens)]
		out.ids, out.context = append(out.ids, ids...), len(ids)
	}
	ids := t.Encode(prefix)
	if over := len(ids) - l.PrefixTokens; over > 0 {
		step := max(l.PrefixTokens/4, 1)
		ids = ids[(over+step-1)/step*step:]
	}
	pre, suf, mid, fim := t.FIM()
	if q.Kind == repopeft.Line && q.Suffix != "" && fim && l.SuffixTokens > 0 {
		after := t.Encode(q.Suffix)
		out.ids = append(append(out.ids, pre), ids...)
		out.ids = append(append(out.ids, suf), after[:min(len(after), l.SuffixTokens)]...)
		out.ids = append(out.ids, mid)
	} else {
		out.ids = append(out.ids, ids...)
	}
	if len(out.ids) == 0 {
		start, ok := t.Start()
		if !ok {
			return laid{}, errors.New("empty prefix, and the base has no token to start from")
		}
		out.ids = []int32{start}
	}
	return out, nil
}
