"""Parquet between us and the Python tools, in both directions.

    parquet_check.py read BENCHMARK     reads a benchmark of ours with pyarrow (and checks it against its manifest)
    parquet_check.py golden OUTDIR      writes small files in the schemas of the authors' data (invented content):
                                        internal/repopeft/testdata/*.parquet

The schemas are those of the Hugging Face datasets code2lora-data-commits, -smartcap, -snapshots and -ood.
"""

import hashlib
import json
import pathlib
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

VECTOR = 2048


def read(directory):
    directory = pathlib.Path(directory)
    manifest = json.loads((directory / "manifest.json").read_text())
    tables = {}
    for name, digest in manifest["sha256"].items():
        got = hashlib.sha256((directory / name).read_bytes()).hexdigest()
        assert got == digest, f"{name}: SHA-256 {got}, manifest {digest}"
        tables[name] = pq.read_table(directory / name)
        tables[name].validate(full=True)  # offsets, lengths, UTF-8
    tasks, commits = tables["tasks.parquet"], tables["commits.parquet"]
    assert tasks.num_rows == manifest["tasks"], (tasks.num_rows, manifest["tasks"])
    assert commits.num_rows == manifest["commits"], (commits.num_rows, manifest["commits"])
    kinds = {}
    for task in tasks.to_pylist():
        extent = "\0".join([task["repo_id"], task["commit_sha"], task["test_file"], task["kind"],
                            str(task["target_start"]), str(task["target_end"])])
        want = hashlib.sha256(extent.encode()).hexdigest()[:32]
        assert task["task_id"] == want, f"task {task['task_id']}, want {want}"
        assert task["cross_repo_split"] in ("train", "cr_val", "cr_test", "ood_test"), task["cross_repo_split"]
        assert task["in_repo_split"] in ("train", "val", "test"), task["in_repo_split"]
        verbatim = len(task["prefix"].encode()) == task["target_start"]
        key = task["track"], task["kind"], "verbatim" if verbatim else "excerpt"
        kinds[key] = kinds.get(key, 0) + 1
    for key, n in sorted(kinds.items()):
        print(*key, n)
    print(f"{tasks.num_rows} tasks, {commits.num_rows} commits: as the manifest says")


def vectors(seeds):
    """float16 vectors whose element k is ((k + seed) % 13 - 6) / 8; None and 0 stand for null and zeros."""
    rows = []
    for seed in seeds:
        if seed is None:
            rows.append(None)
        elif seed == 0:
            rows.append([np.float16(0)] * VECTOR)
        else:
            rows.append([np.float16(((k + seed) % 13 - 6) / 8) for k in range(VECTOR)])
    return pa.array(rows, pa.list_(pa.float16(), VECTOR))


def strings(values, large=False):
    return pa.array(values, pa.large_string() if large else pa.string())


def integers(values):
    return pa.array(values, pa.int32())


def shas(n):
    return [f"{i + 1:040x}" for i in range(n)]


def commits(kind):
    """Three commits of a repository; kind is the dataset they are laid out for."""
    columns = {
        "repo_id": strings(["owner/répo"] * 3),
        "cross_repo_split": strings(["ood_test" if kind == "ood" else "train"] * 3),
        "commit_index": integers([0, 1, 2]),
        "commit_sha": strings(shas(3)),
        "commit_timestamp": strings([f"2024-0{i}-01T00:00:00+00:00" for i in (1, 2, 3)]),
        "in_repo_split": strings(["train", "val", "test"]),
        "n_new_assertions": integers([5, 7, 9]),
    }
    if kind != "ood":
        columns["n_added_assertions"] = integers([5, 4, 3])
        columns["n_modified_assertions"] = integers([0, 3, 6])
        columns["repo_state_embedding"] = vectors([1, 2, 0])
    if kind == "commits":
        columns["diff_embedding"] = vectors([3, None, 5])
    if kind != "snapshots":
        columns["production_code_diff"] = strings(["diff --git a/x.py b/x.py\n+é\n", "", None], large=True)
    return pa.table(columns)


def tasks(kind):
    """Four tasks of two commits; kind is the dataset they are laid out for."""
    static = kind == "snapshots"
    columns = {
        "repo_id": strings(["owner/répo"] * 4),
        "cross_repo_split": strings(["ood_test" if kind == "ood" else "train"] * 4),
        "commit_index": integers([0, 0, 0, 1]),
        "commit_sha": strings([shas(2)[i] for i in (0, 0, 0, 1)]),
        "in_repo_split": strings(["train", "train", "train", "train" if static else "test"]),
        "test_file": strings(["tests/test_a.py"] * 4),
        "assertion_type": strings(["assert", "self.assertEqual", "pytest.raises", "assert"]),
        "test_function": strings(["test_a", "test_b", "", None]),
        "prefix": strings([f"def test():\n    # é {'x' * i}\n    assert f() == " for i in range(4)], large=True),
        "target": strings(["1", "'ü')", ", a)", "g(2)"]),
    }
    if static:
        columns["difficulty"] = strings(["numeric_literal", "string_literal", "complex_expr", "func_call"])
        columns["context_lines"] = integers([3] * 4)
        columns["anchor_sha"] = strings([shas(2)[1]] * 4)
        columns["anchor_index"] = integers([1] * 4)
        columns["qna_source"] = strings(["anchor"] * 4)
    else:
        columns["lineno"] = integers([3, 4, 5, 6])
        columns["col_offset"] = integers([4] * 4)
    if kind == "smartcap":
        columns["assertion_event_type"] = strings(["added", "modified", "added", None])
        columns["old_target"] = strings([None, "'u')", None, None])
        columns["old_lineno"] = integers([None, 4, None, None])
    return pa.table(columns)


def golden(out):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for kind, compression in ("commits", "zstd"), ("snapshots", "zstd"), ("ood", "snappy"):
        pq.write_table(commits(kind), out / f"{kind}-commits.parquet", compression=compression, row_group_size=2)
    for kind, compression in ("smartcap", "snappy"), ("snapshots", "snappy"), ("ood", "zstd"):
        pq.write_table(tasks(kind), out / f"{kind}-qna.parquet", compression=compression, row_group_size=3)
    # The second version of pages, and more of them than one in a row group.
    pq.write_table(commits("commits"), out / "pages-commits.parquet", compression="zstd", data_page_version="2.0",
                   data_page_size=1, write_batch_size=1, use_dictionary=False)
    pq.write_table(tasks("smartcap"), out / "pages-qna.parquet", compression="none", data_page_size=1,
                   write_batch_size=1, write_page_index=True)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("read", "golden"):
        sys.exit(__doc__)
    {"read": read, "golden": golden}[sys.argv[1]](sys.argv[2])
