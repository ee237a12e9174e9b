package syntax

import "testing"

func TestPython(t *testing.T) {
	checkOutlines(t, "a.py", []outlineCase{
		{"definitions", `# About f.
# More.
@dec
def f(a, b=1) -> int:  # c
    """Doc."""
    return 1

x = 1  # not about g
def g(): return 2
# apart

class _C(B):
    # about m
    async def m(self):
        # none
        def n(): pass
`, "def", []string{
			`def f+ of - 4..6 from 3: "def f(a, b=1) -> int:" / "\"\"\"Doc.\"\"\"\n    return 1" / "\"\"\"Doc.\"\"\""`,
			`def g+ of - 9..9 from 9: "def g():" / "return 2" / ""`,
			`class _C of - 12..16 from 12: "class _C(B):" / "async def m(self):\n        # none\n        def n(): pass" / ""`,
			`def m+ of _C 14..16 from 14: "async def m(self):" / "def n(): pass" / "# about m"`,
			`def n+ of m 16..16 from 16: "def n():" / "pass" / "# none"`,
		}},
		{"tests", `def test_a(): pass
def testing(): pass
def helper():
    def test_inner(): pass
class TestX:
    def test_b(self): pass
    def other(self): pass
class Y(unittest.TestCase, metaclass=M):
    def testC(self): pass
class Z(Base):
    def test_d(self): pass
`, "def", []string{
			`test test_a+ of - 1..1 from 1: "def test_a():" / "pass" / ""`,
			`def testing+ of - 2..2 from 2: "def testing():" / "pass" / ""`,
			`def helper+ of - 3..4 from 3: "def helper():" / "def test_inner(): pass" / ""`,
			`def test_inner+ of helper 4..4 from 4: "def test_inner():" / "pass" / ""`,
			`class TestX+ of - 5..7 from 5: "class TestX:" / "def test_b(self): pass\n    def other(self): pass" / ""`,
			`test test_b+ of TestX 6..6 from 6: "def test_b(self):" / "pass" / ""`,
			`def other+ of TestX 7..7 from 7: "def other(self):" / "pass" / ""`,
			`class Y+ of - 8..9 from 8: "class Y(unittest.TestCase, metaclass=M):" / "def testC(self): pass" / ""`,
			`test testC+ of Y 9..9 from 9: "def testC(self):" / "pass" / ""`,
			`class Z+ of - 10..11 from 10: "class Z(Base):" / "def test_d(self): pass" / ""`,
			`def test_d+ of Z 11..11 from 11: "def test_d(self):" / "pass" / ""`,
		}},
		{"calls", `outside()
def f(a=default()):
    x = a.b(c(1), *d)(2)
    if p.q():
        return [r(s for s in t)]
    class K:
        y = z()
    @w(1)
    def g(): u[0](v())
    é.ü("ä")
`, "call", []string{
			`3 a.b in -.f "b(c(1), *d)" from "x"`,
			`3 .c in -.f "c(1)" from "x"`,
			`4 p.q in -.f "q()" from "if"`,
			`5 .r in -.f "r(s for s in t)" from "return"`,
			`7 .z in K.f "z()" from "y"`,
			`8 .w in -.f "w(1)" from "@w(1)\n"`,
			`9 .v in -.g "v()" from "u[0](v())\n"`,
			`10 é.ü in -.f "ü(\"ä\")" from "é.ü(\"ä\")\n"`,
		}},
		{"broken calls", "def f():\n    g(1 +* 2)\n    h()\n", "call", []string{
			`2 .g in -.f "g(1 +* 2)" from "g(1" !syntax error`,
			`3 .h in -.f "h()" from "h()\n"`,
		}},
		{"lines", "x = 0\ndef f(a):\n\t\"\"\"Doc.\"\"\"\n\timport q\n\t# comment\n\tx = 1  # c\n\ty = [\n\t\t1,\n\t]\n\ta = 1; b = '#' ; \n" +
			"\tif x: return y \n\telif (x and\n\t\ty):\n\t\tpass\n\telse:\n\t\t...\n\tfor i in j:#c\n\t\tz = \\\n\t\t\t1\n\ttry:\n\t\traise E\n\texcept E as e:\n\t\tcontinue\n" +
			"\twith a as b:\n\t\tdef g(): k = 1\n\ts = '''a\n\t\tb'''; t = 1\n\tu = 1; v = (2,\n\t\t3)\n\tmatch w:\n\t\tcase 1:\n\t\t\tprint('é')\r\n\treturn",
			"line", []string{
				`6 f "x = 1"`, `10 f "a = 1; b = '#' ;"`, `11 f "if x: return y"`, `17 f "for i in j:"`,
				`21 f "raise E"`, `22 f "except E as e:"`, `23 f "continue"`, `24 f "with a as b:"`,
				`30 f "match w:"`, `31 f "case 1:"`, `32 f "print('é')"`, `33 f "return"`,
			}},
		{"lines of classes", "def f():\n    class C:\n        x = 1\n        def g(self):\n            y = 2\nclass D:\n    def h(self):\n        z = 3\n", "line",
			[]string{`5 g "y = 2"`, `8 h "z = 3"`}},
		{"broken lines", "def f():\n    x = 1\n    y = (1 +* 2)\n    if (:\n        z = 1\n", "line", []string{`2 f "x = 1"`}},
		{"imports", `import a, b.c as d
from . import e
from .. f import (g as h,  # c
    i)
from k.l import *
from __future__ import annotations
def m():
    import n
`, "import", []string{
			"1 a", "1 b.c as d", "2 . e", "3 ..f g=h i", "5 k.l *", "6 __future__ annotations", "8 n in m",
		}},
	})
}
