"""Writes internal/metric/testdata/golden.json: what codebleu, sacrebleu, rapidfuzz and difflib say about pairs of texts.

    python metric_golden.py ../internal/metric/testdata/golden.json

Needs Python 3.11, whose tokenizer codebleu's removal of docstrings depends on, and requirements-metric.txt. The texts
are this project's own: expressions, lines and functions of the Python programs in this directory and of a few Go
packages, the snippets below, and copies of all these with small mistakes, which a seeded generator makes.

The data flow match of codebleu depends on the hashes of strings, which Python changes with every process. It is
computed with several hash seeds, and the smallest and the largest value are written.
"""

import ast
import ctypes
import difflib
import json
import logging
import os
import random
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SEEDS = (0, 1, 2, 3, 4, 5)
LONGEST = 420  # characters of a text
PER_LANGUAGE = {"python": 220, "go": 110, "java": 60, "javascript": 60}

JAVA = """
assertEquals(4, list.size());
---
int total = 0;
for (int i = 0; i < values.length; i++) {
    total += values[i];
}
return total;
---
for (String name : names) {
    count = count + name.length();
    seen.put(name, count);
}
---
String key = prefix + "." + name; // joined
if (map.containsKey(key)) {
    value = map.get(key);
} else if (fallback != null) {
    value = fallback;
} else {
    throw new IllegalStateException("no value for " + key);
}
---
while (it.hasNext()) {
    Node next = it.next();
    last = next;
    n++;
}
---
new HashMap<String, List<Integer>>()
---
class Counter {
    private int n;
    int add(int k) { n = n + k; return n; }
}
---
Arrays.asList(1, 2, 3)
---
x -> x * 2
---
int a = 1, b = a, c;
c = a + b;
---
boolean ok = s.equals("a\\n") && c != '\\'';
---
switch (kind) { case 1: return "one"; default: return null; }
"""

JAVASCRIPT = """
expect(sum(1, 2)).toBe(3);
---
const total = values.reduce((a, b) => a + b, 0);
---
var n = 0;
for (var i = 0; i < list.length; i++) {
  n += list[i].size;
}
return n;
---
function greet(name = "you") {
  let text = `hello ${name}`; // a template
  if (name === null) { text = "nobody"; } else { count++; }
  return text;
}
---
while (queue.length > 0) {
  const next = queue.shift();
  seen[next] = true;
  depth += 1;
}
---
{ a: 1, b: [2, 3], ...rest }
---
class Box { get size() { return this.w * this.h; } }
---
items.filter(x => x.done).map(({ id, name }) => [id, name])
---
/^a[bc]+$/.test(key)
---
await fetch(url, { method: "POST", body: JSON.stringify(data) })
---
let x = y, z;
z = x ?? y;
---
for (const [k, v] of Object.entries(o)) { out[k] = v; }
"""

