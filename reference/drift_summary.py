"""Prints the tables and means of drift in the README of a run's folder.

    python3 drift_summary.py FOLDER

FOLDER has drift/NAME/drift.jsonl, drift/near/NAME/drift.jsonl, drift/policy.tsv
and drift/cost.tsv, as run.sh of runs/repopeft-evolution-smollm2-135m writes
them. Intervals are percentile bootstraps of 95 %: over the commits of a
repository in its row, over repositories below.
"""

import csv
import glob
import json
import os
import random
import statistics
import sys

folder = os.path.join(sys.argv[1], "drift")


def read(path):
    with open(path) as f:
        return [json.loads(line) for line in f]


def interval(values):
    rng = random.Random(1)
    means = sorted(statistics.mean(rng.choices(values, k=len(values))) for _ in range(10000))
    return "%+.4f [%+.4f, %+.4f]" % (statistics.mean(values), means[250], means[9750])


def mean(points, name):
    return statistics.mean(p[name] for p in points)


whole = {}
for path in sorted(glob.glob(os.path.join(folder, "*+*", "drift.jsonl"))):
    name, points = os.path.basename(os.path.dirname(path)), read(path)
    half = len(points) // 2
    whole[name] = {
        "distance": mean(points, "distance"),
        "anchor": mean(points, "anchored"),
        "later": mean(points[half:], "distance") - mean(points[:half], "distance"),
        "fresh": statistics.mean(p["loss"]["evolved_fresh"] for p in points),
        "anchored": statistics.mean(p["loss"]["evolved_anchored"] for p in points),
    }
    print("%-30s steps %5d  first %.3f  halves %.3f %.3f  anchor %.3f  loss %s" % (
        name, points[-1]["steps"], points[0]["distance"], mean(points[:half], "distance"), mean(points[half:], "distance"),
        whole[name]["anchor"], interval([p["loss"]["evolved_fresh"] for p in points])))
for what in "distance", "anchor", "later", "fresh", "anchored":
    print("%-30s %s" % (what, interval([r[what] for r in whole.values()])))

near = [read(path) for path in sorted(glob.glob(os.path.join(folder, "near", "*", "drift.jsonl")))]
for i in range(len(near[0])):
    at = [points[i] for points in near]
    print("after %2d commits: %.3f (%.3f to %.3f), state at the anchor %.3f" % (
        at[0]["steps"], mean(at, "distance"), min(p["distance"] for p in at), max(p["distance"] for p in at), mean(at, "anchored")))


def rows(name, *key):
    groups = {}
    with open(os.path.join(folder, name)) as f:
        for row in csv.DictReader(f, delimiter="\t"):
            groups.setdefault(" ".join(row[k] for k in key), []).append(row)
    return groups.items()


for churn, group in rows("policy.tsv", "anchor_at"):
    print("anchor-at %s: %d anchors in %d commits, distance %.3f" % (
        churn, sum(int(r["anchors"]) for r in group), sum(int(r["commits"]) for r in group),
        statistics.mean(float(r["distance"]) for r in group)))
for kind, group in rows("cost.tsv", "kind", "anchor_at", "kept"):
    print("%s: %.1f s, %.1f s of these for anchors" % (
        kind, sum(float(r["seconds"]) for r in group), sum(float(r["of_these_for_anchors"]) for r in group)))
