package metric

import (
	"math"
	"regexp"
	"slices"
	"strings"
)

// maxOrder is the length of the longest n-grams.
const maxOrder = 4

// ngrams counts the n-grams of tokens.
func ngrams(tokens []string, n int) map[string]int {
	counts := map[string]int{}
	for i := 0; i+n <= len(tokens); i++ {
		counts[strings.Join(tokens[i:i+n], "\x00")]++
	}
	return counts
}

// overlap returns how many n-grams two texts share, each as often as it is in
// both.
func overlap(a, b map[string]int) (shared int) {
	for gram, n := range a {
		shared += min(n, b[gram])
	}
	return shared
}

// codeToken is how the paper's code finds tokens; \w and \d of Python are of
// all scripts, and "." stops at newlines.
var codeToken = regexp.MustCompile(`[a-zA-Z_][\p{L}\p{N}_]*|0[xXoObB][\p{Nd}a-fA-F_]+|\p{Nd}[\p{Nd}_]*\.?\p{Nd}*[eE]?[\p{Nd}_]*|` +
	`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\t-\r\x1c-\x20\x{85}\p{Z}]`)

// TokenBLEU is what the paper's figures named CodeBLEU are: BLEU over the
// tokens of a code, where each precision has one added above and below. It is
// 0 if either text is blank, and 1 for the same text. One wrong token against
// one token gives ½.
func TokenBLEU(prediction, reference string) float64 {
	p, r := strip(prediction), strip(reference)
	if p == "" || r == "" {
		return 0
	}
	if p == r {
		return 1
	}
	pt, rt := codeToken.FindAllString(prediction, -1), codeToken.FindAllString(reference, -1)
	if len(pt) == 0 || len(rt) == 0 {
		return 0
	}
	var sum float64
	for n := 1; n <= maxOrder; n++ {
		total := max(len(pt)-n+1, 1)
		sum += math.Log(float64(overlap(ngrams(pt, n), ngrams(rt, n))+1)/float64(total+1)) / maxOrder
	}
	return min(1, float64(len(pt))/float64(len(rt))) * math.Exp(sum)
}

// BLEU is that of one sentence, from 0 to 1, as sacrebleu gives it by default:
// the orders for which the prediction is long enough, the k-th precision
// without a match counted as 2⁻ᵏ matches.
func BLEU(prediction, reference []string) float64 {
	var logs float64
	var any bool
	order, smooth := 0, 1.0
	for n := 1; n <= maxOrder; n++ {
		total := len(prediction) - n + 1
		if total <= 0 {
			break
		}
		order = n
		correct := float64(overlap(ngrams(prediction, n), ngrams(reference, n)))
		if correct == 0 {
			smooth *= 2
			correct = 1 / smooth
		} else {
			any = true
		}
		logs += math.Log(correct / float64(total))
	}
	if !any {
		return 0
	}
	return brevity(len(prediction), len(reference)) * math.Exp(logs/float64(order))
}

// brevity is the factor by which a short prediction is worse.
func brevity(prediction, reference int) float64 {
	switch {
	case prediction >= reference:
		return 1
	case prediction == 0:
		return 0
	}
	return math.Exp(1 - float64(reference)/float64(prediction))
}

// noMatch is what NLTK does to precisions: a tenth of a match where there
// is none.
const noMatch = 0.1

// codeNgrams are the first two parts of CodeBLEU: BLEU over words between
// blanks, and the recall of the target's n-grams in which keywords of the
// language count five times as much as other words. Without a common word,
// each is 0.
func codeNgrams(prediction, reference []string, keywords []string) (plain, weighted float64) {
	var plainLogs, weightedLogs float64
	for n := 1; n <= maxOrder; n++ {
		p, r := ngrams(prediction, n), ngrams(reference, n)
		match := float64(overlap(p, r))
		if n == 1 && match == 0 {
			return 0, 0
		}
		plainLogs += logPrecision(match, float64(max(1, len(prediction)-n+1)))
		total := float64(max(1, len(reference)-n+1))
		if n == 1 {
			match, total = 0, 0
			for gram, count := range r {
				w := 0.2
				if slices.Contains(keywords, gram) {
					w = 1
				}
				match += w * float64(min(count, p[gram]))
				total += w * float64(count)
			}
			total = max(1, total)
		}
		weightedLogs += logPrecision(match, total)
	}
	plain = brevity(len(prediction), len(reference)) * math.Exp(plainLogs/maxOrder)
	// The package takes the length of the pair (words, weights) for that of the
	// target, which is therefore 2.
	return plain, brevity(len(prediction), 2) * math.Exp(weightedLogs/maxOrder)
}

func logPrecision(match, total float64) float64 {
	if match == 0 {
		match = noMatch
	}
	return math.Log(match / total)
}
