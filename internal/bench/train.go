package bench

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/model"
)

// The batch of a training step: what reference/peers/peer_train.py takes.
const (
	batchSequences = 4
	batchTokens    = 256
	batchLabels    = 16
)

// A batch of tasks: test files that each have several, whose prefixes are
// nested, since every one begins where its file does.
const (
	taskFiles  = 2
	tasksOf    = 8  // of each file
	taskTokens = 64 // from one task to the next
	taskLabels = 8  // tokens of a target
)

// fullBatch returns 4 sequences of 256 tokens with 16 labels each, which have
// nothing in common.
func fullBatch(m *model.Model) model.Batch {
	rng := rand.New(rand.NewPCG(1, 2))
	b := model.Batch{Adapters: []*adapter.Adapter{randomAdapter(rng, m)}}
	for range batchSequences {
		s := model.Sequence{Tokens: randomTokens(rng, m, batchTokens)}
		for i := range batchLabels {
			s.Labels = append(s.Labels, model.Label{Pos: i*batchTokens/batchLabels + 8, Target: int32(rng.IntN(m.VocabSize)), Weight: 1})
		}
		b.Sequences = append(b.Sequences, s)
	}
	return b
}

// taskBatch returns the tasks of two files as a sequence each: the first 64,
// 128, ... 512 tokens of a file, with the last 8 as labels. distinct is the
// number of tokens that are left when common prefixes are counted once.
func taskBatch(m *model.Model) (b model.Batch, tokens, distinct int) {
	rng := rand.New(rand.NewPCG(3, 4))
	b.Adapters = []*adapter.Adapter{randomAdapter(rng, m)}
	for range taskFiles {
		file := randomTokens(rng, m, tasksOf*taskTokens)
		distinct += len(file)
		for i := range tasksOf {
			n := (i + 1) * taskTokens
			s := model.Sequence{Tokens: file[:n]}
			for pos := n - taskLabels; pos < n; pos++ {
				s.Labels = append(s.Labels, model.Label{Pos: pos - 1, Target: file[pos], Weight: 1})
			}
			tokens += n
			b.Sequences = append(b.Sequences, s)
		}
	}
	return b, tokens, distinct
}

// tasksVariant describes taskBatch.
func tasksVariant(tokens, distinct int) string {
	return fmt.Sprintf("%d tasks of %d files, %d tokens, %d distinct", taskFiles*tasksOf, taskFiles, tokens, distinct)
}

// taskPass is the pass that the distinct tokens of a task batch need.
func taskPass(distinct int) pass {
	return pass{rows: distinct, context: tasksOf * taskTokens / 2, logits: taskFiles * tasksOf * taskLabels,
		rank: loraRank}
}

// train measures loss and gradient of the full batch, and of the tasks.
// Tokens are counted as they were given, however often they are computed.
func (r *runner) train(ctx context.Context, s *subject) error {
	if err := s.room(tasksOf * taskTokens); err != nil {
		return err
	}
	full := fullBatch(s.Model)
	tasks, tokens, distinct := taskBatch(s.Model)
	gradient := func(b model.Batch) run {
		return timed(func(ctx context.Context) error {
			_, err := s.Gradient(ctx, b, model.GradientOptions{})
			return err
		})
	}
	seconds, err := turns(ctx, r.Rounds, gradient(full), gradient(tasks))
	if err != nil {
		return err
	}
	const rows = batchSequences * batchTokens
	r.add(s.figure(Train, fmt.Sprintf("%dx%d tokens, %d labels each, LoRA rank %d", batchSequences, batchTokens, batchLabels, loraRank), rows, seconds[0]),
		s.cost(s.precision, pass{rows: rows, context: batchTokens / 2, logits: batchSequences * batchLabels,
			rank: loraRank, backward: true}))
	w := taskPass(distinct)
	w.backward = true
	r.add(s.figure(Train, tasksVariant(tokens, distinct), float64(tokens), seconds[1]), s.shared(w, tokens, distinct))
	return nil
}

// score measures the tasks without the gradient.
func (r *runner) score(ctx context.Context, s *subject) error {
	if err := s.room(tasksOf * taskTokens); err != nil {
		return err
	}
	tasks, tokens, distinct := taskBatch(s.Model)
	seconds, err := turns(ctx, r.Rounds, timed(func(ctx context.Context) error {
		_, err := s.Score(ctx, tasks)
		return err
	}))
	if err != nil {
		return err
	}
	r.add(s.figure(Score, tasksVariant(tokens, distinct), float64(tokens), seconds[0]), s.shared(taskPass(distinct), tokens, distinct))
	return nil
}

// shared is the cost of a token of which only distinct of tokens are computed.
func (s *subject) shared(w pass, tokens, distinct int) *cost {
	c, share := s.cost(s.precision, w), float64(distinct)/float64(tokens)
	return &cost{bytes: c.bytes * share, flop: c.flop * share}
}
