package syntax

import "testing"

func TestScript(t *testing.T) {
	checkOutlines(t, "a.tsx", []outlineCase{
		{"definitions", `/** About C. */
@Dec()
export class C<T> extends B {
  @Input() name = f();
  // z
  static z = (a) => { g(); };
  #p() { return 1; }
  @Host("x")
  private async m<T>(x?: number): Promise<void> { return; }
  abstract k(): void;
}
export interface I { a(): void }
type Q = string | number;
enum E { A }

// h
export const h = async (x: number) => x + 1, k = function () {};
const obj = { f: function () {}, g() {}, 'h-h': () => 1 };
module.exports.zed = function () {};
X.prototype.y = () => 2;
export default function () {}
function* gen() {}
call(function named() {}, () => 1);
function over(a: string): void;
`, "def", []string{
			`class C+ of - 3..11 from 2: "class C<T> extends B" / "{\n  @Input() name = f();\n  // z\n  static z = (a) => { g(); };\n  #p() { return 1; }\n  @Host(\"x\")\n  private async m<T>(x?: number): Promise<void> { return; }\n  abstract k(): void;\n}" / "/** About C. */"`,
			`def z+ of C 6..6 from 6: "static z = (a) =>" / "{ g(); }" / "// z"`,
			`def #p of C 7..7 from 7: "#p()" / "{ return 1; }" / ""`,
			`def m of C 9..9 from 8: "private async m<T>(x?: number): Promise<void>" / "{ return; }" / ""`,
			`class I+ of - 12..12 from 12: "interface I" / "{ a(): void }" / ""`,
			`class Q of - 13..13 from 13: "type Q = string | number;" / "" / ""`,
			`class E of - 14..14 from 14: "enum E" / "{ A }" / ""`,
			`def h+ of - 17..17 from 17: "const h = async (x: number) =>" / "x + 1" / "// h"`,
			`def k of - 17..17 from 17: "k = function ()" / "{}" / ""`,
			`def f of - 18..18 from 18: "f: function ()" / "{}" / ""`,
			`def g+ of - 18..18 from 18: "g()" / "{}" / ""`,
			`def h-h of - 18..18 from 18: "'h-h': () =>" / "1" / ""`,
			`def zed+ of - 19..19 from 19: "module.exports.zed = function ()" / "{}" / ""`,
			`def y of - 20..20 from 20: "X.prototype.y = () =>" / "2" / ""`,
			`def default+ of - 21..21 from 21: "function ()" / "{}" / ""`,
			`def gen of - 22..22 from 22: "function* gen()" / "{}" / ""`,
			`def named of - 23..23 from 23: "function named()" / "{}" / ""`,
		}},
		{"tests", "describe('a', () => {\n  it('adds', async () => {\n    x();\n  });\n  // b\n  test.only(`b`, function () {});\n  it.each([1])('c', (x) => {});\n  test.describe('d', () => {});\n  beforeEach(() => {});\n});\nQUnit.test(name + 1, () => {});\n", "def", []string{
			"test adds of - 2..4 from 2: \"it('adds', async () =>\" / \"{\\n    x();\\n  }\" / \"\"",
			"test b of - 6..6 from 6: \"test.only(`b`, function ()\" / \"{}\" / \"// b\"",
			"test c of - 7..7 from 7: \"it.each([1])('c', (x) =>\" / \"{}\" / \"\"",
			"test name + 1 of - 11..11 from 11: \"QUnit.test(name + 1, () =>\" / \"{}\" / \"\"",
		}},
		{"calls", `top();
function f(a = d()) {
  const x = a.b?.c(1)(2), y = new p.Q(g());
  return this.z!.w<T>(<El a={h()} />);
}
const k = (x) => m(x);
class C { n() { super.n(); } }
tag` + "`t`" + `;
`, "call", []string{
			`3 a.b.c in -.f "c(1)" from "const"`,
			`3 p.Q in -.f "Q(g())" from "const"`,
			`3 .g in -.f "g()" from "const"`,
			`4 this.z!.w in -.f "w<T>(<El a={h()} />)" from "return"`,
			`4 .h in -.f "h()" from "return"`,
			`6 .m in -.k "m(x)" from "m(x);\nclass"`,
			`7 super.n in C.n "n()" from "super.n();"`,
		}},
		{"lines", `function f(a) {
  'use strict';
  const q = require('q');
  x = 1; // c
  y = [
    1,
  ];
  a(); b()  /* d */
  if (x) return 1;
  else {
  }
  if (a &&
    b) {
  } else if (c) {
    for (const i of j) { // e
      continue;
    }
  }
  while (x)
    y();
  switch (x) {
    case 1: z(); break;
    case 2:
      w();
    default:
      s = '// no';
  }
  try { t() } catch (e) { }
  g(() => {
    h();
  });
  function inner() {}
  return {};
}
top();
`, "line", []string{
			`4 f "x = 1;"`, `8 f "a(); b()"`, `9 f "if (x) return 1;"`, `15 f "for (const i of j) {"`, `16 f "continue;"`,
			`19 f "while (x)"`, `20 f "y();"`, `21 f "switch (x) {"`, `22 f "case 1: z(); break;"`, `23 f "case 2:"`, `24 f "w();"`, `26 f "s = '// no';"`,
			`30 f "h();"`, `33 f "return {};"`,
		}},
		{"imports", `import d, {a as b, type T} from "./m";
import * as ns from 'm';
import './side';
import x = require("y");
export { q as r } from "./q";
export * from './s';
const {e, f: g} = require("w"), h = 1;
const i = require('v').j;
async function k() { const l = await import('./u'); require(z); }
`, "import", []string{
			"1 ./m default=d a=b T", "2 m as ns", "3 ./side", "4 y as x", "5 ./q q=r", "6 ./s *",
			"7 w e f=g", "8 v j=i", "9 ./u as l in k",
		}},
		{"broken", "function f() {\n  g(1 +* 2);\n  h();\n}\n", "call line", []string{
			`2 .g in -.f "g(1 +* 2)" from "g(1" !syntax error`,
			`3 .h in -.f "h()" from "h();\n}\n"`,
			`3 f "h();"`,
		}},
	})
}

