package syntax

import (
	"fmt"
	"strings"
	"testing"
)

func TestAssertionParts(t *testing.T) {
	source := `assert a.b not in (c)  , "message"
assert (x is   not None)
assert f(1) < g(2) <= 3
assert ok and not bad
def test_a(self):
    with pytest.raises(E, match="m", **more) as e:
        self.assertEqual((1), b,
                         msg="x")
    for i in x:
        if i:
            pass
        elif j:
            assert i == 1
        else:
            assert i == 2
    try:
        np.testing.assert_allclose(a, b, rtol=1)
    except E:
        m.mock.assert_called_once()
        self.assertNothing(1)
        assert_(1)
        assert_ok(x for x in y)
    assert broken( == 1
`
	parts, o, err := AssertionParts([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	if o.Errors == 0 {
		t.Error("the last line is broken, but there are no errors")
	}
	of := func(s Span) string { return strings.Join(strings.Fields(source[s.Start:s.End]), " ") }
	var got []string
	for _, p := range parts {
		line := fmt.Sprint(p.Depth, " ", p.Kind, " ", of(p.Whole), "|", of(p.Left))
		for i, op := range p.Operators {
			line += " " + op + " " + of(p.Right[i])
		}
		line += "|" + of(p.Callee)
		for _, a := range p.Positional {
			line += " " + of(a)
		}
		for _, k := range p.Keywords {
			line += " " + k.Name + "=" + of(k.Value)
		}
		got = append(got, line)
	}
	want := []string{
		"1 assert a.b not in (c)|a.b not in c|",
		"1 assert x is not None|x is not None|",
		"1 assert f(1) < g(2) <= 3|f(1) < g(2) <= 3|",
		"1 assert ok and not bad||",
		"4 pytest.raises ||pytest.raises E match=\"m\" =more",
		"4 self.assertEqual ||self.assertEqual 1 b msg=\"x\"",
		"4 assert_* ||np.testing.assert_allclose a b rtol=1",
		"5 assert i == 1|i == 1|",
		"5 assert i == 2|i == 2|",
		"5 assert_* ||assert_ok (x for x in y)",
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("parts: got:\n%s\nwant:\n%s", g, w)
	}
}

func FuzzAssertionParts(f *testing.F) {
	f.Add("def test():\n    assert a == b\n    self.assertEqual(a, b)\n")
	f.Add("assert (a not in b, 'x')\nwith pytest.raises(E, **k): pass\n")
	f.Fuzz(func(t *testing.T, s string) {
		parts, _, err := AssertionParts([]byte(s))
		if err != nil {
			return
		}
		for _, p := range parts {
			if len(p.Right) != len(p.Operators) || p.Start < 0 || p.End > len(s) || p.Start >= p.End {
				t.Errorf("%q: parts %+v", s, p)
			}
		}
	})
}
