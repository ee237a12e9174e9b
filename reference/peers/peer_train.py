"""Times one training step of the kind that code2lora runs, in PyTorch.

    python peer_train.py MODEL.gguf [--dtype float32|bfloat16] [--steps N] [--threads N]

A step is forward and backward through the frozen model for a batch of 4 x 256
tokens with a LoRA of rank 16 on the seven projections of every layer; logits
and loss only at 16 labelled positions of each sequence; gradients of all LoRA
factors. No optimiser step, no data loading. The weights are those of the GGUF
file, dequantised. Prints one JSON line.
"""

import argparse
import json
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import numpy as np
import torch
import torch.nn.functional as F
import transformers

import gguf_model
from lora import Lora


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="GGUF file of architecture llama or qwen2")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--labels", type=int, default=16)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa")
    parser.add_argument("--compile", action="store_true", help="torch.compile the decoder")
    parser.add_argument("--best", action="store_true", help="tokens_per_second of the best step instead of the median")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    model, md = gguf_model.load(args.model, getattr(torch, args.dtype))
    model.config._attn_implementation = args.attention
    adapter = Lora(model, args.rank, 2.0)
    params = [p for pair in adapter.pairs.values() for p in pair]
    decoder = torch.compile(model.model) if args.compile else model.model

    rng = np.random.default_rng(0)
    ids = torch.from_numpy(rng.integers(0, len(md.tokens), size=(args.batch, args.length)))
    pos = torch.arange(args.length - 1 - args.labels, args.length - 1)
    targets = ids[:, pos + 1].reshape(-1)

    seconds, forward, loss = [], [], None
    for step in range(args.warmup + args.steps):
        for p in params:
            p.grad = None
        start = time.perf_counter()
        hidden = decoder(ids, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[:, pos].reshape(-1, md.dim)).float()
        loss = F.cross_entropy(logits, targets, reduction="sum")
        middle = time.perf_counter()
        loss.backward()
        if step >= args.warmup:
            seconds.append(time.perf_counter() - start)
            forward.append(middle - start)

    tokens, median = args.batch * args.length, statistics.median(seconds)
    print(
        json.dumps(
            {
                "peer": "pytorch",
                "model": md.get("general.name"),
                "dtype": args.dtype,
                "attention": args.attention,
                "compile": args.compile,
                "threads": args.threads,
                "tokens": tokens,
                "labels": args.batch * args.labels,
                "rank": args.rank,
                "steps": args.steps,
                "seconds_median": round(median, 4),
                "seconds_min": round(min(seconds), 4),
                "seconds_max": round(max(seconds), 4),
                "forward_seconds_median": round(statistics.median(forward), 4),
                "tokens_per_second": round(tokens / (min(seconds) if args.best else median), 1),
                "loss": round(loss.item(), 3),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            }
        )
    )


if __name__ == "__main__":
    main()
