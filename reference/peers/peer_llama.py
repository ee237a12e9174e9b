"""Times prefill and decoding of llama.cpp, or measures its memory.

    python peer_llama.py MODEL.gguf [--only prefill,decode] [--rounds N] [--threads N]
    python peer_llama.py MODEL.gguf --memory

prefill is one llama_decode of 512 tokens; decode is 128 greedy tokens after a
prompt of 64, of which only the llama_decode calls are timed. Flash attention
and the type of the cache are llama.cpp's defaults. Each runs once to warm up,
so that the file is mapped and read. Prints one JSON line: the medians.

--memory loads the model with a context of 2048, does one decode work, and
prints the peak memory of the process, from which what the interpreter had
before loading is subtracted.
"""

import argparse
import ctypes
import json
import os
import random
import statistics
import time

import llama_cpp as ll
import numpy as np

PREFILL, PROMPT, DECODE = 512, 64, 128


class Model:
    def __init__(self, path, threads, n_ctx):
        silence = ll.llama_log_callback(lambda level, text, data: None)
        self.silence = silence  # a callback must outlive its use
        ll.llama_log_set(silence, ctypes.c_void_p(0))
        ll.llama_backend_init()
        self.model = ll.llama_model_load_from_file(path.encode(), ll.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"{path}: llama.cpp can't load this file")
        params = ll.llama_context_default_params()
        params.n_ctx, params.n_batch = n_ctx, PREFILL
        params.n_threads = params.n_threads_batch = threads
        self.ctx = ll.llama_init_from_model(self.model, params)
        if not self.ctx:
            raise SystemExit(f"{path}: llama.cpp can't make a context of {n_ctx}")
        self.vocab = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(self.model))

    def forget(self):
        ll.llama_memory_clear(ll.llama_get_memory(self.ctx), True)

    def decode(self, ids):
        """Returns the seconds of one call, which ends when the logits are there."""
        tokens = (ll.llama_token * len(ids))(*ids)
        began = time.perf_counter()
        failed = ll.llama_decode(self.ctx, ll.llama_batch_get_one(tokens, len(ids)))
        ll.llama_synchronize(self.ctx)
        took = time.perf_counter() - began
        if failed:
            raise SystemExit(f"llama_decode of {len(ids)} tokens returned {failed}")
        return took

    def best(self):
        logits = np.ctypeslib.as_array(ll.llama_get_logits_ith(self.ctx, -1), shape=(self.vocab,))
        return int(logits.argmax())


def prefill(model, ids):
    model.forget()
    return PREFILL / model.decode(ids[:PREFILL])


def decode(model, ids):
    model.forget()
    model.decode(ids[:PROMPT])
    seconds = 0.0
    for _ in range(DECODE):
        seconds += model.decode([model.best()])
    return DECODE / seconds


def peak():
    """Returns the peak memory of this process in bytes."""
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmHWM:"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--only", default="prefill,decode")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--best", action="store_true", help="the best round instead of the median")
    args = parser.parse_args()
    before = peak()
    model = Model(args.model, args.threads, 2048)
    rng = random.Random(0)
    ids = [rng.randrange(model.vocab) for _ in range(PREFILL)]
    if args.memory:
        decode(model, ids)
        print(json.dumps({"peer": "llama.cpp", "peak_bytes": peak() - before, "interpreter_bytes": before}))
        return
    result = {"peer": "llama.cpp", "version": ll.__version__, "threads": args.threads}
    for work in args.only.split(","):
        run = {"prefill": prefill, "decode": decode}[work]
        run(model, ids)
        rates = [run(model, ids) for _ in range(args.rounds)]
        result[work] = round(max(rates) if args.best else statistics.median(rates), 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
