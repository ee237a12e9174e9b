package syntax

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// outline lists what an outline has, one thing a line, with the text of each
// extent in quotation marks:
//
//	def|class|test NAME(+ if exported) of PARENT: signature / body / doc
//	site KIND line CLASS.FUNCTION target
//	call line RECEIVER.NAME text (of the statement that begins with its first word)
//	line LINE text
//	import line module...
//
// what says which of these, by their first words; class and test are defs.
func outline(t *testing.T, file, source string, what ...string) []string {
	t.Helper()
	o, err := ParseFile(file, []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	name := func(i int) string {
		if i == None {
			return "-"
		}
		return o.Definitions[i].Name
	}
	text := func(start, end int) string { return fmt.Sprintf("%q", source[start:end]) }
	var out []string
	for _, w := range what {
		switch w {
		case "def":
			for _, d := range o.Definitions {
				kind := "def"
				if d.Class {
					kind = "class"
				} else if d.Test {
					kind = "test"
				}
				n := d.Name
				if d.Receiver != "" {
					n = d.Receiver + "." + n
				}
				if d.Exported {
					n += "+"
				}
				out = append(out, fmt.Sprintf("%s %s of %s %d..%d from %d: %s / %s / %s", kind, n, name(d.Parent), d.Line, d.EndLine, d.DecoratorLine,
					text(d.Signature.Start, d.Signature.End), text(d.Body.Start, d.Body.End), text(d.Doc.Start, d.Doc.End)))
				if d.Start != d.Signature.Start {
					t.Errorf("definition %s begins at %d, its signature at %d", d.Name, d.Start, d.Signature.Start)
				}
			}
		case "site":
			for _, s := range o.Sites {
				what := source[s.Start:s.End]
				if s.Flaw != "" {
					what = "!" + string(s.Flaw)
				}
				out = append(out, fmt.Sprintf("%d %s %s.%s %s", s.Line, s.Kind, name(s.Class), name(s.Function), what))
			}
		case "call":
			for _, c := range o.Calls {
				first, _, _ := strings.Cut(source[c.From:], " ")
				line := fmt.Sprintf("%d %s.%s in %s.%s %s from %q", c.Line, c.Receiver, c.Name, name(c.Class), name(c.Function), text(c.Start, c.End), first)
				if c.Flaw != "" {
					line += " !" + string(c.Flaw)
				}
				out = append(out, line)
			}
		case "line":
			for _, l := range o.Lines {
				out = append(out, fmt.Sprintf("%d %s %s", l.Line, name(l.Function), text(l.Start, l.End)))
			}
		case "import":
			for _, i := range o.Imports {
				line := fmt.Sprintf("%d %s", i.Line, strings.Repeat(".", i.Level)+i.Module)
				if i.Alias != "" {
					line += " as " + i.Alias
				}
				for j, n := range i.Names {
					line += " " + n
					if i.Aliases[j] != "" {
						line += "=" + i.Aliases[j]
					}
				}
				if i.Function != None {
					line += " in " + name(i.Function)
				}
				out = append(out, line)
			}
		default:
			t.Fatalf("no list of %q", w)
		}
	}
	return out
}

// outlineCase is a source, and lists of outline for it.
type outlineCase struct {
	name, source, what string
	want               []string
}

func checkOutlines(t *testing.T, file string, cases []outlineCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			check(t, outline(t, file, tt.source, strings.Fields(tt.what)...), tt.want)
		})
	}
}

