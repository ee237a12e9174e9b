"""Writes the golden file of the direct head: outputs and gradients.

    python hypernet_golden.py OUT.safetensors

The head of arXiv 2606.06492 §3.2 as the authors' code has it: two GELU layers,
the hidden vector scaled to length sqrt(H), and for every module type two
linear layers with a tanh and a clamped, learned scale. Parameter names, shapes
and initialisation are those of the released checkpoint, at toy sizes.
"""

import argparse
import json

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

INPUT, HIDDEN, RANK, CONTEXTS = 12, 8, 3, 3
# (in, out) by module type, sorted by name as in a checkpoint
TYPES = {
    "down_proj": (11, 5),
    "gate_proj": (6, 11),
    "k_proj": (6, 5),
    "o_proj": (7, 6),
    "q_proj": (6, 7),
    "up_proj": (6, 11),
    "v_proj": (6, 5),
}


class DirectHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(INPUT, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, HIDDEN), nn.GELU())
        self.heads_A = nn.ModuleDict({t: nn.Linear(HIDDEN, RANK * n_in) for t, (n_in, _) in TYPES.items()})
        self.heads_B = nn.ModuleDict({t: nn.Linear(HIDDEN, n_out * RANK) for t, (_, n_out) in TYPES.items()})
        self.log_scale_A = nn.ParameterDict({t: nn.Parameter(torch.tensor(-3.5)) for t in TYPES})
        self.log_scale_B = nn.ParameterDict({t: nn.Parameter(torch.tensor(-3.5)) for t in TYPES})

    def forward(self, ctx):
        h = self.trunk(ctx)
        h = nn.functional.normalize(h, dim=-1, eps=1e-12) * HIDDEN**0.5
        a, b = {}, {}
        for t, (n_in, n_out) in TYPES.items():
            scale_a = self.log_scale_A[t].exp().clamp(1e-5, 0.3)
            scale_b = self.log_scale_B[t].exp().clamp(1e-5, 0.3)
            a[t] = torch.tanh(self.heads_A[t](h).view(-1, RANK, n_in)) * scale_a
            b[t] = torch.tanh(self.heads_B[t](h).view(-1, n_out, RANK)) * scale_b
        return a, b


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", help="safetensors file to write")
    args = parser.parse_args()

    torch.manual_seed(2606)
    head = DirectHead()
    with torch.no_grad():  # some scales away from the start, two of them beyond the clamp
        head.log_scale_A["k_proj"].fill_(-2.25)
        head.log_scale_B["o_proj"].fill_(-1.5)
        head.log_scale_A["q_proj"].fill_(0.5)  # exp > 0.3
        head.log_scale_B["v_proj"].fill_(-12.0)  # exp < 1e-5

    ctx = torch.randn(CONTEXTS, INPUT)
    ctx[0] /= ctx[0].norm()
    ctx[1] = 0  # the output depends on the biases only
    ctx.requires_grad_()
    a, b = head(ctx)
    out, loss = {"ctx": ctx}, 0.0
    for t in TYPES:
        grad_a, grad_b = torch.randn_like(a[t]), torch.randn_like(b[t])
        loss = loss + (a[t] * grad_a).sum() + (b[t] * grad_b).sum()
        out |= {f"out.A.{t}": a[t], f"out.B.{t}": b[t], f"dout.A.{t}": grad_a, f"dout.B.{t}": grad_b}
    loss.backward()
    for name, p in head.named_parameters():
        out[name], out[f"grad.{name}"] = p, p.grad
    out["grad.ctx"] = ctx.grad

    metadata = {
        "format": "code2lora direct head golden 1",
        "input_dim": str(INPUT),
        "hidden_dim": str(HIDDEN),
        "rank": str(RANK),
        "types": json.dumps(sorted(TYPES)),
        "type_dims": json.dumps(TYPES),
        "torch": torch.__version__,
    }
    arrays = {k: np.ascontiguousarray(v.detach().numpy()) for k, v in sorted(out.items())}
    # ascontiguousarray makes a scalar one-dimensional; the checkpoint's shape is ()
    arrays = {k: v.reshape(tuple(out[k].shape)) for k, v in arrays.items()}
    save_file(arrays, args.out, metadata)
    print(json.dumps({"out": args.out, "tensors": len(arrays), "loss": loss.item()}))


if __name__ == "__main__":
    main()
