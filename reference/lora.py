"""A LoRA with factors given by a formula, so that golden files need not store them.

For layer l, module m (0 q_proj, 1 k_proj, 2 v_proj, 3 o_proj, 4 gate_proj,
5 up_proj, 6 down_proj), computed in float64 and rounded once to float32:

    A[i, j] = 0.02 * sin(0.37*i + 0.11*j + m + 1.7*l)              i < r, j < in
    B[o, k] = 0.02 * sin(0.23*o + 0.53*k + 0.7*m + 2.1*l + 0.5)    o < out, k < r

A is (r, in), B is (out, r), rows in the order of the Hugging Face checkpoint.
The layer computes y = W x + b + scale * B (A x).
"""

import numpy as np
import torch

from gguf_model import projections

FORMULA_A = "A[i,j] = 0.02*sin(0.37*i + 0.11*j + m + 1.7*l)"
FORMULA_B = "B[o,k] = 0.02*sin(0.23*o + 0.53*k + 0.7*m + 2.1*l + 0.5)"


def factors(l, m, n_in, n_out, rank):
    i, j = np.arange(rank, dtype=np.float64)[:, None], np.arange(n_in, dtype=np.float64)[None, :]
    a = 0.02 * np.sin(0.37 * i + 0.11 * j + m + 1.7 * l)
    o, k = np.arange(n_out, dtype=np.float64)[:, None], np.arange(rank, dtype=np.float64)[None, :]
    b = 0.02 * np.sin(0.23 * o + 0.53 * k + 0.7 * m + 2.1 * l + 0.5)
    return a.astype(np.float32), b.astype(np.float32)


class Lora:
    """Hooks a LoRA on all seven projections of every layer.

    self.pairs[l, m] is the (A, B) of a layer's module. With shared, all layers
    use the factors of layer 0, and their gradients sum over the layers.
    """

    def __init__(self, model, rank, scale, shared=False):
        self.pairs, self.handles = {}, []
        for l, m, linear in projections(model):
            if shared and l > 0:
                self.pairs[l, m] = self.pairs[0, m]
            else:
                ab = factors(l, m, linear.in_features, linear.out_features, rank)
                self.pairs[l, m] = tuple(
                    torch.from_numpy(x).to(linear.weight.dtype).requires_grad_() for x in ab
                )
            self.handles.append(linear.register_forward_hook(self._hook(self.pairs[l, m], scale)))

    @staticmethod
    def _hook(pair, scale):
        a, b = pair
        return lambda _, args, y: y + scale * ((args[0] @ a.T) @ b.T)

    def remove(self):
        for h in self.handles:
            h.remove()
