"""Writes the golden file of the recurrence over commits: states, contexts and gradients.

    python gru_golden.py OUT.json

The CommitGRU of arXiv 2606.06492 as the authors' code has it, with the
parameter names of the released checkpoint, at toy sizes. "runs" has the
gradients for several ways to detach the state: behind every K steps, and
behind every step with a loss.
"""

import argparse
import json

import torch
from torch import nn

DIFF, REPO, HIDDEN, STEPS = 7, 6, 5, 8
LOSS = [1, 2, 5, 7]  # steps whose context has a loss
RUNS = [(8, False), (3, False), (1, False), (3, True), (16, True)]  # (K, detach behind a loss)


class CommitGRU(nn.Module):
    def __init__(self):
        super().__init__()
        self.diff_proj = nn.Sequential(nn.Linear(DIFF, HIDDEN), nn.LayerNorm(HIDDEN))
        self.repo_init_proj = nn.Sequential(nn.Linear(REPO, HIDDEN), nn.GELU(), nn.LayerNorm(HIDDEN))
        self.gru = nn.GRU(HIDDEN, HIDDEN, batch_first=True)
        self.output_norm = nn.LayerNorm(HIDDEN)

    def step(self, diff, h):
        _, h = self.gru(self.diff_proj(diff).view(1, 1, -1), h.view(1, 1, -1))
        return h.view(-1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", help="JSON file to write")
    args = parser.parse_args()

    torch.manual_seed(2606)
    torch.set_num_threads(1)
    model = CommitGRU()
    with torch.no_grad():  # no parameter at 0 or 1, where a mistake can hide
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.3)
    repo, diffs, douts = torch.randn(REPO), torch.randn(STEPS, DIFF), torch.randn(STEPS, HIDDEN)
    diffs[3] = 0  # a commit without production code

    runs = []
    for k, at_loss in RUNS:
        model.zero_grad(set_to_none=True)
        h = model.repo_init_proj(repo)
        states, contexts, since, loss = [h], [], 0, 0.0
        for t in range(STEPS):
            h = model.step(diffs[t], h)
            ctx = model.output_norm(h)
            states.append(h)
            contexts.append(ctx)
            since += 1
            if t in LOSS:
                loss = loss + (ctx * douts[t]).sum()
            if since == k or (at_loss and t in LOSS):
                h, since = h.detach(), 0
        loss.backward()
        grads = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in model.named_parameters()}
        grads = {n: g.flatten().tolist() for n, g in grads.items()}
        runs.append({"steps": k, "at_loss": at_loss, "grads": grads})

    out = {
        "torch": torch.__version__,
        "params": {n: {"shape": list(p.shape), "data": p.flatten().tolist()} for n, p in model.named_parameters()},
        "repository": repo.tolist(),
        "diffs": diffs.tolist(),
        "loss": LOSS,
        "dcontexts": douts.tolist(),
        "states": [s.tolist() for s in states],
        "contexts": [c.tolist() for c in contexts],
        "runs": runs,
    }
    with open(args.out, "w") as f:
        json.dump(out, f)
        f.write("\n")


if __name__ == "__main__":
    main()
