package metric

import (
	"strings"
	"testing"
	"unicode/utf8"
)

var strictTests = []struct {
	language, kind, generated, want string
	done                            bool
}{
	// Expressions end at a newline, a comment, and outside of brackets at a comma, a semicolon or a closing bracket.
	{"python", "assertion", "5\n    assert", "5", true},
	{"python", "assertion", " 5  # five", "5", true},
	{"python", "assertion", "5", "5", false},
	{"python", "assertion", "\n5", "", true},
	{"python", "assertion", "", "", false},
	{"python", "assertion", "5)", "5", true},
	{"python", "assertion", "ValueError, match='x')", "ValueError", true},
	{"python", "assertion", "f(a, b), c", "f(a, b)", true},
	{"python", "assertion", "{'a': [1, 2]}]", "{'a': [1, 2]}", true},
	{"python", "assertion", "[1,\n2]", "[1,", true}, // an answer has one line
	{"python", "assertion", "'a, b)' + \"#\", c", `'a, b)' + "#"`, true},
	{"python", "assertion", `'it\'s, ' , 1`, `'it\'s, '`, true},
	{"python", "assertion", `r'\', 1`, `r'\', 1`, false}, // the backslash keeps the quote in raw strings too
	{"python", "assertion", `rb"a,b", 1`, `rb"a,b"`, true},
	{"python", "assertion", `"""a, "b", c""", 1`, `"""a, "b", c"""`, true},
	{"python", "assertion", `"", 1`, `""`, true},
	{"python", "assertion", `""`, `""`, false},
	{"python", "assertion", `f"{d["a, b"]}, {x:,}", 1`, `f"{d["a, b"]}, {x:,}"`, true},
	{"python", "assertion", `f"{x:'>{w}}", 1`, `f"{x:'>{w}}"`, true},
	{"python", "assertion", `f"{{", 1`, `f"{{"`, true},
	{"python", "assertion", "x // 2, 1", "x // 2", true},
	{"python", "assertion", "x; y", "x", true},
	{"python", "assertion", "lambda x: (x, 1)", "lambda x: (x, 1)", false},
	{"go", "assertion", "`a, b`, c", "`a, b`", true},
	{"go", "assertion", "','+x, c", "','+x", true},
	{"go", "assertion", "x / 2 // half", "x / 2", true},
	{"go", "assertion", "x /", "x /", false},
	{"go", "assertion", "map[string]int{\"a\": 1, \"b\": 2})", "map[string]int{\"a\": 1, \"b\": 2}", true},
	{"java", "assertion", "new HashMap<String, List<Integer>>(), x)", "new HashMap<String, List<Integer>>()", true},
	{"java", "assertion", "new HashMap<String, Integer", "new HashMap<String", false}, // the list may end yet
	{"java", "assertion", "new HashMap<String, Integer\n", "new HashMap<String", true},
	{"java", "assertion", "a<b, c>d", "a<b", true},
	{"java", "assertion", "5; // five", "5", true},
	{"java", "assertion", "\"a\" /* b */ + c", "\"a\"", true},
	{"javascript", "assertion", "`a${f(`b, ${c}`)}, d`, 1", "`a${f(`b, ${c}`)}, d`", true},
	{"javascript", "assertion", "/[/,)]a,b/g, 1", "/[/,)]a,b/g", true},
	{"javascript", "assertion", "a / b, c / d", "a / b", true},
	{"javascript", "assertion", "{a: 1, b});", "{a: 1, b}", true},
	{"javascript", "assertion", "'don\\'t, ok');", "'don\\'t, ok'", true},
	{"typescript", "assertion", "new Map<string, number>([]))", "new Map<string, number>([])", true},
	{"cobol", "assertion", "x # y", "x", true},

	// Calls end behind the bracket that closes their own.
	{"python", "call", "foo(a, (b), ')')(c)", "foo(a, (b), ')')", true},
	{"python", "call", "foo(", "foo(", false},
	{"python", "call", "foo(a,\n    b)\nbar()", "foo(a,\n    b)", true},
	{"python", "call", "foo(a,  # not )\n b) + 1", "foo(a,  # not )\n b)", true},
	{"python", "call", "foo[x(1)](2)(3)", "foo[x(1)](2)", true},
	{"python", "call", "foo\n(1)", "foo", true},
	{"python", "call", "foo, bar(1)", "foo", true},
	{"python", "call", "foo)(", "foo", true},
	{"python", "call", "a.b(1).c(2)", "a.b(1)", true},
	{"go", "call", "Map[K, V](x)", "Map[K, V](x)", true},
	{"java", "call", "of(new A<B, C>() { void f() { g(\")\"); } }) + 1", "of(new A<B, C>() { void f() { g(\")\"); } })", true},
	{"javascript", "call", "render(<App a={b} />);", "render(<App a={b} />)", true},
	{"javascript", "call", "f(() => {\n  return /\\)/;\n})\n", "f(() => {\n  return /\\)/;\n})", true},

	// Lines end at a newline, and lose their comment.
	{"python", "line", "    x = f(a, b)  # note\n    y", "x = f(a, b)", true},
	{"python", "line", "x = '# no'", "x = '# no'", false},
	{"python", "line", "x = \"\"\"a\nb\"\"\"", "x = \"\"\"a", true},
	{"go", "line", "x := \"//\" // yes\n", "x := \"//\"", true},
	{"go", "line", "x := /* a */ 1 /* b */\n", "x := /* a */ 1", true},
	{"go", "line", "x := 1 /* b */", "x := 1", false},
	{"go", "line", "x := 1 // b", "x := 1", true},
	{"java", "line", "int x = 1; /* open", "int x = 1;", false},
	{"java", "line", "}\r\nfoo", "}", true},
	{"java", "line", "String s = \"\"\"\n", "String s = \"\"\"", true},
}

