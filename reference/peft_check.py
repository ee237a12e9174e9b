"""Loads exported PEFT directories with PEFT and compares logits with ours.

    python peft_check.py BASE.gguf LOGITS.json DIR...

BASE.gguf becomes a float32 transformers model; every DIR (adapter_config.json,
adapter_model.safetensors) is loaded on it by PeftModel.from_pretrained and must
give the logits of LOGITS.json (format: logits_json.py). One JSON line for each;
the exit code is 1 if one of them differs by more than the tolerance.
"""

import argparse
import sys

import torch
from peft import PeftModel

import gguf_model
import logits_json


def last_logits(model, prompts):
    with torch.no_grad():
        return [model(torch.tensor([p["tokens"]]), use_cache=False).logits[0, -1].numpy() for p in prompts]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base", help="GGUF file of architecture llama or qwen2")
    parser.add_argument("logits", help="our logits, see logits_json.py")
    parser.add_argument("dirs", nargs="+", help="PEFT directories")
    parser.add_argument("--tolerance", type=float, default=2e-3)
    args = parser.parse_args()

    prompts = logits_json.read(args.logits)
    model, _ = gguf_model.load(args.base)
    base = last_logits(model, prompts)
    ok = True
    for d in args.dirs:
        adapted = PeftModel.from_pretrained(model, d).eval()
        report = logits_json.compare(prompts, last_logits(adapted, prompts), base)
        config = adapted.peft_config["default"]
        report |= {"r": config.r, "lora_alpha": config.lora_alpha}
        ok &= logits_json.finish(d, report, args.tolerance)
        model = adapted.unload()
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
