"""Loads an exported GGUF LoRA in llama.cpp and compares logits with ours.

    python llamacpp_check.py BASE.gguf LOGITS.json ADAPTER.gguf... [--exact]

With --exact the base is first converted to F32 (a temporary file), so that
llama.cpp does not quantise the activations; differences are of the order of 1e-5.
Without it expect differences of some tenths and mostly the same argmax.
One JSON line for each adapter; exit code 1 beyond the tolerance.
"""

import argparse
import os
import sys
import tempfile

import numpy as np
from llama_cpp import Llama

import gguf_f32
import logits_json

F32 = 0  # ggml type of the key/value cache; the default of llama.cpp is F16


def last_logits(base, prompts, adapter=None):
    length = max(len(p["tokens"]) for p in prompts)
    llm = Llama(
        model_path=base,
        lora_path=adapter,
        n_ctx=length + 8,
        n_batch=length + 8,
        n_ubatch=length + 8,
        n_threads=2,
        n_threads_batch=2,
        type_k=F32,
        type_v=F32,
        flash_attn=False,
        logits_all=True,
        verbose=False,
    )
    out = []
    for p in prompts:
        llm.reset()
        llm.eval(p["tokens"])
        out.append(np.array(llm.scores[len(p["tokens"]) - 1], dtype=np.float64))
    llm.close()
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base", help="GGUF base model")
    parser.add_argument("logits", help="our logits, see logits_json.py")
    parser.add_argument("adapters", nargs="+", help="GGUF LoRA files")
    parser.add_argument("--exact", action="store_true", help="compare on an F32 copy of the base")
    parser.add_argument("--tolerance", type=float, help="default 1e-3 with --exact, else 1")
    args = parser.parse_args()
    tolerance = args.tolerance if args.tolerance is not None else (1e-3 if args.exact else 1.0)

    prompts = logits_json.read(args.logits)
    ok = True
    with tempfile.TemporaryDirectory() as tmp:
        base_path = args.base
        if args.exact:
            base_path = os.path.join(tmp, "base-f32.gguf")
            gguf_f32.convert(args.base, base_path)
        base = last_logits(base_path, prompts)
        for adapter in args.adapters:
            report = logits_json.compare(prompts, last_logits(base_path, prompts, adapter), base)
            ok &= logits_json.finish(adapter, report, tolerance)
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
