"""Writes quantised blocks with their values, to check package gguf.

    python3 gguf_golden.py ../internal/gguf/testdata/quants.bin

The blocks are random bytes, except that their half-precision scales are
finite; the values are those of `gguf.quants.dequantize`, which llama.cpp tests
against its C code. For the types that package gguf can write, values and the
bytes of `gguf.quants.quantize` are added.

The file is little-endian: for each case u32 direction (0 decode, 1 encode),
u32 ggml type, u32 number of bytes, u32 number of values, bytes, float32 values.
"""

import struct
import sys

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGML_QUANT_SIZES, quants

BLOCKS = 6

# Offsets of the half-precision fields of a block.
HALVES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.IQ4_NL: [0],
    T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
}


def blocks(rng, kind):
    size = GGML_QUANT_SIZES[kind][1]
    raw = rng.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    for block in range(BLOCKS):
        for at in HALVES[kind]:
            # Both signs, ordinary and subnormal scales, and zero in the last block.
            scale = np.float16(0 if block == BLOCKS - 1 else rng.normal() * 10.0 ** -block)
            raw[block, at:at + 2] = np.frombuffer(scale.tobytes(), np.uint8)
    return raw


def main(path):
    rng = np.random.default_rng(20)
    with open(path, "wb") as out:
        def write(direction, kind, raw, values):
            raw, values = raw.tobytes(), np.ascontiguousarray(values, np.float32)
            out.write(struct.pack("<4I", direction, kind, len(raw), values.size) + raw + values.tobytes())

        for kind in HALVES:
            raw = blocks(rng, kind)
            write(0, kind, raw, quants.dequantize(raw, kind))
        every = np.arange(0, 65536, 37, dtype=np.uint16)
        every = every[(every & 0x7C00) != 0x7C00]  # finite halves
        write(0, T.F16, every, every.view(np.float16))
        bits = every[(every & 0x7F80) != 0x7F80]
        write(0, T.BF16, bits, quants.dequantize(bits.view(np.uint8), T.BF16))

        values = (rng.normal(size=512) * 10.0 ** rng.integers(-9, 4, 512)).astype(np.float32)
        values[32:64] = 0
        values[64:96] = np.arange(32) - 15.5  # ties when divided by the scale
        values[64] = 127
        for kind in (T.F16, T.BF16, T.Q8_0):
            write(1, kind, quants.quantize(values, kind), values)


if __name__ == "__main__":
    main(sys.argv[1])
