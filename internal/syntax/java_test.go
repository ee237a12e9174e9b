package syntax

import "testing"

func TestJava(t *testing.T) {
	checkOutlines(t, "A.java", []outlineCase{
		{"definitions", `package a.b;
/** About C. */
@Deprecated
public final class C<T> extends D {
  int x = f();
  // c
  C(int a) { this(a, 1); }
  @Test @Foo(1)
  public void t() throws E { new X() { void z() {} }; }
  @Override int u() { return 1; }
  enum E { A, B; void m() {} }
  record R(int a) { R { } }
  interface J { void k(); private int l() { return 1; } }
}
class S extends junit.framework.TestCase { void testX() {} int testY() {} }
`, "def", []string{
			`class C+ of - 4..14 from 3: "public final class C<T> extends D" / "{\n  int x = f();\n  // c\n  C(int a) { this(a, 1); }\n  @Test @Foo(1)\n  public void t() throws E { new X() { void z() {} }; }\n  @Override int u() { return 1; }\n  enum E { A, B; void m() {} }\n  record R(int a) { R { } }\n  interface J { void k(); private int l() { return 1; } }\n}" / "/** About C. */"`,
			`def C of C 7..7 from 7: "C(int a)" / "{ this(a, 1); }" / "// c"`,
			`test t+ of C 9..9 from 8: "public void t() throws E" / "{ new X() { void z() {} }; }" / ""`,
			`def z of t 9..9 from 9: "void z()" / "{}" / ""`,
			`def u of C 10..10 from 10: "int u()" / "{ return 1; }" / ""`,
			`class E of C 11..11 from 11: "enum E" / "{ A, B; void m() {} }" / ""`,
			`def m of E 11..11 from 11: "void m()" / "{}" / ""`,
			`class R of C 12..12 from 12: "record R(int a)" / "{ R { } }" / ""`,
			`def R of R 12..12 from 12: "R" / "{ }" / ""`,
			`class J of C 13..13 from 13: "interface J" / "{ void k(); private int l() { return 1; } }" / ""`,
			`def k+ of J 13..13 from 13: "void k();" / "" / ""`,
			`def l of J 13..13 from 13: "private int l()" / "{ return 1; }" / ""`,
			`class S of - 15..15 from 15: "class S extends junit.framework.TestCase" / "{ void testX() {} int testY() {} }" / ""`,
			`test testX of S 15..15 from 15: "void testX()" / "{}" / ""`,
			`def testY of S 15..15 from 15: "int testY()" / "{}" / ""`,
		}},
		{"calls", `class C {
  int x = out();
  void m() {
    a.b(c(1)).<T>d();
    P<Q> p = new P<>(q()) { int y() { return z(); } };
    new a.Q(1);
    super.m();
    f(1 +* 2);
  }
}
`, "call", []string{
			`4 a.b in C.m "b(c(1))" from "a.b(c(1)).<T>d();\n"`,
			`4 .c in C.m "c(1)" from "a.b(c(1)).<T>d();\n"`,
			`4 a.b(c(1)).d in C.m "d()" from "a.b(c(1)).<T>d();\n"`,
			`5 .P in C.m "P<>(q())" from "P<Q>"`,
			`5 .q in C.m "q()" from "P<Q>"`,
			`5 .z in C.y "z()" from "return"`,
			`6 a.Q in C.m "Q(1)" from "new"`,
			`7 super.m in C.m "m()" from "super.m();\n"`,
			`8 .f in C.m "f(1 +* 2)" from "f(1" !syntax error`,
		}},
		{"lines", `class C {
  int x = 1;
  int f() {
    int y = 1, z; // c
    a(
      1);
    if (x) {
      return 1;
    } else if (y) {
      b();
    } else
      c();
    for (int i = 0; i < 1; i++)
      d(); /* e */
    switch (x) {
      case 1:
        e(); break;
      default: g();
    }
    switch (y) {
      case 1 -> h();
      case 2 -> {
        i();
      }
      default -> j();
    }
    try (var q = r()) {
    } catch (E e) { }
    Runnable s = () -> {
      t();
    };
    class L { int u; }
    ;
    throw e;
  }
}
`, "line", []string{
			`4 f "int y = 1, z;"`, `7 f "if (x) {"`, `8 f "return 1;"`, `10 f "b();"`, `12 f "c();"`, `13 f "for (int i = 0; i < 1; i++)"`, `14 f "d();"`,
			`15 f "switch (x) {"`, `16 f "case 1:"`, `17 f "e(); break;"`, `20 f "switch (y) {"`, `21 f "case 1 -> h();"`, `22 f "case 2 -> {"`,
			`23 f "i();"`, `27 f "try (var q = r()) {"`, `30 f "t();"`, `34 f "throw e;"`,
		}},
		{"imports", "import java.util.List;\nimport static org.junit.Assert.*;\nimport static a.B.c;\nimport D;\n", "import",
			[]string{"1 java.util List", "2 org.junit.Assert *", "3 a.B c", "4  D"}},
	})
	o, err := ParseLanguage("java", []byte("package a.b ;"))
	if err != nil || o.Package != "a.b" {
		t.Errorf("package %q, %v; want a.b", o.Package, err)
	}
}

func TestJavaSites(t *testing.T) {
	checkOutlines(t, "A.java", []outlineCase{
		{"JUnit 4", `class C { void t() {
assertEquals(1, x);
assertEquals("m", 2, y);
assertEquals(1.0, z, 0.5);
assertEquals("m", 1.0, u, 0.5);
Assert.assertTrue("m", a.b());
assertNull(c);
assertThrows(E.class, () -> f());
assertEquals(d);
other.assertEquals(1, 2);
assertEquals(actual, "e", "m" + 1);
} }`, "site", []string{
			"2 assertEquals C.t x", "3 assertEquals C.t y", "4 assertEquals C.t z", "5 assertEquals C.t u", "6 assertTrue C.t a.b()",
			"7 assertNull C.t c", "8 assertThrows C.t E.class", "9 assertEquals C.t !missing arguments", "11 assertEquals C.t \"e\"",
		}},
		{"JUnit 5", `import org.junit.jupiter.api.Test;
class C { @Test void t() {
assertEquals("e", x, "m");
assertEquals(1, y, m);
assertEquals(1.0, z, 0.5, "m");
Assertions.assertFalse(a, () -> "m");
assertThrows(E.class, () -> { assertSame(p, q); }, "m");
} }`, "site", []string{
			"3 assertEquals C.t x", "4 assertEquals C.t y", "5 assertEquals C.t z", "6 assertFalse C.t a", "7 assertThrows C.t E.class", "7 assertSame C.t q",
		}},
		{"others", `class C { void t() {
assertThat(x).isEqualTo(1).isNotNull();
assertThat(x).as("m").containsExactly(2, 3);
assertThat(x, is(equalTo(4)));
assertThat("m", x, hasProperty("a", is(5)));
assertThat(x, not(6));
assertThat(x).hasSize();
y.contains(7);
assert a == 8 : "m";
assert (b);
} }`, "site", []string{
			"2 assertThat.isEqualTo C.t 1", "3 assertThat.containsExactly C.t 2, 3", "4 assertThat C.t 4", "5 assertThat C.t hasProperty(\"a\", is(5))",
			"6 assertThat C.t 6", "7 assertThat.hasSize C.t !missing arguments", "9 assert C.t 8", "10 assert C.t !no comparison",
		}},
	})
}
