"""The small JSON file in which two implementations compare logits.

    {"base": "smollm2-135m",                    informative
     "prompts": [{"tokens": [1, 2, 3],          token ids, no BOS added
                  "ids": [5, 17, 400],          vocabulary entries to compare
                  "logits": [0.1, 0.2, 0.3],    logits of the last position, with the adapter
                  "base_logits": [...]}]}       the same without it; optional

Writers should list the largest logits and some ids spread over the vocabulary.
"""

import json

import numpy as np


def read(path):
    with open(path) as f:
        prompts = json.load(f)["prompts"]
    if not prompts:
        raise SystemExit(f"{path}: no prompts")
    for i, p in enumerate(prompts):
        for key in ("logits", "base_logits"):
            if key in p and len(p[key]) != len(p["ids"]):
                raise SystemExit(f"{path}: prompt {i}: {len(p[key])} {key} for {len(p['ids'])} ids")
    return prompts


def compare(prompts, adapted, base):
    """Compares with `adapted` and `base`: last-position logits [V] per prompt.

    `effect` is how much the adapter moves the compared logits: a file compared
    without its adapter would show a difference of this size.
    """
    diff, base_diff, effect, argmax = [], [], [], []
    for p, a, b in zip(prompts, adapted, base):
        ids, ours = np.array(p["ids"]), np.array(p["logits"])
        diff.append(np.abs(a[ids] - ours).max())
        effect.append(np.abs(a[ids] - b[ids]).max())
        argmax.append(int(ids[ours.argmax()]) == int(ids[a[ids].argmax()]))
        if "base_logits" in p:
            base_diff.append(np.abs(b[ids] - np.array(p["base_logits"])).max())
    report = {"max_abs": float(max(diff)), "effect": float(max(effect)), "same_argmax": f"{sum(argmax)}/{len(argmax)}"}
    if base_diff:
        report["base_max_abs"] = float(max(base_diff))
    return report


def finish(name, report, tolerance):
    """Prints the report; returns whether it is within the tolerance.

    A difference as large as the adapter's own effect never passes, whatever the
    tolerance: an adapter that was not applied would look like that.
    """
    ok = max(report["max_abs"], report.get("base_max_abs", 0.0)) <= tolerance
    ok = ok and report["max_abs"] < report["effect"]
    print(json.dumps({"adapter": name, "ok": ok, "tolerance": tolerance, **report}))
    return ok
