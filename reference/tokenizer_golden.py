"""Writes what the tokenizer tests read: vocabularies, lines, token ids.

    python tokenizer_golden.py [--llama-cpp] SMOLLM2.gguf QWEN2.5-CODER.gguf OUT_DIR

OUT_DIR is internal/tokenizer/testdata. The ids are those of the Hugging Face
`tokenizers` library with the vocabulary and merges of the GGUF files and the
pre-tokenizers of the original tokenizer.json files. With --llama-cpp every line
is also encoded by llama.cpp, and any difference is an error. Needs tokenizers,
gguf and numpy (requirements.txt), and llama-cpp-python for --llama-cpp.

Files, all gzip:

    NAME.vocab.json.gz  {"pre", "tokens", "types", "merges", "bos", "eos"} as in
                        the GGUF metadata
    golden.jsonl.gz     one line each: {"text": ..., "NAME": [ids], "NAME_special":
                        [ids with special tokens recognised, if different],
                        "qwen2_nfc": [ids after NFC, if different],
                        "pieces": {PRE: [length in bytes of each piece]}}

NAME is the pre-tokenizer: smollm or qwen2. The lines are generated, always
the same ones. "pieces" is how other pre-tokenizers split the lines of at most
300 characters: the expressions of llama.cpp, run by Oniguruma.
"""

import argparse
import gzip
import json
import pathlib
import random

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from tokenizer_lines import lines

QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
CONTRACTION = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
SPLITS = {
    "gpt-2": [GPT2],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    "llama-bpe": [
        CONTRACTION
        + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ],
    "qwen35": [
        CONTRACTION
        + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ],
}


def pre_tokenizer(name):
    if name == "smollm":
        return pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    if name == "qwen2":
        return pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(QWEN2), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    raise SystemExit(f"pre-tokenizer {name!r}: want smollm or qwen2")


class Vocabulary:
    """The tokenizer metadata of a GGUF file."""

    def __init__(self, path):
        fields = gguf.GGUFReader(path).fields

        def get(key):
            field = fields.get("tokenizer.ggml." + key)
            return field.contents() if field else None

        self.path = path
        self.pre = get("pre")
        self.tokens, self.types, self.merges = get("tokens"), get("token_type"), get("merges")
        self.bos, self.eos = get("bos_token_id"), get("eos_token_id")

    def write(self, out):
        value = {
            "pre": self.pre,
            "tokens": self.tokens,
            "types": [int(t) for t in self.types],
            "merges": self.merges,
            "bos": int(self.bos),
            "eos": int(self.eos),
        }
        write(out / f"{self.pre}.vocab.json.gz", json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    def tokenizer(self, special=False, nfc=False):
        vocab = {text: i for i, text in enumerate(self.tokens)}
        merges = [tuple(m.split(" ")) for m in self.merges]
        t = Tokenizer(models.BPE(vocab, merges))
        t.pre_tokenizer = pre_tokenizer(self.pre)
        if nfc:
            t.normalizer = normalizers.NFC()
        if special:  # control and user-defined
            texts = [text for text, typ in zip(self.tokens, self.types) if typ in (3, 4)]
            t.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in texts])
        return t


def write(path, text):
    # No name and no time, so that the same input gives the same bytes.
    with open(path, "wb") as f, gzip.GzipFile("", "wb", 9, f, mtime=0) as z:
        z.write(text.encode())


def ids(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def check_llama_cpp(vocabulary, golden):
    import llama_cpp

    llama = llama_cpp.Llama(vocabulary.path, vocab_only=True, verbose=False)
    user_defined = [t for t, typ in zip(vocabulary.tokens, vocabulary.types) if typ == 4]
    for row in golden:
        text, name = row["text"], vocabulary.pre
        special = row.get(name + "_special", row[name])
        # llama.cpp takes Qwen's "</s>", an ordinary token, for a control token.
        if "</s>" not in text and (got := llama.tokenize(text.encode(), add_bos=False, special=True)) != special:
            raise SystemExit(f"{name}, special: {text!r}: llama.cpp {got}, tokenizers {special}")
        if any(u in text for u in user_defined):
            continue  # llama.cpp recognises these always
        if (got := llama.tokenize(text.encode(), add_bos=False, special=False)) != row[name]:
            raise SystemExit(f"{name}: {text!r}: llama.cpp {got}, tokenizers {row[name]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--llama-cpp", action="store_true", help="compare with llama.cpp")
    parser.add_argument("smollm2", help="GGUF file with pre-tokenizer smollm")
    parser.add_argument("qwen2", help="GGUF file with pre-tokenizer qwen2")
    parser.add_argument("out", type=pathlib.Path, help="folder to write to")
    args = parser.parse_args()

    splits = {
        name: pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(e), behavior="isolated") for e in expressions])
        for name, expressions in SPLITS.items()
    }
    vocabularies = [Vocabulary(args.smollm2), Vocabulary(args.qwen2)]
    specials = [t for v in vocabularies for t, typ in zip(v.tokens, v.types) if typ in (3, 4)]
    golden = [{"text": text} for text in lines(random.Random(2606), specials)]
    for row in golden:
        if len(row["text"]) <= 300:
            row["pieces"] = {
                name: [len(piece.encode()) for piece, _ in split.pre_tokenize_str(row["text"])]
                for name, split in splits.items()
            }
    for v in vocabularies:
        plain, special, nfc = v.tokenizer(), v.tokenizer(special=True), v.tokenizer(nfc=True)
        for row in golden:
            row[v.pre] = ids(plain, row["text"])
            if (got := ids(special, row["text"])) != row[v.pre]:
                row[v.pre + "_special"] = got
            if v.pre == "qwen2" and (got := ids(nfc, row["text"])) != row[v.pre]:
                row["qwen2_nfc"] = got
        if args.llama_cpp:
            check_llama_cpp(v, golden)
        v.write(args.out)
    write(args.out / "golden.jsonl.gz", "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in golden))
    print(f"{len(golden)} lines, {sum(len(r['text'].encode()) for r in golden)} bytes of text")


if __name__ == "__main__":
    main()
