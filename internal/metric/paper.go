package metric

import "strings"

// PaperScore is what the paper's code gives for a prediction.
type PaperScore struct {
	Exact          bool
	EditSimilarity float64
	// TokenBLEU stands in the paper's columns "CodeBLEU": its log says that
	// the package of that name was not installed, and the figures agree.
	TokenBLEU float64
}

// Paper scores a prediction in the paper's reading, which looks at the target.
func Paper(prediction, reference string) PaperScore {
	p, r := PostProcess(prediction, reference)
	return PaperScore{ExactPaper(p, r), EditSimilarity(p, r), TokenBLEU(p, r)}
}

// fimTokens are those which the paper's code deletes.
var fimTokens = strings.NewReplacer("<|fim_prefix|>", "", "<|fim_suffix|>", "", "<|fim_middle|>", "")

// PostProcess cuts a raw prediction to the shape of the target, as the paper's
// code does, and returns both as they are compared. It READS THE TARGET: where
// that has no newline, comma or blank, neither has the prediction afterwards.
// Comments are cut at the first "#", also in strings, so that any two strings
// with colours are equal.
func PostProcess(prediction, reference string) (p, r string) {
	p = fimTokens.Replace(prediction)
	p = strip(p)
	if !strings.Contains(reference, "\n") {
		p, _, _ = strings.Cut(p, "\n")
	}
	p = cutComment(p)
	r = cutComment(reference)
	if r != "" {
		if !strings.Contains(r, ",") {
			p, _, _ = strings.Cut(p, ",")
			p = strip(p)
		}
		if words := fields(p); len(fields(r)) == 1 && len(words) > 1 {
			p = words[0]
		}
	}
	return strip(p), r
}

func cutComment(s string) string {
	s, _, _ = strings.Cut(s, "#")
	return strip(s)
}

// ExactPaper reports whether two texts are equal in the paper's form: without
// colons, commas and blanks at their ends, blanks beside commas dropped, and
// other blanks one space.
func ExactPaper(p, r string) bool { return paperForm(p) == paperForm(r) }

func paperForm(s string) string {
	s = strings.TrimRight(strip(s), ":, \t")
	s = strings.ReplaceAll(s, ", ", ",")
	s = strings.ReplaceAll(s, " ,", ",")
	return strings.Join(fields(s), " ")
}
