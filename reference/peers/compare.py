"""Runs code2lora and its peers by turns, and prints how they compare.

    python compare.py setup [--venv DIR]
    python compare.py run --ours CODE2LORA --models FILE_OR_DIR... [options]

setup makes a virtual environment with the peers, at the versions that
../requirements.txt pins; run needs its Python. For each row of the table a
round is one process of ours and one of the peer (several where either side has
a choice of precisions, and then the best counts); in every second round the
order is the opposite. The ratio is taken within each round, so that what else
the machine does slows both sides of it. Above 1 ours is faster; for memory the
ratio is ours to the peer's too, and below 1 ours needs less.

Prints a table, or with --json one object a line, the first of which describes
the machine. With --out FILE, the lines are also written there as they appear.
"""

import argparse
import glob
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
WORKS = ["gemm", "train", "prefill", "decode", "memory", "adapters"]
# A training step needs the weights twice in float32, on both sides.
MOST_TRAINED_BYTES = 600 << 20


class Side:
    """Runs the programs of one side, with a fixed number of threads."""

    def __init__(self, args):
        self.ours, self.inner, self.threads = args.ours, str(args.inner), str(args.threads)
        self.best = args.best
        self.env = dict(os.environ, GOMAXPROCS=self.threads, OMP_NUM_THREADS=self.threads, OPENBLAS_NUM_THREADS=self.threads)
        for name in ("CODE2LORA_PRECISION", "CODE2LORA_KERNEL"):
            self.env.pop(name, None)

    def call(self, command):
        done = subprocess.run(command, env=self.env, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
        return json.loads(done.stdout if done.stdout.startswith("{\n") else done.stdout.strip().splitlines()[-1])

    def bench(self, *args):
        return self.call([self.ours, "bench", "speed", "--json", "--rounds", self.inner, *args])

    def memory(self, *args):
        return self.call([self.ours, "bench", "memory", "--json", *args])

    def peer(self, script, *args):
        best = ["--best"] if self.best else []
        return self.call([sys.executable, os.path.join(HERE, script), "--threads", self.threads, *best, *args])


class Report:
    """Prints rows as they come."""

    def __init__(self, args):
        self.json, self.out = args.json, open(args.out, "w") if args.out else None
        self.head = True

    def line(self, row):
        text = json.dumps(row)
        if self.out:
            print(text, file=self.out, flush=True)
        if self.json:
            print(text, flush=True)

    def machine(self, m, versions, load, best):
        self.line({"machine": m, "peers": versions, "load": round(load, 2), "counts": "best" if best else "median"})
        if not self.json:
            print(f"{m['processor']}, {m['threads']} threads, {' '.join(m['instructions'])}")
            print("; ".join(f"{k} {v}" for k, v in versions.items()))

    def row(self, work, model, variant, ours, peer, unit, peer_name, **more):
        """Adds a row from the values of the rounds of both sides."""
        ratios = [a / b for a, b in zip(ours, peer)]
        self.line(
            {
                "work": work,
                "model": model,
                "variant": variant,
                "peer": peer_name,
                "unit": unit,
                "ours": spread(ours),
                "theirs": spread(peer),
                "ratio": spread(ratios),
                **more,
            }
        )
        if self.json:
            return
        if self.head:
            print(f"\n{'work':9} {'model':20} {'variant':34} {'peer':22} {'ours':>8} {'theirs':>8} {'':9} ratio")
            self.head = False
        s = spread(ratios)
        print(
            f"{work:9} {model:20} {variant:34} {peer_name:22} {statistics.median(ours):8.4g} {statistics.median(peer):8.4g} {unit:9}"
            f" {s['median']:.2f} [{s['min']:.2f}, {s['max']:.2f}], n={s['n']}",
            flush=True,
        )


def spread(values):
    return {
        "n": len(values),
        "median": round(statistics.median(values), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
    }


def turns(rounds, runs):
    """Calls the functions by turns; returns their results, one list for each."""
    results = [[] for _ in runs]
    for i in range(rounds):
        for j in list(range(len(runs)))[:: 1 if i % 2 == 0 else -1]:
            results[j].append(runs[j]())
    return results


def figures(side, report, work):
    """Variant -> value of a report of code2lora that has one precision."""
    return {f["variant"]: f["max" if side.best else "median"] for f in report["figures"] if f["work"] == work}


def name_of(path):
    return os.path.basename(path).removesuffix(".gguf")


def gemm(side, report, args):
    bases = [a for m in args.models for a in ("--base", m)]
    for precision, peer, label in (("float32", "openblas", "OpenBLAS"), ("bfloat16", "torch-bfloat16", "PyTorch bfloat16")):
        if precision not in args.precisions:
            continue
        ours = lambda: figures(side, side.bench("--only", "gemm", "--precision", precision, *bases), "gemm")
        shapes = list(ours())
        theirs = lambda: side.peer("peer_gemm.py", "--peer", peer, "--rounds", side.inner, *shapes)["gflops"]
        a, b = turns(args.rounds, [ours, theirs])
        for s in shapes:
            report.row("gemm", "", f"{s} {precision}", [x[s] for x in a], [x[s] for x in b], "GFLOP/s", label)


def train(side, report, args):
    for path in args.models:
        if os.path.getsize(path) > MOST_TRAINED_BYTES:
            print(f"train: {name_of(path)} is left out: it would need more memory than most machines have", file=sys.stderr)
            continue
        dtypes = ["float32", "bfloat16"]
        mine = [p for p in [*dtypes, "int8"] if p in args.precisions]
        runs = [lambda p=p: side.bench("--only", "train", "--precision", p, "--base", path) for p in mine]
        runs += [lambda d=d: side.peer("peer_train.py", path, "--dtype", d, "--steps", side.inner) for d in dtypes]
        results = turns(args.rounds, runs)
        full, tasks = [], []
        for r in results[: len(mine)]:
            values = [figures(side, x, "train") for x in r]
            full.append([next(v for k, v in x.items() if k.startswith("4x256")) for x in values])
            tasks.append([next(v for k, v in x.items() if "tasks" in k) for x in values])
        peers = [[x["tokens_per_second"] for x in r] for r in results[len(mine) :]]
        best = [max(r) for r in zip(*peers)]
        for p, values in zip(mine, full):
            theirs, whose = (peers[dtypes.index(p)], f"PyTorch {p}") if p in dtypes else (best, "PyTorch, the best")
            report.row("train", name_of(path), p, values, theirs, "tokens/s", whose)
        report.row("train", name_of(path), "best", [max(r) for r in zip(*full)], best, "tokens/s", "PyTorch, the best")
        # The peer has no prefix sharing: a token costs it what it costs in the full batch.
        report.row("train", name_of(path), "tasks with nested prefixes", [max(r) for r in zip(*tasks)], best, "tokens/s", "PyTorch, full batch")


def inference(work):
    def run(side, report, args):
        for path in args.models:
            runs = [
                lambda p=p: next(iter(figures(side, side.bench("--only", work, "--precision", p, "--base", path), work).values()))
                for p in args.inference
            ]
            runs.append(lambda: side.peer("peer_llama.py", path, "--only", work, "--rounds", side.inner)[work])
            *ours, peer = turns(args.rounds, runs)
            best = max(range(len(ours)), key=lambda i: statistics.median(ours[i]))
            report.row(work, name_of(path), args.inference[best], ours[best], peer, "tokens/s", "llama.cpp")

    return run


def memory(side, report, args):
    for path in args.models:
        runs = [lambda p=p: side.memory("--precision", p, "--base", path)["peak_bytes"] / 1e6 for p in args.inference]
        runs.append(lambda: side.peer("peer_llama.py", path, "--memory")["peak_bytes"] / 1e6)
        *ours, peer = turns(min(args.rounds, 3), runs)
        best = min(range(len(ours)), key=lambda i: statistics.median(ours[i]))
        report.row("memory", name_of(path), args.inference[best], ours[best], peer, "MB", "llama.cpp")


def adapters(side, report, args):
    eight, one = "8 requests, 8 adapters", "8 requests, 1 adapter"
    for path in args.models:
        for p in args.inference[:1]:
            (values,) = turns(args.rounds, [lambda: figures(side, side.bench("--only", "adapters", "--precision", p, "--base", path), "adapters")])
            report.row("adapters", name_of(path), f"8 requests, {p}", [v[eight] for v in values], [v[one] for v in values], "tokens/s", "ours with one adapter")


def versions():
    import importlib.metadata

    return {p: importlib.metadata.version(p) for p in ("torch", "numpy", "llama-cpp-python")}


def find_models(paths):
    found = []
    for path in paths:
        inside = sorted(glob.glob(os.path.join(path, "*.gguf")), key=os.path.getsize) if os.path.isdir(path) else [path]
        if not inside or not os.path.exists(inside[0]):
            raise SystemExit(f"{path}: no GGUF file there")
        found += inside
    return found


def run(args):
    unknown = sorted(set(args.only) - set(WORKS))
    if unknown:
        raise SystemExit(f"--only {','.join(unknown)}: want some of {','.join(WORKS)}")
    if args.rounds < 1 or args.inner < 1:
        raise SystemExit("--rounds and --inner: want at least 1")
    args.models = find_models(args.models)
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"this machine is busy (load {load:.1f}): the ratios will vary more than they should", file=sys.stderr)
    side, report = Side(args), Report(args)
    # A work that needs no peer and no time says what the machine is.
    machine = side.bench("--only", "gemm", "--base", args.models[0])["machine"]
    args.precisions = machine["precisions"]
    # Quantised weights where the engine has them: that is what the peer uses.
    args.inference = ["int8"] if "int8" in args.precisions else args.precisions
    if args.precision:
        args.inference = args.precision
    report.machine(machine, versions(), load, args.best)
    works = dict(gemm=gemm, train=train, prefill=inference("prefill"), decode=inference("decode"), memory=memory, adapters=adapters)
    for work in args.only:
        works[work](side, report, args)


def setup(args):
    python = os.path.join(args.venv, "bin", "python")
    subprocess.run([sys.executable, "-m", "venv", args.venv], check=True)
    # llama.cpp for the processor at hand, which is what people run.
    env = dict(os.environ, CMAKE_ARGS=os.environ.get("CMAKE_ARGS", "-DGGML_NATIVE=ON"))
    requirements = os.path.join(HERE, "..", "requirements.txt")
    subprocess.run([python, "-m", "pip", "install", "--no-binary", "llama-cpp-python", "-r", requirements], check=True, env=env)
    print(f"now: {python} {os.path.join(HERE, 'compare.py')} run ...")


def words(text):
    return [w for w in text.split(",") if w]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    s = commands.add_parser("setup", help="make a virtual environment with the peers")
    s.add_argument("--venv", default=os.path.join(HERE, "..", ".venv"))
    r = commands.add_parser("run", help="compare")
    r.add_argument("--ours", required=True, help="the program, from go build ./cmd/code2lora")
    r.add_argument("--models", required=True, nargs="+", help="GGUF files, or folders of them")
    r.add_argument("--only", type=words, default=WORKS, help=f"some of {','.join(WORKS)}")
    r.add_argument("--rounds", type=int, default=5, help="processes of each side for a row")
    r.add_argument("--inner", type=int, default=3, help="runs in each process, whose median counts")
    r.add_argument("--best", action="store_true", help="the best run of each process counts: for machines that others use")
    r.add_argument("--precision", type=words, help="ours for inference (default: int8 if there is that, else the best of all)")
    r.add_argument("--threads", type=int, default=os.cpu_count())
    r.add_argument("--json", action="store_true")
    r.add_argument("--out", help="also write the JSON lines to this file")
    args = parser.parse_args()
    {"setup": setup, "run": run}[args.command](args)


if __name__ == "__main__":
    main()
