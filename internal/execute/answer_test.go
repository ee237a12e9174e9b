package execute

import (
	"strings"
	"testing"
)

func TestIsExpression(t *testing.T) {
	for _, text := range []string{"4", "(4)", "f(x)", "[1, 2]", "(1, 2)", "{}", "a if b else c", "not x", "'a' 'b'", `f"{x}"`, "lambda x: x", "[\n1,\n2]",
		"x or True", "-1", "a == b", "await x", "..."} {
		if !isExpression(text) {
			t.Errorf("%q is refused, want it allowed", text)
		}
	}
	for _, text := range []string{"", " ", "4)", "4) or (True", "4 #", "4 # )", "4)  # (", "4, 3", "4,", "*x", "x = 3", "a\nb", "4; 5", "return 4", "yield", "yield 4",
		"x for x in y", "(yield 4)", "4\n)\nassert (True", "k=3", "4 +", "'", "'''", "f(", strings.Repeat("(", 100)} {
		if isExpression(text) {
			t.Errorf("%q is allowed, want it refused", text)
		}
	}
}

func TestCanonical(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"f(x,y)", "f( x, y )", true}, {"((f))", "f", true}, {"f # a\n", "f", true}, {"a.b", "a . b", true},
		{"'a b'", "'ab'", false}, {"ab", "a.b", false}, {"f()", "f", false}, {"(a)(b)", "a(b)", false}, {"not a", "nota", false}, {"[a]", "a", false},
	} {
		if got := canonical(tt.a) == canonical(tt.b); got != tt.same {
			t.Errorf("%q and %q: the same is %t, want %t", tt.a, tt.b, got, tt.same)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{"4) or (True", "'é' '''", "[\n1]", "((", "# ", "yield\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if isExpression(text) && strings.TrimSpace(text) == "" {
			t.Errorf("%q is an expression", text)
		}
		canonical(text)
		compared([]byte("assert f("+text+", 1) == 2\n"), len("assert f(")+len(text)+2, len("assert f(")+len(text)+3)
	})
}
