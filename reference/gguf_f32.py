"""Writes a GGUF file with the same metadata and all tensors as F32.

    python gguf_f32.py IN.gguf OUT.gguf

llama.cpp quantises the activations when it multiplies with a quantised matrix;
with an F32 file it does not, and its logits can be compared closely.
"""

import argparse

import gguf

import gguf_model


def convert(source, target):
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.get_field("general.architecture").contents())
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        value = field.contents()
        if field.name == "general.file_type":
            value = int(gguf.LlamaFileType.ALL_F32)
        sub = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, value, field.types[0], sub)
    for name, w in gguf_model.tensors(reader):
        writer.add_tensor(name, w)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source")
    parser.add_argument("target")
    args = parser.parse_args()
    convert(args.source, args.target)


if __name__ == "__main__":
    main()
