"""Writes the golden file of one model: logits, hidden states, LoRA gradients.

    python model_golden.py MODEL.gguf OUT.safetensors

The layout of the output is described in README.md. Everything is computed in
float32 with eager attention; the metadata says how far the same computation
in float64 is away, which is the noise floor of a comparison.
"""

import argparse
import json
import platform

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from safetensors.numpy import save_file

import gguf_model
import lora as lora_module
from lora import Lora

RANK, SCALE = 4, 2.0
STRIDE, TOP = 16, 64

SOURCE = '''\
import asyncio
import json
from collections import OrderedDict
from pathlib import Path

import pytest

from app.cache import LRUCache, CacheMiss


class Window:
    """A half-open interval [start, stop) of a token stream; naïve but ok."""

    def __init__(self, start: int, stop: int, *, step: int = 1) -> None:
        if stop < start:
            raise ValueError(f"stop {stop} lies before start {start}")
        self.start, self.stop, self.step = start, stop, step

    def __len__(self):
        return max(0, (self.stop - self.start + self.step - 1) // self.step)

    def overlap(self, other: "Window") -> "Window | None":
        lo, hi = max(self.start, other.start), min(self.stop, other.stop)
        return Window(lo, hi) if lo < hi else None


@pytest.fixture
def cache(tmp_path: Path) -> LRUCache:
    return LRUCache(capacity=3, directory=tmp_path / "größe", on_evict=None)


@pytest.mark.parametrize("start, stop, want", [(0, 10, 10), (3, 3, 0), (5, 8, 3)])
def test_length(start, stop, want):
    window = Window(start, stop)
    assert len(window) == want


def test_eviction_order(cache):
    for key in ["alpha", "beta", "gamma", "delta"]:
        cache.put(key, {"name": key, "size": len(key) * 1024})
    with pytest.raises(CacheMiss) as info:
        cache.get("alpha")
    assert str(info.value) == "alpha: evicted after 3 newer entries"
    assert list(cache.keys()) == ["beta", "gamma", "delta"]
    assert cache.stats.hits == 0 and cache.stats.misses == 1


async def test_concurrent_reads(cache):
    cache.put("k", json.dumps({"x": [1.5, -2, 3e8]}))
    values = await asyncio.gather(*(cache.aget("k") for _ in range(100)))
    assert len(set(values)) == 1
    assert OrderedDict(json.loads(values[0]))["x"][-1] == 300_000_000.0
'''


def inputs(md):
    """Prompts and gradient sequences: windows of SOURCE, one with foreign ids."""
    ids = gguf_model.tokenizer(md).encode(SOURCE).ids
    ids = (ids + ids)[:600]
    cuts = [(0, 5), (40, 17), (90, 64), (150, 130), (250, 200)]
    prompts = [ids[s : s + n] for s, n in cuts]
    rng = np.random.default_rng(20260606)
    foreign = rng.integers(0, len(md.tokens), size=13)
    prompts[3][5::10] = [int(t) for t in foreign]  # rare tokens from all over the vocabulary
    sequences = [ids[10 : 10 + 23], ids[300 : 300 + 48]]
    # Six labels each: spread, adjacent, and the last position; the last target
    # and one in the middle are not the text's own continuation.
    positions = [[2, 7, 8, 9, 15, 22], [0, 11, 12, 30, 40, 47]]
    targets = []
    for seq, pos in zip(sequences, positions):
        t = [seq[p + 1] if p + 1 < len(seq) else ids[500] for p in pos]
        t[3] = ids[77]
        targets.append(t)
    return prompts, sequences, positions, targets


