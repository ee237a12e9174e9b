package model

import "fmt"

// checkBatch reports the first thing in a batch that does not fit the model.
func (m *Model) checkBatch(b Batch, opt *GradientOptions) error {
	if len(b.Sequences) == 0 {
		return fmt.Errorf("batch has no sequences")
	}
	if b.From < 0 || b.From > m.NumHiddenLayers {
		return fmt.Errorf("batch begins at layer %d: the model has %d", b.From, m.NumHiddenLayers)
	}
	if err := m.checkAdapters(b); err != nil {
		return err
	}
	before := make([]int, len(b.Sequences)) // tokens before the own ones
	for i := range b.Sequences {
		if err := m.checkSequence(b, i, before); err != nil {
			return fmt.Errorf("sequence %d: %w", i, err)
		}
	}
	if opt != nil {
		for _, l := range opt.Activations {
			if l < b.From || l >= m.NumHiddenLayers {
				return fmt.Errorf("gradient of the input of layer %d: the pass has layers %d to %d", l, b.From, m.NumHiddenLayers-1)
			}
		}
	}
	return nil
}

// checkAdapters reports an adapter that does not fit the model, or that
// reaches below the layer in which the batch begins.
func (m *Model) checkAdapters(b Batch) error {
	for i, a := range b.Adapters {
		if a == nil {
			return fmt.Errorf("adapter %d of the batch is nil: sequences of the bare base have adapter -1", i)
		}
		if err := m.checkAdapter(a); err != nil {
			return fmt.Errorf("adapter %d of the batch: %w", i, err)
		}
		if l := a.LowestLayer(); l < b.From {
			return fmt.Errorf("adapter %d of the batch adapts layer %d, but hidden states enter at layer %d: begin at layer %d or below",
				i, l, b.From, l)
		}
	}
	return nil
}

// checkSequence checks sequence i. It sets before[i] to the number of tokens
// that precede its own, and reads those of earlier sequences.
func (m *Model) checkSequence(b Batch, i int, before []int) error {
	s := b.Sequences[i]
	if len(s.Tokens) == 0 {
		return fmt.Errorf("it has no tokens")
	}
	if s.Adapter < -1 || s.Adapter >= len(b.Adapters) {
		return fmt.Errorf("adapter %d, but the batch has %d", s.Adapter, len(b.Adapters))
	}
	if err := checkPrefix(b, i, before); err != nil {
		return err
	}
	if err := m.checkTokens(s.Tokens, before[i]); err != nil {
		return err
	}
	if b.From > 0 && s.Hidden == nil {
		return fmt.Errorf("it has no hidden states, but the batch begins at layer %d", b.From)
	}
	if want := len(s.Tokens) * m.HiddenSize; s.Hidden != nil && len(s.Hidden) != want {
		return fmt.Errorf("hidden states of %d values: want %d, %d for each of %d tokens", len(s.Hidden), want, m.HiddenSize, len(s.Tokens))
	}
	for j, l := range s.Labels {
		if l.Pos < 0 || l.Pos >= len(s.Tokens) || l.Target < 0 || int(l.Target) >= m.VocabSize {
			return fmt.Errorf("label %d: position %d of %d tokens, target %d of a vocabulary of %d",
				j, l.Pos, len(s.Tokens), l.Target, m.VocabSize)
		}
	}
	return nil
}

// checkPrefix checks what sequence i continues, and sets before[i].
func checkPrefix(b Batch, i int, before []int) error {
	s := b.Sequences[i]
	if s.Prefix == 0 {
		if s.PrefixLen != 0 {
			return fmt.Errorf("%d tokens of no prefix", s.PrefixLen)
		}
		return nil
	}
	if s.Prefix < 0 || s.Prefix > i {
		return fmt.Errorf("prefix %d: want 1 + the index of an earlier sequence, or 0", s.Prefix)
	}
	parent := b.Sequences[s.Prefix-1]
	if parent.Adapter != s.Adapter {
		return fmt.Errorf("adapter %d, but its prefix, sequence %d, has adapter %d: its hidden states depend on that one",
			s.Adapter, s.Prefix-1, parent.Adapter)
	}
	if s.PrefixLen < 0 || s.PrefixLen > len(parent.Tokens) {
		return fmt.Errorf("%d tokens of its prefix, sequence %d, which has %d", s.PrefixLen, s.Prefix-1, len(parent.Tokens))
	}
	before[i] = before[s.Prefix-1] + prefixLen(s, parent)
	return nil
}

// prefixLen returns how many own tokens of parent precede s.
func prefixLen(s, parent Sequence) int {
	if s.PrefixLen == 0 {
		return len(parent.Tokens)
	}
	return s.PrefixLen
}
