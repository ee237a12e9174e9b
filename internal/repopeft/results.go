package repopeft

import "github.com/code2lora/code2lora/internal/dataset"

// Prediction is what a method answered to a task.
type Prediction struct {
	Task       string `json:"task"` // id
	Repository string `json:"repository"`
	Method     string `json:"method"` // with its settings
	Level      string `json:"level"`  // of disclosure
	// Text is what greedy decoding gave, up to where it stops by itself: see
	// the rules of each Kind in package method. The target had no part in it.
	Text string `json:"text"`
	// Partial tells that Text is only the beginning of an answer, from which it
	// is certain to be wrong.
	Partial bool `json:"partial,omitempty"`
	// NLL is the negative log-likelihood of the target, in nats, over its Tokens.
	NLL           float64 `json:"nll"`
	Tokens        int     `json:"tokens"`         // of the target
	PromptTokens  int     `json:"prompt_tokens"`  // of all that was before the target
	ContextTokens int     `json:"context_tokens"` // of these, what the method put before the prefix
}

// Score is how good a prediction was. It has numbers and labels only.
type Score struct {
	Task       string        `json:"task"`
	Repository string        `json:"repository"`
	Track      Track         `json:"track"`
	Split      dataset.Split `json:"split"`
	InRepo     dataset.Split `json:"in_repo"`
	Kind       Kind          `json:"kind"`
	Family     string        `json:"family,omitempty"`
	Difficulty string        `json:"difficulty,omitempty"`
	Language   string        `json:"language"`
	Method     string        `json:"method"`
	Level      string        `json:"level"`

	Exact          bool    `json:"exact"`           // strict reading
	ExactPaper     bool    `json:"exact_paper"`     // the paper's reading, which looks at the target
	EditSimilarity float64 `json:"edit_similarity"` // of the strict reading
	CodeBLEU       float64 `json:"code_bleu"`
	TokenBLEU      float64 `json:"token_bleu"`
	NLL            float64 `json:"nll"` // nats, over Tokens
	Tokens         int     `json:"tokens"`
	// Passed tells whether the repository's test passed with the answer in
	// place; nil where it was not run.
	Passed *bool `json:"passed,omitempty"`
	// Error is the class of a wrong answer, evaluation.md §8; "" if it is exact.
	Error       string `json:"error,omitempty"`
	TargetBytes int    `json:"target_bytes"`
	// TargetDigest is the same for tasks of a repository whose targets are the
	// same in the strict reading: the first 8 bytes, in hex, of the SHA-256 of
	// repository, NUL and normalised target. "" in scores of older versions.
	TargetDigest string `json:"target_digest,omitempty"`
	// CommitIndex is the position of the task's commit among the kept ones of its
	// repository: how many there are since the anchor. 0 in the static track, and
	// in scores of older versions.
	CommitIndex   int  `json:"commit_index,omitempty"`
	Resolved      bool `json:"resolved"` // dependency-resolved context found something
	PromptTokens  int  `json:"prompt_tokens"`
	ContextTokens int  `json:"context_tokens"`
}
