package kernel

// PackingBytes returns how much memory a product of T rows in precision p takes
// for a packing that doesn't exist yet: Forward or ForwardAdd, or Backward.
func (f *Frozen) PackingBytes(p Precision, T int, backward bool) int64 {
	out, in := f.out, f.in // as the packing sees the matrix
	full, pairs, quant, format := &f.fwd, &f.fwdPairs, &f.quant, f.source.Format
	quantised := p == Int8 && format != 0
	if backward {
		out, in, full, pairs = f.in, f.out, &f.bwd, &f.bwdPairs
		quant, format = &f.quantBack, Q8_0
		quantised = quantised && f.out%quantBlock == 0
	}
	paired := p != Float32 && T >= minPairRows && active.bf16 != nil && (backward || p == BFloat16)
	panels := int64(ceilDiv(out, panelWidth))
	switch {
	case f.out == 0 || f.in == 0 || quantised && quant.made.Load() || paired && pairs.made.Load():
		return 0
	case quantised:
		return panels * int64(blockTraits[format].panelSize(in))
	case paired:
		return panels * int64(ceilDiv(in, 2)) * panelWidth * 4
	case full.made.Load():
		return 0
	}
	return panels * int64(in) * panelWidth * 4
}
