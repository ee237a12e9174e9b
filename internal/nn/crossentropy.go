package nn

import "github.com/code2lora/code2lora/internal/kernel"

// CrossEntropy scores one row of logits against a target token:
//
//	nll = logsumexp(logits) − logits[target]
//
// It also returns the index of the largest logit (the first, if several are
// equal). With a non-zero weight it replaces the logits by the gradient of
// weight · nll, which is weight · (softmax(logits) − onehot(target)).
func CrossEntropy(logits []float32, target int, weight float32) (nll float32, argmax int) {
	for i, v := range logits {
		if v > logits[argmax] {
			argmax = i
		}
	}
	lse := kernel.LogSumExp(logits)
	nll = lse - logits[target]
	if weight == 0 {
		return nll, argmax
	}
	for i := range logits {
		logits[i] -= lse
	}
	kernel.Exp(logits, logits)
	kernel.Scale(logits, weight)
	logits[target] -= weight
	return nll, argmax
}
