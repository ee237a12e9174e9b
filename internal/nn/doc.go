// Package nn has the layers of a decoder block with their forward and
// backward passes, on float32 slices.
//
// Letters, used throughout this module:
//
//	T    rows: tokens of all sequences of a batch, one after the other, unpadded
//	D    hidden size                  F   intermediate (feed-forward) size
//	H    query heads                  Hkv key/value heads, H a multiple of Hkv
//	hd   size of one head             V   vocabulary size
//	r    rank of a LoRA               L   layers
//	dx   gradient of x, always added to and never assigned
//
// Arguments come in the order outputs, inputs, weights, saved values,
// dimensions, scalars; backward functions take gradients first. A sum has one
// owner and one order, so results do not depend on the number of threads.
package nn