# Pairs that generated mistakes don't make.
SPECIAL = [
    ("python", a, b) for a, b in [
        ("foo", "bar"), ("foo)", "bar)"), ("'abc'", "'abd'"), ("a.b.c", "a.b.d"), ("None", "None)"), ("", ""), ("x", ""), ("", "x"),
        ("[1, 2, 3]", "[1,2,3]"), ("foo(1,2)", "foo(1, 2)"), ("x" * 250 + "y", "x" * 250 + "z"), ("250 " * 60 + "ab", "ab" + " 250" * 60),
        ('"a" # b', '"a"  # c'), ('x = "a"', "x = 'a'"), ('"""doc"""\nx = 1', '"""other"""\nx = 1'),
        ('def f(a, b=1):\n    """Doc."""\n    c = a\n    return c + b', 'def f(a, b=2):\n    d = b\n    return d'),
        ("if a:\n  b = c\nelif d:\n  b = e\nelse:\n  b = f\ng = b", "if a:\n  b = d\nelse:\n  b = e\ng = b"),
        ("for i, j in zip(a, b):\n    c += i\n    d = c", "for i in a:\n    c = c + i\n    d = c"),
        ("while a:\n    a = a - b\n    b = a", "while b:\n    b = a\n    a -= b"),
        ("[x for x in y if x > z]", "[y for y in x if y]"), ("{k: v for k, v in z.items()}", "dict(z)"),
        ("a, b = b, a", "b, a = a, b"), ("a, b = f(c)", "a = f(b, c)"), ("a = b = c", "a = c"), ("x: int = 3", "x = 3"), ("a += b", "a = a + b"),
        ("foo(", "foo()"), ("x = 'abc", "x = 'abc'"), ("a\n  b", "a\nb"), ("lambda x: x + y", "lambda z: z"), ("é = 'ü' + a", "a = é"),
        ("f'{a}{b!r}'", "f'{a}'"), ("x = [\n  1,  # one\n  2,\n]", "x = [1, 2]"), ("a if b else c", "b if a else c"),
        ("\tx = 1", "x = 1"), ("$ x", "? x"), ("x = 1 \\\n  + y", "x = 1 + y"), ("print('a')\n'b'\nx", "print('a')\nx"),
        ("@d\nasync def f(self, *a, **k):\n    await g(self.a)", "def f(self):\n    g(self.a)"),
        ("try:\n    a = b\nexcept E as e:\n    raise F(e)", "try:\n    a = c\nfinally:\n    d(a)"),
        ("with a as b:\n    c = b\n    '''text'''\n    return c", "with a as b:\n    return b"), ("日本 = 1", "日本 = 2"), ("x" * 300, "y" * 300),
    ]
] + [
    ("go", a, b) for a, b in [
        ("x := foo(1)", "x = foo(2)"), ("var a, b = c, d", "var a = c"), ("var a int", "var b int"), ("i++", "i--"), ("`a // b`", "`a`"),
        ("if x := f(); x > 1 { y = x } else { y = z }", "if x > 1 { y = x }"), ("for i, v := range x { s += v }", "for i := range x { s += x[i] }"),
        ("for i := 0; i < n; i++ { a = b; b = i }", "for i := 0; i < n; i++ { b = a }"), ("map[string]int{\"a\": 1}", "map[string]int{\"b\": 2}"),
        ("a, err := f()\nif err != nil { return nil, err }", "a := f()\nreturn a, nil"), ("'x'", "\"x\""), ("/* c */ x", "x // d"),
    ]
]


def python_texts():
    for path in sorted((ROOT / "reference").glob("*.py")):
        if path.name == Path(__file__).name:
            continue
        source = path.read_text()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.FunctionDef, ast.For, ast.If, ast.With, ast.Assign, ast.Return, ast.Call, ast.Compare, ast.Dict, ast.ListComp)):
                text = ast.get_source_segment(source, node)
                if text:
                    yield dedent(text, node.col_offset)


def dedent(text, columns):
    return "\n".join(line[columns:] if i and not line[:columns].strip() else line for i, line in enumerate(text.split("\n")))


def go_texts():
    for path in sorted((ROOT / "internal/stats").glob("*.go")) + sorted((ROOT / "internal/half").glob("*.go")):
        source = path.read_text()
        yield from re.findall(r"^func .*?^}", source, re.M | re.S)
        yield from (line.strip() for line in source.split("\n") if re.search(r":?= |return |\(.*\)$", line))


def texts(language):
    if language == "java":
        found = JAVA.split("---")
    elif language == "javascript":
        found = JAVASCRIPT.split("---")
    else:
        found = python_texts() if language == "python" else go_texts()
    return sorted({t.strip("\n") for t in found if 3 <= len(t) <= LONGEST})


