package syntax

import (
	"strings"
	"testing"
)

const goHead = "package p\n\n"

func goCases(cases []outlineCase) []outlineCase {
	for i := range cases {
		cases[i].source = goHead + cases[i].source
	}
	return cases
}

func TestGo(t *testing.T) {
	checkOutlines(t, "a.go", goCases([]outlineCase{
		{"definitions", `// Doc of F.
// More.
func F(a int) (b, c int) { return }

// apart

func (s *S[T]) m() {
	type local struct{ x int }
}

/* S. */
type S[T any] struct {
	a T
}
type (
	// I is.
	I interface{ m() }
	e = int
)
var v = func() {}
func ext()
`, "def", []string{
			`def F+ of - 5..5 from 5: "func F(a int) (b, c int)" / "{ return }" / "// Doc of F.\n// More."`,
			`def S.m of - 9..11 from 9: "func (s *S[T]) m()" / "{\n\ttype local struct{ x int }\n}" / ""`,
			`class local of m 10..10 from 10: "type local struct" / "{ x int }" / ""`,
			`class S+ of - 14..16 from 14: "type S[T any] struct" / "{\n\ta T\n}" / "/* S. */"`,
			`class I+ of - 19..19 from 19: "I interface" / "{ m() }" / "// I is."`,
			`class e of - 20..20 from 20: "e = int" / "" / ""`,
			`def ext of - 23..23 from 23: "func ext()" / "" / ""`,
		}},
		{"tests", `func TestA(t *testing.T) {}
func Test(x *testing.T) {}
func Testing(t *testing.T) {}
func TestMain(m *testing.M) {}
func FuzzB(f *testing.F) {}
func BenchmarkC(b *testing.B) {}
func (s *MySuite) TestD() {}
func (s *MySuite) TestE(x int) {}
`, "def", []string{
			`test TestA+ of - 3..3 from 3: "func TestA(t *testing.T)" / "{}" / ""`,
			`test Test+ of - 4..4 from 4: "func Test(x *testing.T)" / "{}" / ""`,
			`def Testing+ of - 5..5 from 5: "func Testing(t *testing.T)" / "{}" / ""`,
			`def TestMain+ of - 6..6 from 6: "func TestMain(m *testing.M)" / "{}" / ""`,
			`def FuzzB+ of - 7..7 from 7: "func FuzzB(f *testing.F)" / "{}" / ""`,
			`def BenchmarkC+ of - 8..8 from 8: "func BenchmarkC(b *testing.B)" / "{}" / ""`,
			`test MySuite.TestD+ of - 9..9 from 9: "func (s *MySuite) TestD()" / "{}" / ""`,
			`def MySuite.TestE+ of - 10..10 from 10: "func (s *MySuite) TestE(x int)" / "{}" / ""`,
		}},
		{"calls", `var x = outside()
func f() {
	y := a.b(c(1)).d(
		2)
	if z, ok := g[int](); ok {
		func() { fs[0](h()) }()
	}
	s := ` + "`é\r\n`" + `; i(s)
}
`, "call", []string{
			`5 a.b in -.f "b(c(1))" from "y"`,
			`5 .c in -.f "c(1)" from "y"`,
			`5 a.b(c(1)).d in -.f "d(\n\t\t2)" from "y"`,
			`7 .g in -.f "g[int]()" from "if"`,
			`8 .fs in -.f "fs[0](h())" from "fs[0](h())"`,
			`8 .h in -.f "h()" from "fs[0](h())"`,
			`11 .i in -.f "i(s)" from "i(s)\n}\n"`,
		}},
		{"lines", `var x = 1
func f() {
	y := 1 // c
	a(); b() /* d */
	z := []int{
		1,
	}
	if x := g(); x > 1 {
		return
	} else if y {
	}
	for i := range z { // e
		continue
	}
	switch {
	case a, b: c()
	case d:
		var e, f = 1, "//"
	default:
	}
	go func() {
		h()
	}()
	s := ` + "`a\r\nb`" + `
	type t int
	const k = 2` + "\r" + `
	{
		if x { y() }
	}
	;
}
`, "line", []string{
			`5 f "y := 1"`, `6 f "a(); b()"`, `10 f "if x := g(); x > 1 {"`, `11 f "return"`, `14 f "for i := range z {"`, `15 f "continue"`,
			`17 f "switch {"`, `18 f "case a, b: c()"`, `19 f "case d:"`, `20 f "var e, f = 1, \"//\""`, `24 f "h()"`,
			`29 f "const k = 2"`, `31 f "if x { y() }"`,
		}},
		{"imports", "import \"a\"\nimport (\n\tb \"c/d\"\n\t. `e`\n\t_ \"f\" // g\n)\n", "import", []string{"3 a", "5 c/d as b", "6 e as .", "7 f as _"}},
		{"broken", "func f() {\n\ta()\n\tg(1 + )\n\tif b() {\n\t}\n}\nfunc h() {\n\ti()\n}\n", "def call line", []string{
			`def f of - 3..11 from 3: "func f()" / "{\n\ta()\n\tg(1 + )\n\tif b() {\n\t}\n}\nfunc h() {\n\ti()\n}\n" / ""`,
			`4 .a in -.f "a()" from "a()\n\tg(1"`,
			`5 .g in -.f "g(1 + )\n\tif b() {\n\t}\n}\nfunc h() {\n\ti()\n}\n" from "g(1" !syntax error`,
			`5 .b in -.f "b()" from "g(1" !syntax error`,
			`4 f "a()"`,
		}},
	}))
}

