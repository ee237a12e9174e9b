// Package score measures how well a model, with or without an adapter,
// predicts the targets of tasks.
//
// A [Task] is a prefix and the target that should follow. Both are tokenised
// on their own, and one teacher-forced pass gives the two figures:
//
//   - cross-entropy, in nats per target token;
//   - exact match: the greedy continuation begins with exactly the target's
//     tokens and then leaves it, which is when the most likely next token
//     starts with a newline, a closing bracket, a comma or a comment sign, or
//     ends the text. Greedy decoding would produce the same tokens as long as
//     each most likely token equals the target's, so none is decoded.
package score

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// Task is one line of a TASKS.jsonl file. Further fields are ignored.
type Task struct {
	Prefix     string `json:"prefix"`
	Target     string `json:"target"`
	Repository string `json:"repository,omitempty"`
}

// ReadTasks reads one JSON object per line.
func ReadTasks(r io.Reader) ([]Task, error) {
	var tasks []Task
	in := bufio.NewReader(r)
	for line := 1; ; line++ {
		text, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if len(strings.TrimSpace(string(text))) > 0 {
			var raw struct {
				Prefix     *string `json:"prefix"`
				Target     *string `json:"target"`
				Repository string  `json:"repository"`
			}
			if err := json.Unmarshal(text, &raw); err != nil {
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
			if raw.Prefix == nil || raw.Target == nil || *raw.Target == "" {
				return nil, fmt.Errorf("line %d: want an object with %q and a non-empty %q", line, "prefix", "target")
			}
			tasks = append(tasks, Task{*raw.Prefix, *raw.Target, raw.Repository})
		}
		if err != nil {
			break
		}
	}
	if len(tasks) == 0 {
		return nil, errors.New("no tasks: want one JSON object per line")
	}
	return tasks, nil
}

// Value is the score of one task.
type Value struct {
	ExactMatch   bool    `json:"exact_match"`
	CrossEntropy float64 `json:"cross_entropy"` // nats per target token
	Tokens       int     `json:"tokens"`        // tokens of the target
	PrefixTokens int     `json:"prefix_tokens"`
}

// Summary is the score of all tasks.
type Summary struct {
	Tasks        int     `json:"tasks"`
	ExactMatch   float64 `json:"exact_match"`   // share of tasks
	CrossEntropy float64 `json:"cross_entropy"` // nats per target token, over all target tokens
}

// Summarize averages values.
func Summarize(values []Value) Summary {
	s := Summary{Tasks: len(values)}
	var nll, tokens float64
	for _, v := range values {
		if v.ExactMatch {
			s.ExactMatch++
		}
		nll += v.CrossEntropy * float64(v.Tokens)
		tokens += float64(v.Tokens)
	}
	if len(values) > 0 {
		s.ExactMatch /= float64(len(values))
		s.CrossEntropy = nll / tokens
	}
	return s
}

// Scorer scores tasks with one base model.
type Scorer struct {
	Base      compute.Backend
	Tokenizer *tokenizer.Tokenizer
	// MaxPrefixTokens cuts prefixes at their beginning; 0 means what the
	// context allows.
	MaxPrefixTokens int
}

// rowsAtOnce bounds the tokens of one pass over the weights, of which tasks of
// one file or repository have many in common.
const rowsAtOnce = 1024

// Score scores tasks, with adapter a or the bare base, and calls report with
// the number of tasks done. Tasks that begin with the same tokens are scored in
// one pass, wherever they are in the list.
func (s *Scorer) Score(ctx context.Context, tasks []Task, a *adapter.Adapter, report func(done int)) ([]Value, error) {
	values := make([]Value, len(tasks))
	b := model.Batch{}
	which := -1
	if a != nil {
		b.Adapters, which = []*adapter.Adapter{a}, 0
	}
	seqs, tokens := make([]model.Sequence, len(tasks)), make([][]int32, len(tasks))
	for i, t := range tasks {
		seq, n, err := s.sequence(t)
		if err != nil {
			return nil, fmt.Errorf("task %d: %w", i+1, err)
		}
		seq.Adapter = which
		seqs[i], tokens[i] = seq, seq.Tokens
		values[i] = Value{Tokens: len(seq.Labels) - 1, PrefixTokens: n}
	}
	done := 0
	for _, group := range compute.Group(tokens, rowsAtOnce) {
		b.Sequences = nil
		for _, i := range group {
			b.Sequences = append(b.Sequences, seqs[i])
		}
		res, err := s.Base.Do(ctx, compute.NewRequest(s.Base, compute.Score, b, model.GradientOptions{}))
		if err != nil {
			return nil, err
		}
		for k, i := range group {
			s.judge(&values[i], seqs[i].Labels, res.NLL[k], res.Argmax[k])
		}
		if done += len(group); report != nil {
			report(done)
		}
	}
	return values, nil
}

// sequence lays out one task: a label for each target token and one more for
// what follows the target.
func (s *Scorer) sequence(t Task) (model.Sequence, int, error) {
	prefix, target := s.Tokenizer.Encode(t.Prefix), s.Tokenizer.Encode(t.Target)
	if len(target) == 0 {
		return model.Sequence{}, 0, fmt.Errorf("target %q has no tokens: the base's vocabulary lacks its bytes", t.Target)
	}
	var bos []int32
	if s.Tokenizer.AddBOS() {
		bos = []int32{s.Tokenizer.BOS()}
	}
	context := s.Base.Info().MaxContext
	room := context - len(target) - len(bos)
	if s.MaxPrefixTokens > 0 {
		room = min(room, s.MaxPrefixTokens)
	}
	if room < 1 {
		return model.Sequence{}, 0, fmt.Errorf("target of %d tokens does not fit a context of %d", len(target), context)
	}
	prefix = append(bos, prefix[max(0, len(prefix)-room):]...)
	if len(prefix) == 0 { // something must come before the first target token
		start, ok := s.Tokenizer.Start()
		if !ok {
			return model.Sequence{}, 0, errors.New("empty prefix, and the base has no token to start from")
		}
		prefix = []int32{start}
	}
	seq := model.Sequence{Tokens: append(append([]int32(nil), prefix...), target...)}
	for i, id := range target {
		seq.Labels = append(seq.Labels, model.Label{Pos: len(prefix) - 1 + i, Target: id, Weight: 1})
	}
	// The last label asks what comes next; its target is arbitrary.
	seq.Labels = append(seq.Labels, model.Label{Pos: len(seq.Tokens) - 1, Target: target[0]})
	return seq, len(prefix), nil
}

// judge fills in the scores of one task.
func (s *Scorer) judge(v *Value, labels []model.Label, nll []float32, best []int32) {
	v.ExactMatch = true
	n := len(labels) - 1
	for i := range n {
		v.CrossEntropy += float64(nll[i]) / float64(n)
		v.ExactMatch = v.ExactMatch && best[i] == labels[i].Target
	}
	v.ExactMatch = v.ExactMatch && Leaves(s.Tokenizer, best[n])
}

// Leaves reports whether a token after a target ends it: one that starts with
// a newline, a closing bracket, a comma or a comment sign, or that ends the
// text. "//" is no comment sign here: in Python it divides.
func Leaves(t *tokenizer.Tokenizer, id int32) bool {
	if t.IsEOG(id) {
		return true
	}
	text := t.Bytes(id)
	return len(text) > 0 && strings.IndexByte("\r\n)]},#", text[0]) >= 0
}