def mistake(rng, text):
    """Returns the text with one to three small changes."""
    parts = re.findall(r"\w+|\s+|[^\w\s]", text)
    for _ in range(rng.randint(1, 3)):
        if not parts:
            break
        i = rng.randrange(len(parts))
        what = rng.random()
        words = [p for p in parts if re.match(r"[A-Za-z_]\w*$", p)]
        if what < 0.35 and words:
            i = rng.choice([k for k, p in enumerate(parts) if p in words])
            parts[i] = rng.choice(words + ["value", "other", "x"])
        elif what < 0.5:
            del parts[i]
        elif what < 0.65:
            parts[i] = rng.choice(["0", "1", "None", "''", ".", "(", ")", " "])
        elif what < 0.75:
            parts = parts[: max(1, i)]
        elif what < 0.85:
            lines = "".join(parts).split("\n")
            rng.shuffle(lines)
            parts = ["\n".join(lines)]
        else:
            parts.insert(i, rng.choice(parts))
    return "".join(parts)


def pairs():
    rng = random.Random(3407)
    chosen = list(SPECIAL)
    for language, count in PER_LANGUAGE.items():
        all_texts = texts(language)
        rng.shuffle(all_texts)
        for i in range(count):
            reference = all_texts[i % len(all_texts)]
            prediction = rng.choice(all_texts) if rng.random() < 0.15 else mistake(rng, reference)
            chosen.append((language, prediction, reference))
    return chosen


def code_scores():
    """Prints the parts of CodeBLEU for the pairs on standard input, under the hash seed of this process."""
    import tree_sitter_python
    from codebleu import calc_codebleu

    # This version of the grammar, which is ours, comes in a capsule, and tree-sitter 0.22 wants the address in it.
    language = tree_sitter_python.language()
    address = ctypes.pythonapi.PyCapsule_GetPointer
    address.restype, address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    tree_sitter_python.language = lambda: address(language, b"tree_sitter.Language")

    logging.disable(logging.WARNING)
    scores = [calc_codebleu([r], [p], lang=language) for language, p, r in json.load(sys.stdin)]
    json.dump(scores, sys.stdout)


def main():
    from rapidfuzz import fuzz
    from rapidfuzz.distance import Levenshtein
    from sacrebleu import sentence_bleu

    chosen = pairs()
    runs = []
    for seed in SEEDS:
        done = subprocess.run([sys.executable, __file__, "--code-scores"], input=json.dumps(chosen), capture_output=True, text=True, check=True,
                              env={**os.environ, "PYTHONHASHSEED": str(seed)})
        runs.append(json.loads(done.stdout))
    lines = []
    for i, (language, p, r) in enumerate(chosen):
        code = [run[i] for run in runs]
        lines.append(json.dumps({
            "language": language, "prediction": p, "reference": r,
            "ngram": code[0]["ngram_match_score"], "weighted": code[0]["weighted_ngram_match_score"], "syntax": code[0]["syntax_match_score"],
            "dataflow": sorted({min(c["dataflow_match_score"] for c in code), max(c["dataflow_match_score"] for c in code)}),
            "codebleu": sorted({min(c["codebleu"] for c in code), max(c["codebleu"] for c in code)}),
            "bleu": sentence_bleu(p, [r], tokenize="none").score / 100,
            "levenshtein": Levenshtein.normalized_similarity(p, r), "indel": fuzz.ratio(p, r) / 100,
            "difflib": difflib.SequenceMatcher(None, p, r).ratio(),
        }, ensure_ascii=False))
    packages = ["codebleu", "rapidfuzz", "sacrebleu", "tree-sitter"] + ["tree-sitter-" + language for language in PER_LANGUAGE]
    versions = {"python": "%d.%d" % sys.version_info[:2], **{name: version(name) for name in packages}}
    Path(sys.argv[1]).write_text('{"versions": %s, "pairs": [\n%s\n]}\n' % (json.dumps(versions), ",\n".join(lines)))


if __name__ == "__main__":
    if sys.argv[1:] == ["--code-scores"]:
        code_scores()
    elif len(sys.argv) == 2:
        main()
    else:
        sys.exit(__doc__)
