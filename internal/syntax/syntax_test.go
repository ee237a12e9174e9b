package syntax

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// show lists the sites of a file: kind, line, function, class and target.
func show(t *testing.T, source string) []string {
	t.Helper()
	f, err := Parse([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	name := func(i int) string {
		if i == None {
			return "-"
		}
		return f.Definitions[i].Name
	}
	var out []string
	for _, s := range f.Sites {
		what := source[s.Start:s.End]
		if s.Flaw != "" {
			what = "!" + string(s.Flaw)
		}
		out = append(out, fmt.Sprintf("%d %s %s.%s %s", s.Line, s.Kind, name(s.Class), name(s.Function), what))
	}
	return out
}

func check(t *testing.T, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got:\n%s\nwant:\n%s", g, w)
	}
}

func TestSites(t *testing.T) {
	tests := []struct {
		name, source string
		want         []string
	}{
		{"comparison", "assert a == b, 'm'\n", []string{"1 assert -.- b"}},
		{"chain", "assert 1 < f(x) < 3\n", []string{"1 assert -.- f(x)"}},
		{"operators of two words", "assert a not in b\nassert a is not None\n", []string{"1 assert -.- b", "2 assert -.- None"}},
		{"parentheses around", "assert (a ==\n        (b)), 'm'\n", []string{"1 assert -.- (b)"}},
		{"comments between", "assert (  # one\n  a == # two\n  b)\n", []string{"1 assert -.- b"}},
		{"adjacent strings", "assert a == 'x' \"y\"\n", []string{"1 assert -.- 'x' \"y\""}},
		{"no comparison", "assert a\nassert not a == b\nassert a == b and c\n",
			[]string{"1 assert -.- !no comparison", "2 assert -.- !no comparison", "3 assert -.- !no comparison"}},
		{"non-ASCII", "assert 'é' == 'ü'\n", []string{"1 assert -.- 'ü'"}},
		{"two arguments", "self.assertEqual(a, b, 'm')\nself.assertEqual(a, b, msg=c)\nself.assertAlmostEqual(a, b, 7)\n",
			[]string{"1 self.assertEqual -.- b", "2 self.assertEqual -.- b", "3 self.assertAlmostEqual -.- b"}},
		{"one argument", "self.assertTrue(a)\nself.assertRaises(E, f, 1)\nself.assertRaisesRegex(E, 'x', f)\n",
			[]string{"1 self.assertTrue -.- a", "2 self.assertRaises -.- E", "3 self.assertRaisesRegex -.- E, 'x'"}},
		{"too few arguments", "self.assertEqual(a)\nself.assertEqual(*ab)\nself.assertTrue()\nself.assertTrue(expr=1)\n",
			[]string{"1 self.assertEqual -.- !missing arguments", "2 self.assertEqual -.- !missing arguments",
				"3 self.assertTrue -.- !missing arguments", "4 self.assertTrue -.- !missing arguments"}},
		{"other receivers", "other.assertEqual(a, b)\nself.x.assertEqual(a, b)\nself.assertFancy(a, b)\n", nil},
		{"pytest", "pytest.raises(E, match='x')\npytest.raises(E)\npytest.approx(1, abs=2)\npytest.skip('x')\n",
			[]string{"1 pytest.raises -.- E, match='x'", "2 pytest.raises -.- E", "3 pytest.approx -.- 1, abs=2"}},
		{"assert_*", "assert_equal(a, b)\nm.assert_called_with(1)\nm.assert_called()\nassert_(a)\nx.mock.assert_called_with(1)\n",
			[]string{"1 assert_* -.- b", "2 assert_* -.- 1", "3 assert_* -.- !missing arguments"}},
		{"nested", "assert x == pytest.approx(1.5)\n",
			[]string{"1 assert -.- pytest.approx(1.5)", "1 pytest.approx -.- 1.5"}},
		{"scopes", "class A:\n  def f(self):\n    def g():\n      assert 1 == 2\n    assert 3 == 4\nasync def h():\n  assert 5 == 6\n",
			[]string{"4 assert A.g 2", "5 assert A.f 4", "7 assert -.h 6"}},
		{"awaited and in a with", "async def f():\n  await m.assert_x(1)\n  with self.assertRaises(E) as e: pass\n",
			[]string{"2 assert_* -.f 1", "3 self.assertRaises -.f E"}},
		{"carriage returns", "def f():\r\n\tassert a == 1\r\n\tassert b == 2\r\n", []string{"2 assert -.f 1", "3 assert -.f 2"}},
		{"byte order mark", "\ufeffdef f():\n  assert a == 1\n", []string{"2 assert -.f 1"}},
		{"form feed", "x = 1\n\f\ndef f():\n  assert a == 1\n", []string{"4 assert -.f 1"}},
		{"no newline at the end", "assert a == 1", []string{"1 assert -.- 1"}},
		{"not UTF-8", "# \xff\xfe\ndef f():\n  assert a == 1\n", []string{"3 assert -.f 1"}},
		{"empty", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { check(t, show(t, tt.source), tt.want) })
	}
}

// An error makes the assertions around it unusable, and no others.
func TestSitesBroken(t *testing.T) {
	source := "def good():\n  assert a == 1\n\ndef bad():\n  assert a == (1 +* 2)\n\ndef fine():\n  assert b == 2\n"
	f, err := Parse([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	if f.Errors == 0 {
		t.Error("no error was counted")
	}
	usable := map[string]bool{}
	for _, s := range f.Sites {
		if s.Flaw == "" {
			usable[source[s.Start:s.End]] = true
		} else if s.Flaw != Broken {
			t.Errorf("line %d: flaw %q", s.Line, s.Flaw)
		}
	}
	if len(usable) != 2 || !usable["1"] || !usable["2"] {
		t.Errorf("usable targets %v, want 1 and 2", usable)
	}
}

func TestDefinitionsAndStatements(t *testing.T) {
	source := `"""Doc."""
import a
from b import c
X: int = 1
X += 1
call()
@dec
@dec2(
    1)
def f():
    y = 1
class C(B):
    "doc"
    z = 2
    @dec
    async def m(self):
        pass
    if z:
        def n(self): pass
if X:
    import d
    class D: pass
`
	f, err := Parse([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range f.Definitions {
		got = append(got, fmt.Sprintf("%s class=%v %d..%d from %d parent %d direct=%v",
			d.Name, d.Class, d.Line, d.EndLine, d.DecoratorLine, d.Parent, d.Direct))
	}
	check(t, got, []string{
		"f class=false 10..11 from 7 parent -1 direct=true",
		"C class=true 12..19 from 12 parent -1 direct=true",
		"m class=false 16..17 from 15 parent 1 direct=true",
		"n class=false 19..19 from 19 parent 1 direct=false",
		"D class=true 22..22 from 22 parent -1 direct=false",
	})
	got = nil
	for _, s := range f.Statements {
		got = append(got, fmt.Sprintf("%s %d..%d of %d", s.Kind, s.Line, s.EndLine, s.Parent))
	}
	check(t, got, []string{
		"string 1..1 of -1", "import 2..2 of -1", "import 3..3 of -1",
		"assignment 4..4 of -1", "assignment 5..5 of -1", "expression 6..6 of -1",
		"definition 7..11 of -1", "definition 12..19 of -1",
		"string 13..13 of 1", "assignment 14..14 of 1", "definition 15..17 of 1", "other 18..19 of 1",
		"other 20..22 of -1", "other 22..22 of 4",
	})
}

func TestParseTooLarge(t *testing.T) {
	if _, err := Parse(make([]byte, MaxBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want %v", err, ErrTooLarge)
	}
}

// Nesting that would exhaust a recursive walk is read, or given up as broken.
func TestParseDeep(t *testing.T) {
	const n = 20_000
	for _, source := range []string{
		strings.Repeat("(", n) + strings.Repeat(")", n),
		strings.Repeat("(", n),
		strings.Repeat("not ", n) + "x",
		"x" + strings.Repeat(".a()", n),
	} {
		if _, err := Parse([]byte(source)); err != nil {
			t.Errorf("%.10q...: %v", source, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("class A:\n  @d\n  def f(self):\n    assert a == b\n    self.assertEqual(a, *b)\n"))
	f.Add([]byte("assert (a ==\r\n\tb\f), '\xff'\npytest.raises(E, match=1"))
	f.Add([]byte("def f(:\n assert x.assert_y(z, **k) == f'{pytest.approx(1)}'"))
	f.Fuzz(func(t *testing.T, source []byte) {
		file, err := Parse(source)
		if err != nil {
			return
		}
		in := func(i, j int) bool { return 0 <= i && i <= j && j <= len(source) }
		for i, s := range file.Sites {
			if !in(s.Start, s.End) || s.Flaw == "" && s.Start == s.End {
				t.Errorf("site %d: target %d..%d of %d bytes", i, s.Start, s.End, len(source))
			}
			if s.Function >= len(file.Definitions) || s.Class >= len(file.Definitions) {
				t.Errorf("site %d: no definition %d or %d", i, s.Function, s.Class)
			}
		}
		for i, d := range file.Definitions {
			if !in(d.Start, d.End) || d.DecoratorLine > d.Line || d.Line > d.EndLine || d.Parent >= i {
				t.Errorf("definition %d: %+v", i, d)
			}
		}
		for i, s := range file.Statements {
			if !in(s.Start, s.End) || s.Line > s.EndLine || s.Parent >= len(file.Definitions) {
				t.Errorf("statement %d: %+v", i, s)
			}
		}
	})
}