func TestScriptSites(t *testing.T) {
	checkOutlines(t, "a.js", []outlineCase{
		{"expect", `expect(x).toBe(1, 'm');
expect(f(x)).not.toEqual({a: 1});
await expect(p).rejects.toThrow(E);
expect.soft(x).toHaveLength(/* n */ 2);
expect(x).toThrow();
expect(f).toHaveBeenCalledWith(1, 2);
expect(x).toBe(...y);
expect(x).toBeNull();
it('t', () => { expect(x).toBe(expect.any(String)); });
wrapped(x).toBe(3);
`, "site", []string{
			"1 expect.toBe -.- 1", "2 expect.toEqual -.- {a: 1}", "3 expect.toThrow -.- E", "4 expect.toHaveLength -.- 2",
			"5 expect.toThrow -.- !missing arguments", "6 expect.toHaveBeenCalledWith -.- 1, 2", "7 expect.toBe -.- !missing arguments",
			"9 expect.toBe -.t expect.any(String)",
		}},
		{"chains", `expect(x).to.equal(1);
expect(x).to.be.an('array').that.includes(2);
expect(x).to.have.property('a', 1);
x.a.should.eql([3]);
s.equal(4);
`, "site", []string{
			"1 expect.equal -.- 1", "2 expect.an -.- 'array'", "2 expect.includes -.- 2",
			"3 expect.property -.- 'a', 1", "4 should.eql -.- [3]",
		}},
		{"assert", `assert(a === 1, 'm');
assert(a);
assert.ok((b !== 2));
assert.strictEqual(a, 3, 'm');
assert.throws(() => f());
assert.strict.equal(a, 4);
t.deepEqual(a, 5);
t.plan(6);
t.assert.strictEqual(a, 7);
`, "site", []string{
			"1 assert -.- 1", "2 assert -.- !no comparison", "3 assert.ok -.- 2", "4 assert.strictEqual -.- 3",
			"5 assert.throws -.- !missing arguments", "6 assert.equal -.- 4", "7 t.deepEqual -.- 5", "9 assert.strictEqual -.- 7",
		}},
	})
}

// TypeScript has type assertions where JSX has elements.
func TestScriptGrammars(t *testing.T) {
	for _, tt := range []struct {
		file, source string
		errors       bool
	}{
		{"a.ts", "let x = <any>y;\n", false},
		{"a.tsx", "let x = <any>y;\n", true},
		{"a.tsx", "let x = <a b={c as D} />;\n", false},
		{"a.jsx", "let x = <a b={c} />;\n", false},
		{"a.js", "let x = <a b={c} />;\n", false},
		{"a.js", "let x: number = 1;\n", true},
		{"a.cjs", "#!/usr/bin/env node\nlet x = 1\n", false},
		{"A.TS", "let x: number = 1;\n", false},
	} {
		o, err := ParseFile(tt.file, []byte(tt.source))
		if err != nil || (o.Errors > 0) != tt.errors {
			t.Errorf("%s %q: got %d errors, %v; want some: %v", tt.file, tt.source, o.Errors, err, tt.errors)
		}
	}
}
