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
