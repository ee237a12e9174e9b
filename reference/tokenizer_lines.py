"""Lines of text that are hard for a tokenizer, made from templates.

`lines` returns the same ones for the same random generator: code in several
languages, comments and strings in many scripts, odd white space, numbers,
contractions, emoji, combining marks, texts of special tokens, and mixtures.
"""

WORDS = """user name value index count total items result buffer config parse write read token stream response request
handler server client cache queue worker batch tensor matrix weight gradient layer hidden state output input error path file
line column offset length size max min sum mean scale rank node edge graph tree root left right parent child key map list
set hash digest commit branch merge diff patch repository author message date time zone event listener callback promise async
payment invoice customer address email phone order price currency tax discount shipping""".split()

SENTENCES = [
    "Returns the number of items that aren't older than the limit; it's cheap, we've measured.",
    "Don't call this twice: they'll deadlock, and you'd wait. I'm sure. CAN'T, WON'T, IT'S, WE'RE, Y'ALL'D'VE.",
    "Berechnet die Größe des Puffers für äußere Schleifen – überprüft auf Überlauf.",
    "Vérifie que l'élève n'a pas déjà été noté ; sinon, lève une erreur « invalide ».",
    "Devuelve el año en que la compañía pagó; ¿y si no existe? ¡Error!",
    "Zwraca długość łańcucha, źródło żądań i ścieżkę pliku.",
    "Возвращает количество элементов, если объект ещё не удалён.",
    "Επιστρέφει το μέγεθος του πίνακα, αλλιώς μηδέν.",
    "返回缓存中的条目数量，如果键不存在则抛出异常。",
    "設定ファイルを読み込み、存在しない場合は既定値（デフォルト）を返す。",
    "버퍼의 길이를 계산하고 오류가 있으면 거짓을 반환합니다.",
    "تُرجع عدد العناصر في القائمة، أو صفرًا إذا كانت فارغة.",
    "מחזירה את מספר הפריטים ברשימה, או אפס אם היא ריקה.",
    "यह फ़ंक्शन सूची की लंबाई लौटाता है।",
    "ฟังก์ชันนี้คืนค่าจำนวนรายการทั้งหมดในตาราง",
    "Trả về số phần tử của danh sách nếu khoá tồn tại.",
    "Türkçe: İstanbul'da ışık yok, ğüşöç; DİKKAT!",
    "Hàm này tính tổng; მოცემული ფუნქცია; Այս ֆունկցիան; ይህ ተግባር; এই ফাংশন; இந்தச் செயல்பாடு",
]

