// Package metric says how good an answer is.
//
// There are two readings of a prediction.
//
// The strict reading never sees the target. [Strict] cuts what a model wrote
// where its answer ends by itself, [Complete] says while decoding whether
// that has come, and [ExactStrict] compares the answer with the target up to
// blanks and comments that don't matter. [Levenshtein] and [Indel] are its edit
// similarities.
//
// The paper's reading (arXiv 2606.06492) looks at the target: [PostProcess] cuts
// the prediction to its shape, by rules that call some wrong answers right.
// [Paper] has it only so that figures can be compared; [EditSimilarity] and
// [TokenBLEU], which the paper calls CodeBLEU, go with it.
//
// [CodeBLEU] is the real one (Ren et al., arXiv 2009.10297), with syntax trees
// and data flow, and [BLEU] that of sentences (Post, WMT 2018). [ErrorClass]
// says in which way a wrong answer is wrong.
//
// Languages are named as in gitrepo.Language; strings and comments of a
// language that isn't known are taken to be like Python's.
package metric

import (
	"strings"
	"unicode"
)

// isSpace is Python's str.isspace for one character.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// strip is Python's str.strip.
func strip(s string) string { return strings.TrimFunc(s, isSpace) }

// fields is Python's str.split.
func fields(s string) []string { return strings.FieldsFunc(s, isSpace) }
