"""Makes the tables of docs/performance.md from what was measured.

    python tables.py RATIOS.jsonl... [--speed SPEED.json...]

RATIOS.jsonl is the --out file of compare.py; SPEED.json is the output of
`code2lora bench speed --json`, of which the roofline is taken, without the
absolute speeds. Prints Markdown.
"""

import argparse
import json


def machine(m):
    return f"{m['processor']}, {m['threads']} threads, {m['kernel']}, with {' '.join(m['instructions'])}"


def ratio(s):
    return f"{s['median']:.2f} [{s['min']:.2f}, {s['max']:.2f}] | {s['n']}"


def number(x):
    return f"{x:.3g}" if x < 100 else f"{x:,.0f}"


def ratios(path):
    with open(path) as f:
        rows = [json.loads(line) for line in f]
    for r in rows:
        if "machine" in r:
            print(f"{machine(r['machine'])}. Peers: {', '.join(f'{k} {v}' for k, v in r['peers'].items())}. Of the runs of a process the {r['counts']} counts.\n")
            print("| Work | Model | Variant | Peer | Ratio [min, max] | n |\n| --- | --- | --- | --- | --- | --- |")
        else:
            print(f"| {r['work']} | {r['model'] or '–'} | {r['variant']} | {r['peer']} | {ratio(r['ratio'])} |")
    print()


def roofline(path):
    with open(path) as f:
        report = json.load(f)
    first, unit = next(iter(report["peak"].items()))
    peaks = ", ".join(f"{p} {v / unit:.2f}" for p, v in report["peak"].items())
    balance = unit / report["bandwidth"]["max"]
    print(f"{machine(report['machine'])}. Best products, in units of {first}'s: {peaks}; {first}'s is {balance:.1f} FLOP for each byte read from memory.\n")
    print("| Work | Model | Precision | Variant | MB per token | MFLOP per token | Bound | Reached [min, max] | n |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for f in report["figures"]:
        l = f.get("roofline")
        if not l:
            continue
        reached = [100 * f[k] / l["limit"] for k in ("median", "min", "max")]
        print(
            f"| {f['work']} | {f['model']} | {f['precision']} | {f['variant']} | {number(l['bytes'] / 1e6)} | {number(l['flop'] / 1e6)} | {l['bound']} |"
            f" {reached[0]:.0f} % [{reached[1]:.0f}, {reached[2]:.0f}] | {f['n']} |"
        )
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ratios", nargs="*")
    parser.add_argument("--speed", nargs="*", default=[])
    args = parser.parse_args()
    for path in args.ratios:
        ratios(path)
    for path in args.speed:
        roofline(path)


if __name__ == "__main__":
    main()
