package metric

import (
	"slices"
	"strings"
	"testing"
)

func TestErrorClass(t *testing.T) {
	tests := []struct{ language, expected, got, want string }{
		{"python", "5", "", Empty},
		{"python", "5)", ")", SyntaxError},
		{"python", "5", strings.Repeat("x", 101), Hallucination},
		{"python", strings.Repeat("abcde", 10), "a b a b a b a b a b a b a b a b a b", Hallucination},
		{"python", "foo(a, b)", "foo(a, c)", NearMiss},
		{"python", "5", "(", SyntaxError},
		{"python", "5", "x = 5 + 2", SyntaxError},
		{"python", "5)", "x = 5 + 2)", WrongLiteral}, // an argument
		{"python", "5  # five", "27  # (", WrongLiteral},
		{"go", "5 // five", "27 // (", WrongLiteral},
		{"python", "5", "return z", SyntaxError},
		{"python", "5", "y; z", SyntaxError},
		{"python", "foo", "bar", WrongIdentifier},
		{"python", "foo)", "bar)", WrongIdentifier}, // the paper's "syntax error"
		{"python", "foo)", "bar", WrongIdentifier},
		{"python", "1", "27", WrongLiteral},
		{"python", "f(1)", "f(27777)", WrongLiteral},
		{"python", `ValueError, match="no")`, `TypeError, match="no way at all")`, WrongIdentifier},
		{"python", "'abc'", "27", WrongLiteral}, // no names on either side
		{"python", "foo", "'abc'", TypeMismatch},
		{"python", "foo.bar", "bazbaz(q)", WrongIdentifier},
		{"python", "foo", "[x, 1]", TypeMismatch},
		{"python", "foo(1)", "g('a')", WrongIdentifier}, // both calls, names and constants differ
		{"python", "a, b", "(c, d)", WrongIdentifier},
		{"python", "x + 1", "-y", WrongIdentifier},
		{"python", "return foo(1)", "return foobarbaz(2, 3)", WrongIdentifier},
		{"python", "if a:", "while xyz:", WrongIdentifier},
		{"python", "x = 1", "x = = 'a'", SyntaxError},
		{"python", "lambda q: a", "lambda r: bcd", WrongIdentifier},
		{"python", "f(a=1)", "f(bcde=1)", TypeMismatch}, // same names and constants
		{"go", "foo", "bar", WrongIdentifier},
		{"go", "\"abc\"", "12", WrongLiteral},
		{"go", "nil", "foo", TypeMismatch},
		{"go", "foo", ":=", SyntaxError},
		{"go", "x := foo(1)", "yy := ba(1)", WrongIdentifier},
		{"go", "if err != nil {", "for range 12345 {", TypeMismatch},
		{"java", "foo", "bar", WrongIdentifier},
		{"java", "1", "new", SyntaxError},
		{"java", "int x = foo(1);", "int yyy = 222;", WrongIdentifier},
		{"javascript", "{a: 1}", "{a: 22222}", WrongLiteral},
		{"javascript", "foo", "bar)(", SyntaxError},
		{"javascript", "foo", "bar)(baz", SyntaxError},
		{"typescript", "foo", "12 as any", TypeMismatch},
		{"cobol", "foo", "bar", TypeMismatch}, // nothing is known of it
	}
	for _, tt := range tests {
		got := ErrorClass(tt.language, tt.expected, tt.got)
		if got != tt.want {
			t.Errorf("ErrorClass(%s, %q, %.50q) = %q, want %q (%+v, %+v)", tt.language, tt.expected, tt.got, got, tt.want,
				read(tt.language, tt.expected), read(tt.language, tt.got))
		}
		if !slices.Contains(ErrorClasses, got) {
			t.Errorf("%q is not in ErrorClasses", got)
		}
	}
}

func TestRead(t *testing.T) {
	tests := []struct {
		language, text   string
		form             form
		kind             string
		names, constants string
	}{
		{"python", "f(a.b, c=d[1])", expression, "call", "a d f", "1"},
		{"python", "-1", expression, "expression", "", "1"},
		{"python", "True", expression, "bool", "", "True"},
		{"python", "(None)", expression, "none", "", "None"},
		{"python", "1_000.0", expression, "number", "", "1000f"},
		{"python", "f'a{b}'", expression, "other", "b", `"a"`},
		{"python", "b'a'", expression, "constant", "", `"a"`},
		{"python", `'a' "b"`, expression, "string", "", `"a" "b"`},
		{"python", "{a: 'b'}", expression, "dict", "a", `"b"`},
		{"python", "[x for x in y]", expression, "other", "x y", ""},
		{"python", "a, b", expression, "collection", "a b", ""},
		{"python", "a, k=1", arguments, "arguments", "a", "1"},
		{"python", "for a in b:", statement, "for_statement", "a b", ""},
		{"python", "yield a", statement, "expression_statement", "a", ""},
		{"python", "a b c", unreadable, "", "", ""},
		{"go", "a.B(c, \"d\")", expression, "call", "a c", `"d"`},
		{"go", "[]int{1, 2}", expression, "collection", "int", "1 2"},
		{"go", "a, b...", arguments, "arguments", "a b", ""},
		{"go", "return a, nil", statement, "return_statement", "a", "nil"},
		{"go", "if a {", statement, "if_statement", "a", ""},
		{"go", "a)", unreadable, "", "", ""},
		{"java", "a.b(c)", expression, "call", "a b c", ""},
		{"java", "new A<>(1)", expression, "call", "A", "1"},
		{"java", "return a;", statement, "return_statement", "a", ""},
		{"javascript", "{a: b, c}", expression, "dict", "b", ""},
		{"javascript", "x => x + 1", expression, "other", "x", "1"},
		{"javascript", "await f(`a${b}`)", expression, "other", "b f", `"a"`},
		{"typescript", "a!.b", expression, "attribute", "a", ""},
		{"tsx", "<a b={c}/>", expression, "other", "a c", ""},
	}
	for _, tt := range tests {
		got := read(tt.language, tt.text)
		names, constants := strings.Join(got.names, " "), strings.Join(got.constants, " ")
		if got.form != tt.form || got.kind != tt.kind || names != tt.names || constants != tt.constants {
			t.Errorf("read(%s, %q) = %d %q, names %q, constants %q, want %d %q, %q, %q", tt.language, tt.text,
				got.form, got.kind, names, constants, tt.form, tt.kind, tt.names, tt.constants)
		}
	}
}