func TestGoSites(t *testing.T) {
	checkOutlines(t, "a_test.go", goCases([]outlineCase{
		{"testify", `func TestA(t *testing.T) {
	assert.Equal(t, 1, a, "m %d", 2)
	require.NoErrorf(t, err, "m")
	assert := assert.New(t)
	assert.Len(b, 3)
	assert.True(s.T(), c == 1)
	assert.Equal(t, args...)
	assert.Equal(t, 1)
	other.Equal(t, 1, 2)
}
func (s *MySuite) TestB() {
	s.Equal(4, d)
	s.Require().Nil(e)
}
`, "site", []string{
			"4 assert.Equal -.TestA a", "5 require.NoError -.TestA err", "7 assert.Len -.TestA 3", "8 assert.True -.TestA c == 1",
			"9 assert.Equal -.TestA !missing arguments", "10 assert.Equal -.TestA !missing arguments", "14 suite.Equal -.TestB d", "15 require.Nil -.TestB e",
		}},
		{"if", `func TestA(t *testing.T) {
	if got := f(); got != "x" {
		t.Errorf("m")
	}
	if err != nil {
		t.Fatal(err)
	}
	if gotErr != nil || (g(1) < 2) {
		t.Fatal(err)
	}
	if a != 1 || b != 2 {
		t.Fail()
	}
	if a != 1 {
		other()
	}
	if !reflect.DeepEqual(got, []int{3}) {
		t.Fail()
	}
	t.Run("", func(tt *testing.T) {
		if h == nil {
			tt.FailNow()
		}
		if c {
			tt.FailNow()
		}
	})
	if diff := cmp.Diff(want, i()); diff != "" {
		t.Error(diff)
	}
	c.Assert(j, qt.Equals, 5)
	c.Assert(j, qt.IsNil)
}
func helper() {
	if a != 1 {
		x.Fatal(a)
	}
}
`, "site", []string{
			`4 if -.TestA "x"`, `10 if -.TestA 2`, `19 reflect.DeepEqual -.TestA []int{3}`, `23 if -.TestA nil`,
			`30 cmp.Diff -.TestA i()`, `33 Assert -.TestA 5`,
		}},
	}))
}

// The parser gives up on what nests too deep, and neither it nor the walk
// over what it read fills the stack.
func TestGoDeep(t *testing.T) {
	for _, source := range []string{
		strings.Repeat("(", 99_000),
		"1" + strings.Repeat("+1", 99_000),
		strings.Repeat("func(){", 99_000),
		"f" + strings.Repeat("()", 99_000),
		strings.Repeat("{", 300_000),
		"a" + strings.Repeat(" || a != 1", 90_000) + "{t.Error()}}\nfunc g(t *testing.T) { if a " + strings.Repeat(" || a != 1", 90_000) + "{t.Error()}",
		strings.Repeat("/*", 99_000) + strings.Repeat("\r\n//", 99_000),
	} {
		if _, err := ParseLanguage("go", []byte(goHead+"func f() { x = "+source+"\n}\n")); err != nil {
			t.Errorf("%.10q...: %v", source, err)
		}
	}
}

func TestGoPackage(t *testing.T) {
	o, err := ParseLanguage("go", []byte("// c\npackage abc\n"))
	if err != nil || o.Package != "abc" || o.Errors != 0 {
		t.Errorf("got %+v, %v; want package abc", o, err)
	}
	o, err = ParseLanguage("go", []byte("no go\n"))
	if err != nil || o.Errors == 0 || len(o.Definitions) != 0 {
		t.Errorf("got %+v, %v; want errors", o, err)
	}
}