COMBINING = [
    "e\u0301te\u0301", "n\u0303andu\u0301", "A\u030angstro\u0308m", "Z\u0351\u036b\u0343a\u0323\u0308lgo\u0334\u0300",
    "क्षत्रिय", "\u1112\u1161\u11ab\u1100\u1173\u11af", "q\u0307\u0323 vs q\u0323\u0307", "\u212b \u2126 \ufb01le ﬀ", "x\u20d7 + y\u0302",
    "\u0301leading mark", "_\u0308_", "1\u0332\u03052",
]
EMOJI = ["🚀", "👩‍💻", "🇩🇪🇯🇵", "👍🏽", "✅", "⚠️", "🧪🧪🧪", "❤️‍🔥", "1️⃣", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🫠", "𝕏", "𝒻(𝓍)", "𐍈", "𠮷野家", "🀄"]
NUMBERS = [
    "0", "42", "1234567890", "3.14159", "1e-9", "0xDEADBEEF", "0b1010_1100", "1_000_000", "-17", "2024-02-29T23:59:60Z", "v1.2.3-rc.4",
    "192.168.0.1", "½ ¾ ⅔", "²³⁴ x₁₂", "Ⅻ ⅷ", "①②③", "٣٤٥٦", "१२३", "１２３", "〇一二三", "𝟙𝟚𝟛", "100%", "$5,999.99", "#ff00aa", "1st 2nd 3rd",
]
SPACES = [
    " ", "  ", "   ", "    ", "        ", "             ", "\t", "\t\t", "\t\t\t\t", " \t", "\t ", "  \t  ", "\n", "\n\n", "\n\n\n", "\r\n",
    "\r\n\r\n", "\r", "\n\r", " \n", "\n ", "\n    ", " \n \n ", "\t\n\t", " \r\n ", "\v", "\f", "\u00a0", " \u00a0", "\u3000", "\u2003",
    "\u2028", "\u2029", "\u0085", "\u1680", "\u202f", "\u205f", "\u200b", "\u200d", "\ufeff", "\u180e", "\u2060", "\x1f", "\x00", "\x7f", "\x1b[0m",
]
SYMBOLS = [
    "()", "[]", "{}", "{{}}", "=>", "->", "<-", ":=", "==", "===", "!=", "!==", "<=", ">=", "<<", ">>>", "&&", "||", "++", "--", "**", "//", "///",
    "/*", "*/", "#", "##", "@", "...", "..", "::", ";", ";;", ",", "?.", "??", "`", "```", '"', '"""', "'", "''", "'''", "\\n", "\\\\", "$", "${", "~", "^",
    "|", "%", "%s", "€", "£", "¥", "©", "→", "≤", "∑", "“”", "‘’", "…", "—", "•", "·", "°", "╔══╗", "│", "░▒▓", "。", "、", "「」", "！", "¿",
]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'Ve", "'M", "'lL", "'D", "'sx", "'rex", "'l", "'r", "'v", "'é", "' s", "''s", "’s"]


class Maker:
    def __init__(self, rng, specials):
        self.rng, self.specials = rng, specials

    def pick(self, choices):
        return self.rng.choice(choices)

    def name(self, style=None):
        words = [self.pick(WORDS) for _ in range(self.pick([1, 2, 2, 3, 3, 4, 9]))]
        style = style or self.pick(["snake", "camel", "pascal", "screaming", "kebab", "private"])
        if style == "snake":
            return "_".join(words)
        if style == "camel":
            return words[0] + "".join(w.capitalize() for w in words[1:])
        if style == "pascal":
            return "".join(w.capitalize() for w in words)
        if style == "screaming":
            return "_".join(words).upper()
        if style == "kebab":
            return "-".join(words)
        return "__" + "_".join(words) + "__"

    def string(self):
        quote = self.pick(['"', "'", "`", '"""'])
        inside = self.pick([self.name, self.sentence, lambda: self.pick(EMOJI), lambda: self.pick(COMBINING), self.number])()
        return quote + inside.replace(quote, "") + quote

    def sentence(self):
        return self.pick(SENTENCES)

    def number(self):
        return self.pick(NUMBERS) if self.rng.random() < 0.5 else str(self.rng.randrange(10 ** self.rng.randrange(1, 20)))

    def value(self):
        return self.pick([self.string, self.number, lambda: self.name("snake"), lambda: self.name("camel") + "()"])()

    def comment(self):
        return self.pick(["# ", "// ", "/* ", "<!-- ", "-- ", ";; ", " * ", "#"]) + self.sentence()

    def python(self):
        f, a, b = self.name("snake"), self.name("snake"), self.name("snake")
        body = self.pick(
            [
                f"    if not {a} or {a}[{self.number()}] is None:\n        raise ValueError(f\"{{{a}!r}}: {b}\")\n",
                f"    for i, {a} in enumerate({b}):\n        self.{a}[i] += {self.value()}\n\n",
                f"    with open({self.string()}) as f:\n\n        return [x.strip() for x in f if x]\n",
                f"    assert {f}({self.value()}, {a}={self.value()}) == {self.value()}\n",
                f"\t{a} = {{'{b}': {self.value()}, \"{f}\": lambda x: x**2}}\n",
            ]
        )
        return f"@pytest.mark.parametrize(\"{a}\", [{self.value()}, {self.value()}])\ndef {f}({a}, *, {b}: int = {self.number()}) -> None:\n    \"\"\"{self.sentence()}\"\"\"\n{body}"

    def go(self):
        f, a = self.name("pascal"), self.name("camel")
        return (
            f"// {f} {self.sentence()}\nfunc (s *{self.name('pascal')}) {f}(ctx context.Context, {a} []byte) (int, error) {{\n"
            f"\tif err := s.{self.name('camel')}(ctx, {self.value()}); err != nil {{\n\t\treturn 0, fmt.Errorf(\"{a} %q: %w\", {a}, err)\n\t}}\n"
            f"\treturn len({a})<<{self.number()}, nil\n}}\n"
        )

    def javascript(self):
        return (
            f"export const {self.name('camel')} = async ({{ {self.name('camel')}, ...rest }}) => {{{self.pick(SPACES)}"
            f"  const r = await fetch(`/api/v2/${{{self.name('camel')}}}?q=${{encodeURIComponent({self.string()})}}`);\r\n"
            f"  return r?.ok ? r.json() : {self.value()} ?? null; // {self.sentence()}\r\n}};\r\n"
        )

    def java(self):
        t = self.name("pascal")
        return (
            f"    @Override\n    public static final Map<String, List<{t}>> {self.name('camel')}(final {t} {self.name('camel')}) throws {t}Exception {{\n"
            f"        /* {self.sentence()} */\n        return new HashMap<>({self.number()}).getOrDefault({self.string()}, {self.value()});\n    }}\n"
        )

    def markup(self):
        return self.pick(
            [
                f"<div class=\"{self.name('kebab')}\" data-{self.name('kebab')}='{self.number()}'>{self.sentence()}</div></s>",
                f"SELECT {self.name('snake')}, COUNT(*) FROM {self.name('snake')} WHERE {self.name('snake')} >= {self.number()} AND x LIKE '%{self.pick(WORDS)}%';",
                f"  {self.name('kebab')}:\n    - {self.value()}\n    - {self.name('snake')}: {self.value()}\n",
                f"| {self.pick(WORDS)} | {self.number()} |\n|---|---:|\n| `{self.name()}` | **{self.sentence()}** |\n",
                f"{{\"{self.name('camel')}\": [{self.number()}, null, true], \"{self.name('snake')}\": {{}}}}",
                f"https://example.org/{self.name('kebab')}/{self.number()}?{self.pick(WORDS)}={self.number()}#{self.name()}",
                f"#define {self.name('screaming')}(x) do {{ \\\n\t(x)->{self.name('snake')} = {self.number()}u; \\\n}} while (0)",
                f"diff --git a/{self.name('snake')}.py b/{self.name('snake')}.py\n@@ -{self.rng.randrange(999)},7 +{self.rng.randrange(999)},9 @@\n-    {self.value()}\n+    {self.value()}\n",
                "Traceback (most recent call last):\n  File \"" + self.name("snake") + ".py\", line " + str(self.rng.randrange(9999)) + ", in <module>\n",
            ]
        )

    def runs(self):
        """Long runs of one thing: the part of the merges that needs the heap."""
        unit = self.pick([" ", "\t", "\n", "a", "=", "-", "ab", "é", "中", "x9", "0", "\r\n", "🚀", "_", "lorem"])
        return self.pick(["", "x", " "]) + unit * self.rng.randrange(1, 200) + self.pick(["", "x", " ", "."])

    def letters(self):
        """A long word without sense, such as base64."""
        alphabet = self.pick(["abcdefghijklmnopqrstuvwxyz", "ABCDEFabcdef", "etaoinshrdlu", "абвгдежзийклмн", "漢字仮名交文", "aàáâäãå", "ACGT", "+/=AZaz09"])
        return "".join(self.pick(alphabet) for _ in range(self.rng.randrange(5, 150)))

    def special(self):
        s = self.pick(self.specials)
        t = self.pick(self.specials)
        return self.pick([s, s + t, f"x = \"{s}\"", f" {s} {self.name()}\n{t}", s[:-1], s.upper(), f"{s}{self.sentence()}{t}", f"// {s[1:]}{s}"])

    def mixture(self):
        parts = [SPACES, SPACES, SYMBOLS, EMOJI, NUMBERS, COMBINING, CONTRACTIONS, WORDS, SENTENCES]
        out = []
        for _ in range(self.rng.randrange(2, 16)):
            p = self.pick(self.pick(parts))
            out.append(p[: self.rng.randrange(1, 12)] if len(p) > 12 else p)
        return "".join(out)

    def characters(self):
        """Characters from all over Unicode, letters or not."""
        blocks = [(0x20, 0x7F), (0xA0, 0x250), (0x250, 0x600), (0x600, 0xE80), (0x1E00, 0x2C00), (0x3000, 0x3400), (0x4E00, 0xD7A0), (0xF900, 0xFFFE), (0x1F300, 0x1FB00)]
        out = []
        for _ in range(self.rng.randrange(3, 30)):
            lo, hi = self.pick(blocks)
            out.append(chr(self.rng.randrange(lo, hi)))
        return "".join(out)


def lines(rng, specials):
    m = Maker(rng, specials)
    fixed = SENTENCES + COMBINING + EMOJI + NUMBERS + SPACES + SYMBOLS + CONTRACTIONS + list(specials)
    fixed += ["x" + s + "y" for s in SPACES] + [s + "x" for s in SPACES + CONTRACTIONS] + [s + "7" for s in SPACES] + [" " + s for s in SYMBOLS]
    counts = {
        m.python: 250, m.go: 200, m.javascript: 200, m.java: 200, m.markup: 300, m.comment: 100, m.runs: 200, m.letters: 150, m.special: 150,
        m.mixture: 500, m.characters: 200,
    }
    out, seen = [], set()
    for text in fixed + [make() for make, n in counts.items() for _ in range(n)]:
        if text not in seen:
            seen.add(text)
            out.append(text)
    return out