func TestParseLanguageUnknown(t *testing.T) {
	if _, err := ParseLanguage("klingon", nil); !errors.Is(err, ErrLanguage) || !strings.Contains(err.Error(), "klingon") {
		t.Errorf("got %v, want %v with the name", err, ErrLanguage)
	}
	if _, err := ParseFile("a/b.txt", nil); !errors.Is(err, ErrLanguage) || !strings.Contains(err.Error(), "a/b.txt") {
		t.Errorf("got %v, want %v with the path", err, ErrLanguage)
	}
	for language := range outliners {
		o, err := ParseLanguage(language, nil)
		if err != nil || o.Language != language || o.Errors > 1 {
			t.Errorf("%s: got %+v, %v", language, o, err)
		}
		if _, err := ParseLanguage(language, make([]byte, MaxBytes+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: got %v, want %v", language, err, ErrTooLarge)
		}
	}
}

// The receivers of a long chain of calls don't take room in its square.
func TestReceiverLength(t *testing.T) {
	o, err := ParseLanguage("python", []byte("def f():\n  é.a"+strings.Repeat("é().b", 1000)+"()\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Calls) != 1001 {
		t.Fatalf("got %d calls, want 1001", len(o.Calls))
	}
	last := o.Calls[1000].Receiver
	if n := len(last); n > MaxReceiver || n < MaxReceiver-1 || !strings.HasSuffix(last, ".bé()") {
		t.Errorf("receiver of %d bytes: %q", n, last)
	}
}

// Nesting that would exhaust a recursive walk is read, or given up as broken.
func TestOutlineDeep(t *testing.T) {
	const n = 3000
	for _, tt := range []struct{ file, before, middle, after string }{
		{"a.js", "function f(){", "", "}"},
		{"a.js", "it(`${", "", "}`,()=>{})"},
		{"a.js", "expect(x).to.equal(1).", "b", ""},
		{"a.js", "if(a){}else ", "b()", ""},
		{"a.tsx", "<a>", "", "</a>"},
		{"a.ts", "type A = B<", "", ">"},
		{"a.java", "class A { void f() { ", "", "}}"},
		{"a.java", "class A { void f() { assertThat(x)", ".b()", "; }}"},
	} {
		source := strings.Repeat(tt.before, n) + tt.middle + strings.Repeat(tt.after, n)
		if _, err := ParseFile(tt.file, []byte(source)); err != nil {
			t.Errorf("%s %q...: %v", tt.file, tt.before, err)
		}
	}
}

func FuzzParseFile(f *testing.F) {
	files := []string{"a.py", "a.go", "a.js", "a.ts", "a.tsx", "a.java"}
	for i, source := range []string{
		"import a.b as c\nfrom .. import (d as e)\n# c\n@f\nclass G(TestCase):\n  async def testH(self):\n    'doc'\n    if i: j.k(l)(m); n = 1 # o\r\n\tassert p == q\f\n",
		"package p\nimport . `a`\n// c\nfunc (s *S[T]) TestA(t *testing.T) {\r\n\tif got := f(); !(got != g(1)) { t.Fatal(x...) }\n\tassert.Equal(t, 1, `a\r\n`)\n\tcase x: /* \r */\n}\n//line b.go:7\nfunc Te",
		"import a, {b as c} from 'd'; const {e, f: g} = await import(\"h\").i;\nit.each`x`(`${y}`, async () => { expect(z).not.to.equal(1)\n /* c */ })\nif (a) b(); else c()",
		"@A export abstract class B<C> { @D() private #e = <F>(g?: h) => i!.j?.k<l>(m); n(): void; }\nexport * from 'o'\nnamespace P { enum Q {} }",
		"const a = <b c={() => d(<e/>)}>{/* f */}</b>; export default class extends G { static { h() } }",
		"package a.b;import static c.D.*;@E(f=1) public record G<H>(int i) { @Test void j() throws K { assertEquals(\"l\" + m, n, () -> { switch (o) { case 1 -> { p(); } default: q(); } }); new R<>(1) {}; } }",
	} {
		f.Add(uint8(i), []byte(source))
	}
	f.Fuzz(func(t *testing.T, language uint8, source []byte) {
		o, err := ParseFile(files[int(language)%len(files)], source)
		if err != nil {
			return
		}
		in := func(what string, at int, s Span) {
			if s.Start < 0 || s.Start > s.End || s.End > len(source) {
				t.Errorf("%s %d: %d..%d of %d bytes", what, at, s.Start, s.End, len(source))
			}
		}
		definition := func(what string, at, i int) {
			if i < None || i >= len(o.Definitions) {
				t.Errorf("%s %d: there is no definition %d", what, at, i)
			}
		}
		for i, d := range o.Definitions {
			in("definition", i, Span{d.Start, d.End})
			in("signature", i, d.Signature)
			in("body", i, d.Body)
			in("doc", i, d.Doc)
			if d.DecoratorLine > d.Line || d.Line > d.EndLine || d.Parent >= i {
				t.Errorf("definition %d: %+v", i, d)
			}
		}
		for i, s := range o.Sites {
			in("site", i, Span{s.Start, s.End})
			definition("site", i, max(s.Function, s.Class))
			if s.Flaw == "" && s.Start == s.End {
				t.Errorf("site %d is empty", i)
			}
		}
		for i, c := range o.Calls {
			in("call", i, Span{c.Start, c.End})
			definition("call", i, max(c.Function, c.Class))
			if c.Function == None || c.From > c.Start || c.Flaw == "" && source[c.End-1] != ')' || !strings.HasPrefix(string(source[c.Start:]), c.Name) {
				t.Errorf("call %d: %+v", i, c)
			}
		}
		for i, l := range o.Lines {
			in("line", i, Span{l.Start, l.End})
			definition("line", i, max(l.Function, l.Class))
			if text := string(source[l.Start:l.End]); l.Function == None || text == "" || strings.Contains(text, "\n") || strings.TrimRight(text, blanks) != text {
				t.Errorf("line %d: %+v: %q", i, l, text)
			}
			if before := source[lineStarts(source)[l.Line-1]:l.Start]; strings.Trim(string(before), blanks) != "" {
				t.Errorf("line %d: %q stands before", i, before)
			}
		}
		for i, m := range o.Imports {
			in("import", i, Span{m.Start, m.End})
			definition("import", i, m.Function)
			if len(m.Names) != len(m.Aliases) {
				t.Errorf("import %d: %d names, %d aliases", i, len(m.Names), len(m.Aliases))
			}
		}
	})
}
