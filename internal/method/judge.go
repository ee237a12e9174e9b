package method

import (
	"strings"
	"unicode"

	"github.com/code2lora/code2lora/internal/metric"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// verdict is what the most likely tokens along the target say about the answer
// that greedy decoding would give.
type verdict int

const (
	open  verdict = iota // nothing certain: decode
	hit                  // it is the target
	wrong                // it is not the target, whatever follows
)

// judge tells from one teacher-forced pass what greedy decoding would answer.
// best[i] is the most likely token after the prompt and target[:i]; it has one
// more than target. As long as they are the target's, decoding takes the same
// path, so all that is known of its text is that it begins with these tokens
// and the first other one: the text returned. Text that differs from the
// answer by tokens alone (")" and ")\n", say) leaves the path without being
// wrong, and is open.
func judge(t *tokenizer.Tokenizer, q *repopeft.Query, answer string, target, best []int32) (verdict, string) {
	n := 0
	for n < len(target) && best[n] == target[n] {
		n++
	}
	path := append([]int32(nil), target[:n]...)
	ended := t.IsEOG(best[n])
	if !ended {
		path = append(path, best[n])
	}
	text := t.Decode(path)
	cut, done := metric.Complete(q.Language, string(q.Kind), text)
	switch {
	case ended || done:
		// The text ends here, in the reading that nobody can change any more.
		if metric.ExactStrict(q.Language, string(q.Kind), cut, answer) {
			return hit, cut
		}
		return wrong, cut
	case !strings.HasPrefix(squeeze(answer), squeeze(cut)):
		return wrong, cut
	}
	return open, cut
}

// squeeze removes white space, which the strict reading may ignore.
func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
}
