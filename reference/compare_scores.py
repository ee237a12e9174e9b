"""Compares two outputs of `code2lora score --json --details` on the same tasks.

    python compare_scores.py A.json B.json

Prints both exact matches and perplexities, and what B changes: points of exact
match and the ratio of perplexities, with 95 % intervals from a bootstrap of
2,000 resamples over tasks.
"""

import argparse
import json

import numpy as np


def read(path):
    with open(path) as f:
        details = json.load(f)["details"]
    match, nats, tokens = (np.array([d[k] for d in details], float) for k in ("exact_match", "cross_entropy", "tokens"))
    return match, nats * tokens, tokens


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("a")
    parser.add_argument("b")
    args = parser.parse_args()
    (match_a, nats_a, tokens), (match_b, nats_b, tokens_b) = read(args.a), read(args.b)
    if len(tokens) != len(tokens_b) or (tokens != tokens_b).any():
        parser.error("the two files are not of the same tasks")
    picks = np.random.default_rng(0).integers(0, len(tokens), (2000, len(tokens)))
    points = 100 * (match_b - match_a)
    nats = nats_b - nats_a
    ratios = np.exp(nats[picks].sum(1) / tokens[picks].sum(1))
    low, high = np.percentile(points[picks].mean(1), [2.5, 97.5])
    print(f"{len(tokens)} tasks, {(match_a != match_b).sum()} with another exact match")
    print(f"exact match {100 * match_a.mean():.1f} % and {100 * match_b.mean():.1f} %: {points.mean():+.2f} points [{low:+.2f}, {high:+.2f}]")
    low, high = np.percentile(ratios, [2.5, 97.5])
    a, b = np.exp(nats_a.sum() / tokens.sum()), np.exp(nats_b.sum() / tokens.sum())
    print(f"perplexity {a:.3f} and {b:.3f}: ratio {b / a:.4f} [{low:.4f}, {high:.4f}]")


if __name__ == "__main__":
    main()