func TestComplete(t *testing.T) {
	for _, tt := range strictTests {
		text, done := Complete(tt.language, tt.kind, tt.generated)
		if text != tt.want || done != tt.done {
			t.Errorf("Complete(%s, %s, %q) = %q, %v, want %q, %v", tt.language, tt.kind, tt.generated, text, done, tt.want, tt.done)
		}
		if got := Strict(tt.language, tt.kind, tt.generated); got != tt.want {
			t.Errorf("Strict(%s, %s, %q) = %q, want %q", tt.language, tt.kind, tt.generated, got, tt.want)
		}
		checkStream(t, tt.language, tt.kind, tt.generated)
		checkStream(t, tt.language, tt.kind, tt.generated+"\n\", ')])}>")
	}
}

// checkStream feeds a text byte by byte: once done, the answer is what it is
// in the whole text.
func checkStream(t *testing.T, language, kind, generated string) {
	t.Helper()
	want := Strict(language, kind, generated)
	for i := range len(generated) + 1 {
		if got, done := Complete(language, kind, generated[:i]); done && got != want {
			t.Errorf("%s %s: %q is done with %q, but %q gives %q", language, kind, generated[:i], got, generated, want)
			return
		}
	}
}

func FuzzComplete(f *testing.F) {
	for i, tt := range strictTests {
		f.Add(uint8(i), uint8(i), tt.generated)
	}
	languages := []string{"python", "go", "java", "javascript", "typescript", ""}
	kinds := []string{"assertion", "call", "line"}
	f.Fuzz(func(t *testing.T, language, kind uint8, text string) {
		l, k := languages[int(language)%len(languages)], kinds[int(kind)%len(kinds)]
		if len(text) > 500 {
			return
		}
		checkStream(t, l, k, text)
		if s := Strict(l, k, text); !strings.Contains(text, s) {
			t.Errorf("%q is no part of %q", s, text)
		} else if k != "call" && strings.ContainsAny(s, "\r\n") {
			t.Errorf("%s %q has two lines", k, s)
		}
		if !ExactStrict(l, k, text, text) {
			t.Errorf("%s: %q isn't equal to itself", l, text)
		}
		// What is normal already stays.
		if n := Normalise(l, text); utf8.ValidString(text) && Normalise(l, n) != n {
			t.Errorf("%s: %q becomes %q and then %q", l, text, n, Normalise(l, n))
		}
	})
}

