"""Writes a tiny random model as GGUF, so that tests need no download.

    python tiny_model.py llama|qwen2 OUT.gguf

The file has everything that the real files of the architecture have: permuted
q/k rows and tied embeddings for llama, biases and a separate output matrix for
qwen2, a trained byte-level BPE vocabulary, and a different tensor type for each
kind of tensor. Its text is noise; its arithmetic is checked by model_golden.py.
"""

import argparse
import json

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from gguf_model import permute
from model_golden import SOURCE

SIZES = {
    "llama": dict(dim=64, ff=96, heads=4, kv_heads=2, layers=3, theta=10000.0, eps=1e-5),
    "qwen2": dict(dim=96, ff=160, heads=6, kv_heads=2, layers=3, theta=1000000.0, eps=1e-6),
}
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
FIM = ["<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"]
VOCAB = 512
TYPES = {
    "token_embd": T.Q8_0,
    "output": T.Q5_0,
    "attn_q": T.F16,
    "attn_k": T.BF16,
    "attn_v": T.Q5_1,
    "attn_output": T.Q4_1,
    "ffn_gate": T.Q4_0,
    "ffn_up": T.Q5_0,
    "ffn_down": T.Q8_0,
}


def vocabulary(specials):
    """Tokens in order of id, and merges in order of rank."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=specials,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # Repeated, since a merge must occur more than once to be learned.
    tok.train_from_iterator([SOURCE, SOURCE], trainer)
    state = json.loads(tok.to_str())["model"]
    tokens = [t for t, _ in sorted(state["vocab"].items(), key=lambda e: e[1])]
    merges = [m if isinstance(m, str) else " ".join(m) for m in state["merges"]]
    return tokens, merges


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("arch", choices=sorted(SIZES))
    parser.add_argument("out", help="GGUF file to write")
    args = parser.parse_args()
    arch, s = args.arch, SIZES[args.arch]
    rng = np.random.default_rng(1)
    specials = SPECIALS + (FIM if arch == "qwen2" else [])
    tokens, merges = vocabulary(specials)

    w = gguf.GGUFWriter(args.out, arch)
    w.add_name(f"tiny {arch}")
    w.add_block_count(s["layers"])
    w.add_context_length(512)
    w.add_embedding_length(s["dim"])
    w.add_feed_forward_length(s["ff"])
    w.add_head_count(s["heads"])
    w.add_head_count_kv(s["kv_heads"])
    w.add_rope_freq_base(s["theta"])
    w.add_layer_norm_rms_eps(s["eps"])
    w.add_vocab_size(len(tokens))
    if arch == "llama":
        w.add_rope_dimension_count(s["dim"] // s["heads"])
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm" if arch == "llama" else "qwen2")
    w.add_token_list(tokens)
    w.add_token_types([3 if t in specials else 1 for t in tokens])
    w.add_token_merges(merges)
    w.add_bos_token_id(0)
    w.add_eos_token_id(0)
    w.add_add_bos_token(False)

    def add(name, x):
        kind = name.split(".")[2] if name.startswith("blk.") else name.split(".")[0]
        qtype = TYPES[kind] if x.ndim == 2 else T.F32
        w.add_tensor(name, gguf.quants.quantize(x.astype(np.float32), qtype), raw_dtype=qtype)

    def linear(n_out, n_in):
        return rng.standard_normal((n_out, n_in)) / np.sqrt(n_in)

    def norm():
        return 1 + 0.2 * rng.standard_normal(s["dim"])

    dim, ff = s["dim"], s["ff"]
    kv = dim // s["heads"] * s["kv_heads"]
    add("token_embd.weight", 0.5 * rng.standard_normal((len(tokens), dim)))
    for l in range(s["layers"]):
        q, k = linear(dim, dim), linear(kv, dim)
        if arch == "llama":
            q, k = permute(q, s["heads"]), permute(k, s["kv_heads"])
        for part, x in {
            "attn_norm.weight": norm(),
            "attn_q.weight": q,
            "attn_k.weight": k,
            "attn_v.weight": linear(kv, dim),
            "attn_output.weight": linear(dim, dim),
            "ffn_norm.weight": norm(),
            "ffn_gate.weight": linear(ff, dim),
            "ffn_up.weight": linear(ff, dim),
            "ffn_down.weight": linear(dim, ff),
        }.items():
            add(f"blk.{l}.{part}", x)
        if arch == "qwen2":
            for part, n in {"attn_q.bias": dim, "attn_k.bias": kv, "attn_v.bias": kv}.items():
                add(f"blk.{l}.{part}", rng.standard_normal(n))
    add("output_norm.weight", norm())
    if arch == "qwen2":
        add("output.weight", 3 * linear(len(tokens), dim))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main()
