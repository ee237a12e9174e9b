// Package tokenizer turns text into token ids and back: byte-level BPE exactly
// as the pre-tokenizer of each model demands.
//
// Encoding has three steps. With [Tokenizer.EncodeSpecial] the texts of
// special tokens are cut out first; [Tokenizer.Encode] skips this, so that
// source code which happens to contain "<|endoftext|>" stays ordinary text.
// Then the pre-tokenizer (named as in the GGUF key tokenizer.ggml.pre) cuts
// the text into pieces, and the bytes of each piece are merged, the merge
// of lowest rank first and the leftmost one on ties (Sennrich et al., arXiv
// 1508.07909; on bytes: GPT-2).
//
// The vocabulary is given as in GGUF files: ordinary tokens are spelled in
// the GPT-2 byte alphabet, in which a space is "Ġ"; special tokens are spelled
// as they are. [Tokenizer.Bytes] and [Tokenizer.ID] deal in real bytes.
//
// Text that is not UTF-8 is encoded byte by byte and decodes to the same bytes.
// A byte for which the vocabulary has no token (SmolLM2 lacks some
// control characters, and bytes that no UTF-8 text contains) is dropped, as in
// llama.cpp; Qwen2 has all 256. The unknown token is not used for
// it, since it may be "<|endoftext|>".
package tokenizer

import (
	"fmt"
	"hash/maphash"
	"sync/atomic"
)

// Types of tokens in [Spec.Types], with the values of
// tokenizer.ggml.token_type.
const (
	Normal      int32 = 1
	Unknown     int32 = 2
	Control     int32 = 3
	UserDefined int32 = 4
	Unused      int32 = 5
	Byte        int32 = 6
)

// Spec describes a tokenizer as GGUF metadata does. Ids that a model does not
// have are -1; beware that the zero value of an id is a token.
type Spec struct {
	Pre    string   // name of the pre-tokenizer, such as "qwen2"; see Pretokenizers
	Tokens []string // the text of each id, in the byte alphabet unless special
	Types  []int32  // the type of each id; nil if all are Normal
	Merges []string // "left right", best first

	BOS, EOS, EOT, EOM int32
	AddBOS             bool // whether a prompt begins with BOS; see Tokenizer.AddBOS

	// Markers of fill-in-the-middle. Those that are -1 are looked for by their
	// well-known texts.
	FIMPre, FIMSuf, FIMMid, FIMPad, FIMRep, FIMSep int32

	// NFC composes ordinary text before it is split, as transformers does for
	// Qwen2. llama.cpp does not, and neither does a Tokenizer by default:
	// then text decodes to what was encoded. (Runs of more than 30 combining
	// marks differ from transformers: package norm breaks them up.)
	NFC bool
}

// Tokenizer is safe for concurrent use.
type Tokenizer struct {
	spec   Spec // without Tokens, Merges and Types
	pre    pretokenizer
	vocab  map[string]int32 // by the text in Spec.Tokens
	types  []int32
	bytes  []string   // what each id stands for
	byteID [256]int32 // token of a single byte; -1 if none
	merges mergeTable

	special specialMatcher
	eog     map[int32]bool

	seed  maphash.Seed
	cache [cacheSize]atomic.Pointer[cached]
}

// New checks a description and builds its tokenizer.
func New(spec Spec) (*Tokenizer, error) {
	t := &Tokenizer{spec: spec, seed: maphash.MakeSeed()}
	t.spec.Tokens, t.spec.Types, t.spec.Merges = nil, nil, nil
	var ok bool
	if t.pre, ok = pretokenizers[spec.Pre]; !ok {
		return nil, fmt.Errorf("unknown pre-tokenizer %q: want one of %q", spec.Pre, Pretokenizers())
	}
	if err := t.setVocab(spec); err != nil {
		return nil, err
	}
	fromMerge, err := t.setMerges(spec.Merges)
	if err != nil {
		return nil, err
	}
	for _, id := range t.namedIDs() {
		if *id.id < -1 || int(*id.id) >= len(t.bytes) {
			return nil, fmt.Errorf("%s token id %d is out of range: want -1 (none) or an id below %d", id.name, *id.id, len(t.bytes))
		}
	}
	if spec.AddBOS && spec.BOS < 0 {
		return nil, fmt.Errorf("prompts shall begin with the BOS token, but there is none")
	}
	t.findSpecial(spec.Tokens, fromMerge)
	t.setBytes(spec.Tokens)
	return t, nil
}

