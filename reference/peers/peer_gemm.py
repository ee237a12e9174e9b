"""Times matrix products x (T, in) · Wᵀ (in, out) of others.

    python peer_gemm.py [--peer openblas|torch-bfloat16] [--rounds N] [--threads N] SHAPE...

A SHAPE is TxINxOUT, such as 1024x896x4864. OpenBLAS is the one that comes with
numpy, called in float32 through its C interface; torch is a linear layer in
bfloat16. Every product repeats for 20 ms at least, as ours does. Prints one
JSON line with the GFLOP/s of each shape: the median of the rounds.
"""

import argparse
import ctypes
import glob
import json
import os
import statistics
import time

LEAST_SECONDS = 0.02


def openblas(threads):
    """Returns a function that prepares sgemm for (T, in, out)."""
    import numpy as np

    pattern = os.path.join(os.path.dirname(np.__file__), "..", "numpy.libs", "libscipy_openblas64_*")
    found = glob.glob(pattern)
    if not found:
        raise SystemExit(f"numpy {np.__version__} has no OpenBLAS at {pattern}: install a wheel of numpy from requirements.txt")
    lib = ctypes.CDLL(found[0])
    lib.scipy_openblas_set_num_threads64_(threads)
    gemm = lib.scipy_cblas_sgemm64_
    i64, f32, ptr = ctypes.c_int64, ctypes.c_float, ctypes.c_void_p
    gemm.argtypes = [ctypes.c_int] * 3 + [i64] * 3 + [f32, ptr, i64, ptr, i64, f32, ptr, i64]
    gemm.restype = None
    row_major, plain, transposed = 101, 111, 112
    rng = np.random.default_rng(0)

    def prepare(t, n_in, n_out):
        x = rng.standard_normal((t, n_in), dtype=np.float32)
        w = rng.standard_normal((n_out, n_in), dtype=np.float32)
        y = np.empty((t, n_out), dtype=np.float32)

        def run(keep=(x, w, y)):
            gemm(row_major, plain, transposed, t, n_out, n_in, 1.0, x.ctypes.data, n_in, w.ctypes.data, n_in, 0.0, y.ctypes.data, n_out)

        run()
        error = np.abs(y[:4] - x[:4] @ w.T).max()
        assert error < 1e-2, f"OpenBLAS is called wrongly: results are {error} apart"
        return run

    return prepare


def torch_bfloat16(threads):
    """Returns a function that prepares a linear layer for (T, in, out)."""
    import torch

    torch.set_num_threads(threads)

    def prepare(t, n_in, n_out):
        x = torch.randn(t, n_in).to(torch.bfloat16)
        w = torch.randn(n_out, n_in).to(torch.bfloat16)

        def run():
            with torch.inference_mode():
                torch.nn.functional.linear(x, w)

        return run

    return prepare


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shapes", nargs="+", metavar="SHAPE")
    parser.add_argument("--peer", choices=["openblas", "torch-bfloat16"], default="openblas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--best", action="store_true", help="the best round instead of the median")
    args = parser.parse_args()
    prepare = {"openblas": openblas, "torch-bfloat16": torch_bfloat16}[args.peer](args.threads)
    result = {}
    for shape in args.shapes:
        t, n_in, n_out = (int(n) for n in shape.split("x"))
        run = prepare(t, n_in, n_out)
        run()
        began = time.perf_counter()
        run()
        times = 1 + int(LEAST_SECONDS / (time.perf_counter() - began))
        rates = []
        for _ in range(args.rounds):
            began = time.perf_counter()
            for _ in range(times):
                run()
            rates.append(2e-9 * times * t * n_in * n_out / (time.perf_counter() - began))
        result[shape] = round(max(rates) if args.best else statistics.median(rates), 2)
    print(json.dumps({"peer": args.peer, "threads": args.threads, "gflops": result}))


if __name__ == "__main__":
    main()
