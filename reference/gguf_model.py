"""Builds the transformers model of a GGUF file from its dequantised weights.

Every tensor is dequantised to float32 by the `gguf` package and loaded into
LlamaForCausalLM or Qwen2ForCausalLM with eager attention, so that what is
compared is the arithmetic of the network and not the quantisation.

GGUF files of architecture "llama" store the rows of q_proj and k_proj in the
order of interleaved RoPE pairs; `unpermute` restores the order of the Hugging
Face checkpoint. "qwen2" files keep the Hugging Face order.
"""

import hashlib

import gguf
import numpy as np
import torch
import transformers

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

# GGUF name of each projection, and its place in a transformers decoder layer.
GGUF_NAME = dict(zip(MODULES, ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]))
PARENT = {m: "self_attn" if m in MODULES[:4] else "mlp" for m in MODULES}


def sha256(path):
    """Returns the SHA-256 of a file as lower-case hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def unpermute(w, n_head):
    """Rows of a llama GGUF file's q or k -> rows of the Hugging Face checkpoint."""
    hd = w.shape[0] // n_head
    return w.reshape(n_head, hd // 2, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def permute(w, n_head):
    """The inverse of unpermute."""
    hd = w.shape[0] // n_head
    return w.reshape(n_head, 2, hd // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


class Metadata:
    """The hyperparameters of a GGUF file, with the documented fallbacks."""

    def __init__(self, reader):
        self.reader = reader
        self.arch = self.get("general.architecture")
        if self.arch not in ("llama", "qwen2"):
            raise SystemExit(f"architecture {self.arch!r}: want llama or qwen2")
        a = self.arch
        self.layers = self.get(f"{a}.block_count")
        self.dim = self.get(f"{a}.embedding_length")
        self.ff = self.get(f"{a}.feed_forward_length")
        self.heads = self.get(f"{a}.attention.head_count")
        self.kv_heads = self.get(f"{a}.attention.head_count_kv", self.heads)
        self.head_dim = self.get(f"{a}.attention.key_length", self.dim // self.heads)
        self.context = self.get(f"{a}.context_length")
        self.theta = self.get(f"{a}.rope.freq_base", 10000.0)
        self.eps = self.get(f"{a}.attention.layer_norm_rms_epsilon")
        self.tokens = self.get("tokenizer.ggml.tokens")

    def get(self, key, default=None):
        field = self.reader.get_field(key)
        if field is not None:
            return field.contents()
        if default is None:
            raise SystemExit(f"metadata key {key!r} is missing")
        return default


def tensors(reader):
    """Yields (GGUF name, float32 array in row-major order [out, in])."""
    for t in reader.tensors:
        w = gguf.quants.dequantize(t.data, t.tensor_type)
        yield t.name, np.array(w.reshape(tuple(reversed(t.shape.tolist()))), dtype=np.float32)


def hf_name(name):
    """The transformers name of a GGUF tensor of a llama or qwen2 file."""
    top = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    }
    if name in top:
        return top[name]
    _, layer, part, kind = name.split(".")
    norms = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
    if part in norms:
        return f"model.layers.{layer}.{norms[part]}.{kind}"
    module = next(m for m, g in GGUF_NAME.items() if g == part)
    return f"model.layers.{layer}.{PARENT[module]}.{module}.{kind}"


def load(path, dtype=torch.float32):
    """Returns (model, metadata); the model is frozen and in evaluation mode."""
    reader = gguf.GGUFReader(path)
    md = Metadata(reader)
    state = {}
    for name, w in tensors(reader):
        if md.arch == "llama" and ".attn_q." in name:
            w = unpermute(w, md.heads)
        if md.arch == "llama" and ".attn_k." in name:
            w = unpermute(w, md.kv_heads)
        state[hf_name(name)] = torch.from_numpy(np.ascontiguousarray(w))
    tied = "lm_head.weight" not in state
    if tied:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]

    if md.arch == "llama":
        Config, Model, extra = transformers.LlamaConfig, transformers.LlamaForCausalLM, {"head_dim": md.head_dim}
    else:
        Config, Model, extra = transformers.Qwen2Config, transformers.Qwen2ForCausalLM, {}
    config = Config(
        vocab_size=len(md.tokens),
        hidden_size=md.dim,
        intermediate_size=md.ff,
        num_hidden_layers=md.layers,
        num_attention_heads=md.heads,
        num_key_value_heads=md.kv_heads,
        max_position_embeddings=md.context,
        rms_norm_eps=md.eps,
        rope_parameters={"rope_type": "default", "rope_theta": md.theta},
        tie_word_embeddings=tied,
        attn_implementation="eager",
        **extra,
    )
    model = Model(config)
    missing, unexpected = model.load_state_dict(state, strict=False, assign=True)
    if missing or unexpected:
        raise SystemExit(f"{path}: tensors missing {missing}, not understood {unexpected}")
    model.to(dtype).eval().requires_grad_(False)
    return model, md


def projections(model):
    """Yields (layer, module index, nn.Linear) of every projection."""
    for l, layer in enumerate(model.model.layers):
        for m, name in enumerate(MODULES):
            yield l, m, getattr(getattr(layer, PARENT[name]), name)


def tokenizer(md):
    """A byte-level BPE from the vocabulary in the file, good enough to cut code
    into realistic tokens. (Exact pre-tokenisation has its own golden files.)"""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocab = {t: i for i, t in enumerate(md.tokens)}
    merges = [tuple(m.split(" ", 1)) for m in md.get("tokenizer.ggml.merges")]
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tok.decoder = decoders.ByteLevel()
    return tok