class Recorder:
    """Keeps the hidden states entering layers 0 and L/2, and the final norm."""

    def __init__(self, model):
        n = len(model.model.layers)
        self.levels = [0, n // 2, n]
        self.states = {}
        places = [model.model.layers[0], model.model.layers[n // 2], model.model.norm]
        self.handles = [
            p.register_forward_pre_hook(self._hook(k), with_kwargs=True) for k, p in zip(self.levels, places)
        ]

    def _hook(self, level):
        def hook(_, args, kwargs):
            h = args[0] if args else kwargs["hidden_states"]
            if h.requires_grad:
                h.retain_grad()
            self.states[level] = h

        return hook

    def remove(self):
        for h in self.handles:
            h.remove()


def prompt_golden(model, prompts):
    out = {}
    recorder = Recorder(model)
    for p, ids in enumerate(prompts):
        x = torch.tensor([ids])
        with torch.no_grad():
            logits = model(x, use_cache=False).logits[0]
        last = logits[-1]
        top = torch.topk(last, TOP)
        nll = F.cross_entropy(logits[:-1], x[0, 1:], reduction="none")
        where = [0, len(ids) // 2, len(ids) - 1]
        out[f"prompt.{p}.tokens"] = np.array(ids, dtype=np.int32)
        out[f"prompt.{p}.logits"] = last[::STRIDE].numpy()
        out[f"prompt.{p}.top_ids"] = top.indices.numpy().astype(np.int32)
        out[f"prompt.{p}.top_logits"] = top.values.numpy()
        out[f"prompt.{p}.logsumexp"] = torch.logsumexp(last, 0, keepdim=True).numpy()
        out[f"prompt.{p}.nll"] = nll.numpy()
        out[f"prompt.{p}.hidden_positions"] = np.array(where, dtype=np.int32)
        for level, h in recorder.states.items():
            out[f"prompt.{p}.hidden.{level}"] = h[0, where].numpy()
    recorder.remove()
    return out


def batch_loss(model, sequences, positions, targets):
    """Returns (sum of NLL at the labels, NLL and argmax per sequence)."""
    total, nlls, argmax = 0.0, [], []
    for ids, pos, tgt in zip(sequences, positions, targets):
        logits = model(torch.tensor([ids]), use_cache=False).logits[0, pos]
        nll = F.cross_entropy(logits, torch.tensor(tgt), reduction="none")
        total = total + nll.sum()
        nlls.append(nll.detach().numpy())
        argmax.append(logits.argmax(-1).numpy().astype(np.int32))
    return total, nlls, argmax


def lora_golden(model, batch, shared):
    """Loss and gradients; per-layer factors, or those of layer 0 for all layers."""
    prefix = "shared" if shared else "lora"
    sequences, positions, targets = batch
    adapter = Lora(model, RANK, SCALE, shared)
    recorder = Recorder(model)
    half = recorder.levels[1]
    out = {}
    # Sequence 0 first, alone, so that its hidden state is the recorded one.
    first = [x[:1] for x in batch]
    loss0, _, _ = batch_loss(model, *first)
    h0 = recorder.states[half]
    rest = [x[1:] for x in batch]
    loss1, nll1, arg1 = batch_loss(model, *rest)
    (loss0 + loss1).backward()
    with torch.no_grad():
        loss, nlls, argmax = batch_loss(model, *batch)
    out[f"{prefix}.loss"] = loss.reshape(1).numpy()
    for s in range(len(sequences)):
        out[f"{prefix}.nll.{s}"] = nlls[s]
        out[f"{prefix}.argmax.{s}"] = argmax[s]
    layers = [0] if shared else [0, half, recorder.levels[2] - 1]
    for l in layers:
        for m, name in enumerate(gguf_model.MODULES):
            a, b = adapter.pairs[l, m]
            place = name if shared else f"{l}.{name}"
            out[f"{prefix}.dA.{place}"] = a.grad.numpy()
            out[f"{prefix}.dB.{place}"] = b.grad.numpy()
    if not shared:
        out[f"lora.dhidden.{half}.0"] = h0.grad[0].numpy()
    recorder.remove()
    adapter.remove()
    return out


def golden(model, prompts, batch):
    out = prompt_golden(model, prompts)
    for s, (ids, pos, tgt) in enumerate(zip(*batch)):
        out[f"batch.{s}.tokens"] = np.array(ids, dtype=np.int32)
        out[f"batch.{s}.label_pos"] = np.array(pos, dtype=np.int32)
        out[f"batch.{s}.label_target"] = np.array(tgt, dtype=np.int32)
    with torch.no_grad():
        loss, nlls, argmax = batch_loss(model, *batch)
    out["base.loss"] = loss.reshape(1).numpy()
    for s in range(len(nlls)):
        out[f"base.nll.{s}"], out[f"base.argmax.{s}"] = nlls[s], argmax[s]
    out |= lora_golden(model, batch, shared=False)
    out |= lora_golden(model, batch, shared=True)
    return out


def peft_gradients(model, batch):
    """The same gradients by PEFT itself. Wraps the model's layers in place."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=RANK, lora_alpha=RANK * SCALE, lora_dropout=0.0, target_modules=gguf_model.MODULES, task_type="CAUSAL_LM"
    )
    wrapped = get_peft_model(model, config)
    params = {}
    for l, layer in enumerate(wrapped.get_base_model().model.layers):
        for m, name in enumerate(gguf_model.MODULES):
            lin = getattr(getattr(layer, gguf_model.PARENT[name]), name)
            a, b = lin.lora_A["default"].weight, lin.lora_B["default"].weight
            fa, fb = lora_module.factors(l, m, lin.in_features, lin.out_features, RANK)
            with torch.no_grad():
                a.copy_(torch.from_numpy(fa))
                b.copy_(torch.from_numpy(fb))
            params[l, name] = (a, b)
    loss, _, _ = batch_loss(wrapped, *batch)
    loss.backward()
    out = {"lora.loss": loss.detach().reshape(1).numpy()}
    for (l, name), (a, b) in params.items():
        out[f"lora.dA.{l}.{name}"], out[f"lora.dB.{l}.{name}"] = a.grad.numpy(), b.grad.numpy()
    return out


def double_golden(path, prompts, batch):
    """The golden values with all arithmetic in float64."""
    model, _ = gguf_model.load(path, torch.float64)

    class Norm(torch.nn.Module):
        def __init__(self, old):
            super().__init__()
            self.weight, self.eps = old.weight, old.variance_epsilon

        def forward(self, x):
            return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))

    model.model.norm = Norm(model.model.norm)
    for layer in model.model.layers:
        layer.input_layernorm = Norm(layer.input_layernorm)
        layer.post_attention_layernorm = Norm(layer.post_attention_layernorm)
    softmax = F.softmax  # eager attention asks for a float32 softmax
    F.softmax = lambda x, dim=None, dtype=None: softmax(x, dim=dim)
    try:
        return golden(model, prompts, batch)
    finally:
        F.softmax = softmax


def distance(a, b, prefixes):
    """Largest absolute and largest relative (Frobenius) difference over tensors."""
    worst_abs = worst_rel = 0.0
    compared = 0
    for name in sorted(set(a) & set(b)):
        if not name.startswith(prefixes) or a[name].dtype.kind != "f":
            continue
        x, y = a[name].astype(np.float64), b[name].astype(np.float64)
        compared += 1
        worst_abs = max(worst_abs, float(np.abs(x - y).max()))
        worst_rel = max(worst_rel, float(np.linalg.norm(x - y) / (np.linalg.norm(y) + 1e-30)))
    return {"tensors": compared, "max_abs": worst_abs, "max_rel": worst_rel}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="GGUF file of architecture llama or qwen2")
    parser.add_argument("out", help="safetensors file to write")
    parser.add_argument("--no-double", action="store_true", help="skip the float64 comparison")
    args = parser.parse_args()
    torch.manual_seed(0)

    model, md = gguf_model.load(args.model)
    prompts, *batch = inputs(md)
    out = golden(model, prompts, batch)
    checks = {"peft": distance(peft_gradients(model, batch), out, ("lora.",))}
    del model
    if not args.no_double:
        exact = double_golden(args.model, prompts, batch)
        checks["float64_logits"] = distance(out, exact, tuple(f"prompt.{p}.logits" for p in range(5)))
        checks["float64_nll"] = distance(out, exact, tuple(f"prompt.{p}.nll" for p in range(5)) + ("lora.nll",))
        checks["float64_hidden"] = distance(out, exact, tuple(f"prompt.{p}.hidden." for p in range(5)))
        checks["float64_gradients"] = distance(out, exact, ("lora.d", "shared.d"))
    if checks["peft"]["max_rel"] > 1e-4:
        raise SystemExit(f"PEFT disagrees: {checks['peft']}")

    metadata = {
        "format": "code2lora model golden 1",
        "model_sha256": gguf_model.sha256(args.model),
        "arch": md.arch,
        "layers": str(md.layers),
        "prompts": str(len(prompts)),
        "logit_stride": str(STRIDE),
        "lora_rank": str(RANK),
        "lora_scale": str(SCALE),
        "lora_A": lora_module.FORMULA_A,
        "lora_B": lora_module.FORMULA_B,
        "modules": " ".join(gguf_model.MODULES),
        "checks": json.dumps(checks),
        "versions": json.dumps(
            {"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__}
        ),
    }
    save_file({k: np.ascontiguousarray(v) for k, v in sorted(out.items())}, args.out, metadata)
    print(json.dumps({"out": args.out, "tensors": len(out), **checks}, indent=1))


if __name__ == "__main__":
    main()
