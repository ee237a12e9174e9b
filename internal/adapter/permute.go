package adapter

import "fmt"

// GGUF files of architecture llama store the rows of q and k, head by head, in
// an order in which the two halves of a head alternate, because llama.cpp
// rotates adjacent pairs there while a Hugging Face checkpoint is laid out for
// rotating halves. Of a LoRA, only B has these rows: P(B·A) = P(B)·A.
//
// Architectures with the other rotation (qwen2, qwen3, ...) keep the order.

// permutedHeads returns the number of heads whose rows GGUF permutes in a
// module, or 0 if it keeps their order.
func permutedHeads(d Dims, m Module) int {
	if d.Arch != "llama" {
		return 0
	}
	switch m {
	case QProj:
		return d.NumAttentionHeads
	case KProj:
		return d.NumKeyValueHeads
	}
	return 0
}

// checkHeads reports dimensions whose q and k rows cannot be permuted.
func checkHeads(d Dims) error {
	for _, m := range []Module{QProj, KProj} {
		out, heads := d.Modules[m].Out, permutedHeads(d, m)
		if d.Arch == "llama" && (heads <= 0 || out%(2*heads) != 0) {
			return fmt.Errorf("%s: %d rows cannot be divided into %d heads of even size", m, out, heads)
		}
	}
	return nil
}

// ggufRow returns the row of a GGUF file that holds row o of a Hugging Face
// matrix of out rows and the given number of heads (0: they are not permuted).
// Within a head of size hd, row j·hd/2 + i moves to 2i + j.
func ggufRow(o, out, heads int) int {
	if heads == 0 {
		return o
	}
	hd := out / heads
	head, within := o/hd, o%hd
	return head*hd + 2*(within%(hd/2)) + within/(hd/2)
}

// toGGUF returns rows, a matrix of out rows, in the order of a GGUF file; it
// is rows itself if the order is the same.
func toGGUF(rows []float32, out, heads int) []float32 {
	if heads == 0 {
		return rows
	}
	n := len(rows) / out
	moved := make([]float32, len(rows))
	for o := range out {
		copy(moved[ggufRow(o, out, heads)*n:][:n], rows[o*n:][:n])
	}
	return moved
}

// fromGGUF is the inverse of [toGGUF].
func fromGGUF(rows []float32, out, heads int) []float32 {
	if heads == 0 {
		return rows
	}
	n := len(rows) / out
	moved := make([]float32, len(rows))
	for o := range out {
		copy(moved[o*n:][:n], rows[ggufRow(o, out, heads)*n:][:n])
	}
	return moved
}
