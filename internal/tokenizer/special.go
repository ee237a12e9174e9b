package tokenizer

import (
	"slices"
	"strings"
)

// Texts by which llama.cpp finds tokens that the metadata do not name
// (llama_vocab::impl::load in src/llama-vocab.cpp).
var (
	fimPreTexts = []string{"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>", "<|prefix|>"}
	fimSufTexts = []string{"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>", "<|suffix|>"}
	fimMidTexts = []string{"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>", "<|middle|>"}
	fimPadTexts = []string{"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}
	fimRepTexts = []string{"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"}
	fimSepTexts = []string{"<|file_sep|>"}

	eogTexts = []string{
		"<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>",
		"<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<｜end▁of▁sentence｜>",
	}
)

// findSpecial looks for the tokens that the metadata do not name, and fixes
// the types of the special ones and the ends of generation.
//
// A token with such a text is made a control token even if its type says
// otherwise, since some files are wrong there; but not when merges lead to
// it, for then it is text ("</s>" closes an element of HTML).
func (t *Tokenizer) findSpecial(tokens []string, fromMerge []bool) {
	find := func(text string) int32 {
		id, ok := t.vocab[text]
		if !ok || (t.types[id] != Control && fromMerge[id]) {
			return -1
		}
		if t.types[id] != UserDefined && t.types[id] != Unknown {
			t.types[id] = Control
		}
		return id
	}
	s := &t.spec
	for _, f := range []struct {
		id    *int32
		texts []string
	}{
		{&s.FIMPre, fimPreTexts}, {&s.FIMSuf, fimSufTexts}, {&s.FIMMid, fimMidTexts},
		{&s.FIMPad, fimPadTexts}, {&s.FIMRep, fimRepTexts}, {&s.FIMSep, fimSepTexts},
	} {
		for i := 0; *f.id < 0 && i < len(f.texts); i++ {
			*f.id = find(f.texts[i])
		}
	}
	t.eog = make(map[int32]bool)
	for _, id := range []int32{s.EOS, s.EOT, s.EOM, s.FIMPad, s.FIMRep, s.FIMSep} {
		if id >= 0 {
			t.eog[id] = true
		}
	}
	for _, text := range eogTexts {
		if id := find(text); id >= 0 {
			t.eog[id] = true
		}
	}
	t.special = newSpecialMatcher(tokens, t.types)
}

// IsEOG reports whether a token ends the generation: end of sequence, turn or
// message, by id or by well-known text, and the FIM tokens for padding,
// repository and file separator, behind which a model writes another file.
func (t *Tokenizer) IsEOG(id int32) bool { return t.eog[id] }

// FIM returns the markers of prefix, suffix and middle for
// fill-in-the-middle prompts, if the vocabulary has all three.
func (t *Tokenizer) FIM() (pre, suf, mid int32, ok bool) {
	s := &t.spec
	return s.FIMPre, s.FIMSuf, s.FIMMid, s.FIMPre >= 0 && s.FIMSuf >= 0 && s.FIMMid >= 0
}

// Special reports whether [Tokenizer.EncodeSpecial] finds this token by its
// text: its type is [Control], [UserDefined] or [Unknown].
func (t *Tokenizer) Special(id int32) bool {
	return id >= 0 && int(id) < len(t.types) && isSpecial(t.types[id])
}

// Control reports whether a token's type is [Control]: it has a meaning but no
// text, and transformers leaves it out of what it decodes, if asked to.
func (t *Tokenizer) Control(id int32) bool {
	return id >= 0 && int(id) < len(t.types) && t.types[id] == Control
}

func isSpecial(typ int32) bool { return typ == Control || typ == UserDefined || typ == Unknown }

// specialMatcher finds the texts of special tokens.
type specialMatcher struct {
	byFirst [256][]specialToken // by first byte, the longest first
}

type specialToken struct {
	text string
	id   int32
}

func newSpecialMatcher(tokens []string, types []int32) specialMatcher {
	var m specialMatcher
	for id, text := range tokens {
		if isSpecial(types[id]) {
			m.byFirst[text[0]] = append(m.byFirst[text[0]], specialToken{text, int32(id)})
		}
	}
	for _, t := range m.byFirst {
		slices.SortFunc(t, func(a, b specialToken) int { return len(b.text) - len(a.text) })
	}
	return m
}

// next returns where the first special token in text begins, and its id: the
// longest one at that place. Without one it returns len(text) and -1.
func (m *specialMatcher) next(text string) (start int, id int32) {
	for i := range len(text) {
		for _, s := range m.byFirst[text[i]] {
			if strings.HasPrefix(text[i:], s.text) {
				return i, s.id
			}
		}
	}
	return len(text), -1
}
