package method

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/code2lora/code2lora/internal/metric"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// Grade scores a prediction by all metrics that need nothing but texts. A
// partial prediction is wrong, and its similarities are those of what there is.
func Grade(t *repopeft.Task, p *repopeft.Prediction) (*repopeft.Score, error) {
	if t.ID != p.Task {
		return nil, fmt.Errorf("prediction of task %s does not answer task %s", p.Task, t.ID)
	}
	s := &repopeft.Score{
		Task: t.ID, Repository: t.Repository, Track: t.Track, Split: t.Split, InRepo: t.InRepo, Kind: t.Kind, Family: t.Family,
		Difficulty: t.Difficulty, Language: t.Language, Method: p.Method, Level: p.Level,
		Exact: !p.Partial && metric.ExactStrict(t.Language, string(t.Kind), p.Text, t.Target), EditSimilarity: metric.Levenshtein(p.Text, t.Target),
		NLL: p.NLL, Tokens: p.Tokens, TargetBytes: len(t.Target), TargetDigest: targetDigest(t), CommitIndex: t.CommitIndex,
		PromptTokens: p.PromptTokens, ContextTokens: p.ContextTokens,
	}
	paper := metric.Paper(p.Text, t.Target)
	s.ExactPaper, s.TokenBLEU = paper.Exact && !p.Partial, paper.TokenBLEU
	code, err := metric.CodeBLEU(t.Language, p.Text, t.Target)
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", t.ID, err)
	}
	s.CodeBLEU = code.Value
	if !s.Exact {
		s.Error = metric.ErrorClass(t.Language, t.Target, p.Text)
	}
	return s, nil
}

// targetDigest is [repopeft.Score.TargetDigest].
func targetDigest(t *repopeft.Task) string {
	sum := sha256.Sum256([]byte(t.Repository + "\x00" + metric.Normalise(t.Language, t.Target)))
	return hex.EncodeToString(sum[:8])
}
