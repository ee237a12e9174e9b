package model

// unfold writes out the prefixes of all sequences.
func unfold(b Batch) Batch {
	seqs := make([]Sequence, len(b.Sequences))
	own := make([]int, len(seqs)) // tokens before the own ones
	for i, s := range b.Sequences {
		if s.Prefix > 0 {
			j := s.Prefix - 1
			n := own[j] + prefixLen(s, b.Sequences[j])
			own[i] = n
			s.Tokens = append(append([]int32(nil), seqs[j].Tokens[:n]...), s.Tokens...)
			if s.Hidden != nil {
				D := len(s.Hidden) / (len(s.Tokens) - n)
				s.Hidden = append(append([]float32(nil), seqs[j].Hidden[:n*D]...), s.Hidden...)
			}
			s.Labels = append([]Label(nil), s.Labels...)
			for k := range s.Labels {
				s.Labels[k].Pos += n
			}
			s.Prefix, s.PrefixLen = 0, 0
		}
		seqs[i] = s
	}
	b.Sequences = seqs
	return b
}
