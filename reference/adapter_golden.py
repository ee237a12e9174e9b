"""Writes the formula LoRA (lora.py) in the formats that others write.

    python adapter_golden.py MODEL.gguf OUTDIR [--rank 4]

OUTDIR/adapter_config.json, adapter_model.safetensors: saved by PEFT itself.
OUTDIR/adapter.gguf: what llama.cpp's convert_lora_to_gguf.py writes: the rows
of lora_b of q_proj and k_proj permuted for architecture llama.
OUTDIR/logits.json: the logits that they must give, see logits_json.py.
"""

import argparse
import json
import os

import gguf
import numpy as np
import torch
from peft import LoraConfig, get_peft_model

import gguf_model
import lora as lora_module
from model_golden import inputs


def write_gguf(path, md, pairs, rank, alpha):
    w = gguf.GGUFWriter(path, md.arch)
    w.add_type("adapter")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", alpha)
    for (l, m), (a, b) in sorted(pairs.items()):
        name = gguf_model.MODULES[m]
        if md.arch == "llama" and name == "q_proj":
            b = gguf_model.permute(b, md.heads)
        if md.arch == "llama" and name == "k_proj":
            b = gguf_model.permute(b, md.kv_heads)
        place = f"blk.{l}.{gguf_model.GGUF_NAME[name]}.weight"
        w.add_tensor(f"{place}.lora_a", np.ascontiguousarray(a))
        w.add_tensor(f"{place}.lora_b", np.ascontiguousarray(b))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def last_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0, -1].double()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="GGUF file of architecture llama or qwen2")
    parser.add_argument("outdir")
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--alpha", type=float, default=8.0)
    args = parser.parse_args()
    os.makedirs(args.outdir, exist_ok=True)

    model, md = gguf_model.load(args.model)
    prompts = inputs(md)[0]
    base = [last_logits(model, ids) for ids in prompts]
    pairs = {
        (l, m): lora_module.factors(l, m, lin.in_features, lin.out_features, args.rank)
        for l, m, lin in gguf_model.projections(model)
    }
    write_gguf(os.path.join(args.outdir, "adapter.gguf"), md, pairs, args.rank, args.alpha)

    config = LoraConfig(
        r=args.rank, lora_alpha=args.alpha, target_modules=gguf_model.MODULES, task_type="CAUSAL_LM"
    )
    wrapped = get_peft_model(model, config)
    for (l, m), lin in {(l, m): lin for l, m, lin in gguf_model.projections(wrapped.get_base_model())}.items():
        with torch.no_grad():
            lin.lora_A["default"].weight.copy_(torch.from_numpy(pairs[l, m][0]))
            lin.lora_B["default"].weight.copy_(torch.from_numpy(pairs[l, m][1]))
    wrapped.save_pretrained(args.outdir)
    readme = os.path.join(args.outdir, "README.md")  # PEFT's empty model card
    if os.path.exists(readme):
        os.remove(readme)

    result = []
    for ids, b in zip(prompts, base):
        a = last_logits(wrapped, ids)
        spread = range(0, len(md.tokens), max(1, len(md.tokens) // 32))
        which = sorted(set(torch.topk(a, 16).indices.tolist()) | set(spread))
        result.append(
            {
                "tokens": ids,
                "ids": which,
                "logits": [round(x, 6) for x in a[which].tolist()],
                "base_logits": [round(x, 6) for x in b[which].tolist()],
            }
        )
    with open(os.path.join(args.outdir, "logits.json"), "w") as f:
        json.dump({"base": md.get("general.name"), "prompts": result}, f)
        f.write("\n")


if __name__ == "__main__":
    main()