// namedID is an id of the Spec and what it is called in errors.
type namedID struct {
	name string
	id   *int32
}

func (t *Tokenizer) namedIDs() []namedID {
	s := &t.spec
	return []namedID{
		{"BOS", &s.BOS}, {"EOS", &s.EOS}, {"EOT", &s.EOT}, {"EOM", &s.EOM},
		{"FIM prefix", &s.FIMPre}, {"FIM suffix", &s.FIMSuf}, {"FIM middle", &s.FIMMid},
		{"FIM pad", &s.FIMPad}, {"FIM repository", &s.FIMRep}, {"FIM separator", &s.FIMSep},
	}
}

// setVocab indexes the tokens and checks their texts and types.
func (t *Tokenizer) setVocab(spec Spec) error {
	if len(spec.Tokens) == 0 {
		return fmt.Errorf("the vocabulary is empty")
	}
	const most = 1 << 28
	if len(spec.Tokens) > most || len(spec.Merges) > most {
		return fmt.Errorf("%d tokens and %d merges: want at most %d", len(spec.Tokens), len(spec.Merges), most)
	}
	if spec.Types != nil && len(spec.Types) != len(spec.Tokens) {
		return fmt.Errorf("%d token types for %d tokens", len(spec.Types), len(spec.Tokens))
	}
	t.types = make([]int32, len(spec.Tokens))
	t.bytes = make([]string, len(spec.Tokens))
	t.vocab = make(map[string]int32, len(spec.Tokens))
	for id, text := range spec.Tokens {
		t.types[id] = Normal
		if spec.Types != nil {
			t.types[id] = spec.Types[id]
		}
		if typ := t.types[id]; typ < Normal || typ > Byte {
			return fmt.Errorf("token %d (%q): type %d, want %d to %d", id, text, typ, Normal, Byte)
		}
		if text == "" {
			return fmt.Errorf("token %d has no text", id)
		}
		if other, ok := t.vocab[text]; ok {
			return fmt.Errorf("tokens %d and %d have the same text %q", other, id, text)
		}
		t.vocab[text] = int32(id)
	}
	return nil
}

// setBytes works out what each token stands for and the tokens of single
// bytes. The types must be final.
func (t *Tokenizer) setBytes(tokens []string) {
	for i := range t.byteID {
		t.byteID[i] = -1
	}
	// One string holds all of them: fewer and denser than one for each.
	var all []byte
	ends := make([]int, len(tokens))
	for id, text := range tokens {
		switch typ := t.types[id]; {
		case typ == Normal:
			all = appendBytes(all, text)
		case isSpecial(typ):
			all = append(all, text...)
		}
		ends[id] = len(all)
	}
	joined, start := string(all), 0
	for id, end := range ends {
		b := joined[start:end]
		start = end
		t.bytes[id] = b
		if t.types[id] == Normal && len(b) == 1 && toAlphabet(b) == tokens[id] {
			t.byteID[b[0]] = int32(id)
		}
	}
}

// VocabSize returns the number of ids, unused ones included.
func (t *Tokenizer) VocabSize() int { return len(t.bytes) }

// BOS returns the id of the token at the beginning of a text, or -1.
func (t *Tokenizer) BOS() int32 { return t.spec.BOS }

// EOS returns the id of the token at the end of a text, or -1.
func (t *Tokenizer) EOS() int32 { return t.spec.EOS }

// AddBOS reports whether a prompt shall begin with [Tokenizer.BOS]. It is up
// to the caller to put it there: no Encode method does.
func (t *Tokenizer) AddBOS() bool { return t.spec.AddBOS }

// Start returns the token that begins an empty text: the one that begins every
// text, else the one that ends it. A vocabulary may have neither.
func (t *Tokenizer) Start() (id int32, ok bool) {
	if id = t.spec.BOS; id < 0 {
		id = t.spec.EOS
	}
	return id, id >= 0
}

// ID returns the token that stands for exactly this text: "<|im_end|>", " if".
// Where a special and an ordinary token stand for the same text, it is the
// special one.
func (t *Tokenizer) ID(text string) (int32, bool) {
	if id, ok := t.vocab[text]; ok && t.Special(id) {
		return id, true
	}
	if id, ok := t.vocab[toAlphabet(text)]; ok && t.types[id] == Normal {
		return id, true
	}
	return 0, false
}
