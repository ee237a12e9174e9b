"""Runs two benchmark commands by turns and compares their medians.

    python interleave.py --rounds 5 --ours 'CMD' --peer 'CMD'

Each command is run by the shell and must print, as its last line of standard
output, a JSON object with `tokens_per_second`. Taking turns exposes both to
the same neighbours, temperatures and clock speeds; the ratio is taken within
each round. Prints one JSON line.
"""

import argparse
import json
import statistics
import subprocess


def speed(command):
    out = subprocess.run(command, shell=True, check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(json.loads(out.strip().splitlines()[-1])["tokens_per_second"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ours", required=True)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    ours, peer = [], []
    for i in range(args.rounds):
        # alternate who goes first
        for command, speeds in [(args.ours, ours), (args.peer, peer)][:: 1 if i % 2 == 0 else -1]:
            speeds.append(speed(command))
    ratios = [a / b for a, b in zip(ours, peer)]
    print(
        json.dumps(
            {
                "rounds": args.rounds,
                "ours_tokens_per_second": round(statistics.median(ours), 1),
                "peer_tokens_per_second": round(statistics.median(peer), 1),
                "ratio_median": round(statistics.median(ratios), 3),
                "ratio_min": round(min(ratios), 3),
                "ratio_max": round(max(ratios), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