func TestExactStrict(t *testing.T) {
	tests := []struct {
		language, kind, a, b string
		want                 bool
	}{
		{"python", "assertion", "foo(1,2)", "foo(1, 2)", true},
		{"python", "assertion", " foo( 1 , 2 ) ", "foo(1, 2)  # note", true},
		{"python", "assertion", "foo('1,2')", "foo('1, 2')", false},
		{"python", "assertion", "'a  b'", "'a b'", false},
		{"python", "assertion", `"a"`, `'a'`, false},
		{"python", "assertion", `f "x"`, `f"x"`, false},
		{"python", "assertion", `"" "a"`, `"""a`, false},
		{"python", "assertion", "a in b", "ain b", false},
		{"python", "assertion", "x - -1", "x--1", true}, // Python has no --
		{"python", "assertion", "f(x = -1)", "f(x=-1)", true},
		{"python", "assertion", "a < -b", "a<-b", true},
		{"python", "assertion", "a ** b", "a * * b", false},
		{"python", "assertion", "1 .real", "1.real", false},
		{"python", "assertion", "1e - 5", "1e-5", false},
		{"python", "assertion", "(1,)", "(1)", false},
		{"python", "assertion", "'#ffffff'", "'#000000'", false},
		{"python", "assertion", "a # b", "a # c", true},
		{"python", "assertion", "5", "5)", true},
		{"python", "assertion", "None)", "None", true},
		{"python", "assertion", "5", "5))", false},
		{"python", "assertion", "f(5)", "f(5", false},
		{"python", "assertion", ")", "", false},
		{"python", "line", "x = 5", "x = 5)", false},
		{"python", "call", "foo(a,\n    b)", "foo(a, b)", true},
		{"python", "call", "foo(a, \\\n b)", "foo(a, b)", true},
		{"python", "call", "foo(a,  # b\n c)", "foo(a, c)", false}, // a comment within stays
		{"python", "call", "(#\n0", "(#0", false},
		{"python", "line", "if a:\n  b\n  c", "if a:\n  b\nc", false},
		{"go", "assertion", "a - -b", "a--b", false},
		{"go", "assertion", "a < -b", "a<-b", false},
		{"go", "assertion", "`a b`", "`a  b`", false},
		{"go", "assertion", "' '", "'  '", false},
		{"go", "assertion", "[]int{1,2}", "[]int{ 1, 2 }", true},
		{"go", "call", "f(func() {\n\ta()\n\tb()\n})", "f(func() { a() b() })", false},
		{"java", "assertion", "new A<B,C>()", "new A<B, C>()", true},
		{"java", "assertion", "List<List<A> >", "List<List<A>>", false}, // too strict, on the safe side
		{"java", "line", "int x=1; // a", "int x = 1;", true},
		{"javascript", "assertion", "/a /", "/a/", false},
		{"javascript", "assertion", "/a b/ .test( x )", "/a b/.test(x)", true},
		{"javascript", "assertion", "a /b/ c", "a / b / c", true},
		{"javascript", "assertion", "<a>b </a>", "<a>b</a>", false},
		{"javascript", "assertion", "a < b", "a<b", true},
		{"javascript", "assertion", "`a ${ b }`", "`a ${b}`", false},
		{"javascript", "assertion", "a / *b", "a /*b", false},
		{"javascript", "assertion", "x=>x+1", "x => x + 1", true},
	}
	for _, tt := range tests {
		for range 2 {
			if got := ExactStrict(tt.language, tt.kind, tt.a, tt.b); got != tt.want {
				t.Errorf("ExactStrict(%s, %s, %q, %q) = %v, want %v (%q, %q)", tt.language, tt.kind, tt.a, tt.b, got, tt.want,
					Normalise(tt.language, tt.a), Normalise(tt.language, tt.b))
			}
			tt.a, tt.b = tt.b, tt.a
		}
	}
}

func TestAnswerable(t *testing.T) {
	tests := []struct {
		kind, target, rest string
		want               bool
	}{
		{"assertion", "5", ")\n", true},
		{"assertion", "5)", "\n", true},
		{"assertion", "a", " < b\n", false}, // of assert x < a < b
		{"assertion", "ValueError, match='x')", ":\n", false},
		{"assertion", "[1,\n 2]", "\n", false},
		{"call", "f(1,\n  2)", ".g()\n", true},
		{"call", "f(1", ")\n", false},
		{"line", "x = 1", "  # one\n", true},
		{"line", "x = '''", "\n'''", true},
	}
	for _, tt := range tests {
		if got := Answerable("python", tt.kind, tt.target, tt.rest); got != tt.want {
			t.Errorf("Answerable(%s, %q, %q) = %v, want %v", tt.kind, tt.target, tt.rest, got, tt.want)
		}
	}
}

func TestNested(t *testing.T) {
	for _, text := range []string{strings.Repeat("f'{", 10000), strings.Repeat("`${", 10000), strings.Repeat("(", 10000)} {
		for _, language := range []string{"python", "javascript"} {
			if got := Strict(language, "assertion", text); got == "" {
				t.Errorf("%s %.10q…: got nothing", language, text)
			}
		}
	}
}
