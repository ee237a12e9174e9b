package retrieve

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/encoder"
)

// show writes an import in one line: module, alias and names with their locals.
func (i importing) show() string {
	s := strings.Repeat(".", i.level) + i.module
	if i.alias != "" {
		s += " as " + i.alias
	}
	for _, n := range i.names {
		s += " " + n.name
		if n.local != n.name {
			s += "=" + n.local
		}
	}
	return s
}

func TestParseImport(t *testing.T) {
	tests := []struct{ source, want string }{
		{"import a", "a"},
		{"import a.b.c as d, e", "a.b.c as d; e"},
		{"from a.b import c, d as e", "a.b c d=e"},
		{"from . import x", ". x"},
		{"from ...p.q import (\n    x,  # one\n    y as z,\n)", "...p.q x y=z"},
		{"from a import *", "a *"},
		{"from a import \\\n  b", "a b"},
		{"import a; import b", "a; b"},
		{"if x:\n    from a import b", "a b"},
		{"from a import", "a"},
		{"from a", ""},
		{"from", ""},
		{"import", ""},
		{"from import x", ""},
		{"import 1a", ""},
		{"from a import (b, c", "a b c"},
		{"important = 1", ""},
		{"x = 'import a'\n'''\nimport b\n'''\n# import c", ""},
		{"x = (1,\nimport a\n", "a"}, // a bracket that was never closed
	}
	for _, tt := range tests {
		var got []string
		for _, s := range scan(tt.source) {
			for _, i := range parseImport(&s) {
				got = append(got, i.show())
			}
		}
		if s := strings.Join(got, "; "); s != tt.want {
			t.Errorf("%q: got %q, want %q", tt.source, s, tt.want)
		}
	}
}

func TestScope(t *testing.T) {
	const file = `import os
from pkg import A, B, C as D
try:
    import json
except ImportError:
    pass

def other():
    import hidden
    return B()

class T:
    @mark(A)
    def test_x(self, fixture):
        from pkg.sub import E
        """B is not used."""
        # D neither
        value = f"{E.name} {{B}} B" % json.dumps(
            os)
        if value:
            assert value == ` + "CUT" + `.answer

def after():
    D()
`
	cut := strings.Index(file, "CUT")
	prefix := newScope(file[:cut], cut)
	whole := newScope(strings.Replace(file, "CUT", "D", 1), cut)
	for name, s := range map[string]*scope{"prefix": &prefix, "whole": &whole} {
		var imports []string
		for _, i := range s.imports {
			imports = append(imports, i.show())
		}
		if got, want := strings.Join(imports, "; "), "os; pkg A B C=D; json; pkg.sub E"; got != want {
			t.Errorf("%s: got imports %q, want %q", name, got, want)
		}
		for _, n := range []string{"A", "E", "json", "os", "name", "fixture"} {
			if !s.uses(n) {
				t.Errorf("%s: %s isn't used", name, n)
			}
		}
		for _, n := range []string{"B", "C", "hidden", "after", "neither"} {
			if s.uses(n) {
				t.Errorf("%s: %s is used", name, n)
			}
		}
		if got := s.uses("D"); got != (name == "whole") {
			t.Errorf("%s: use of D is %v; only the answer has it", name, got)
		}
		if got := s.attributes("json"); !slices.Equal(got, []string{"dumps"}) {
			t.Errorf("%s: got attributes %q of json, want dumps", name, got)
		}
	}
}

func TestScopeOdd(t *testing.T) {
	tests := []struct {
		name, text   string
		uses, unused string
	}{
		{"module level: any occurrence", "from a import b\nassert b.c == ", "b", "c d"},
		{"cut in a signature", "from a import b\ndef f(x=b.c", "b c", "a"},
		{"cut in brackets", "from a import b\ndef f():\n    assert g(\n        b,\n    [", "b g", "a"},
		{"cut in a string", "from a import b\ndef f():\n    assert b == 'x", "b", "x"},
		{"one line", "from a import b, c\ndef f(): assert b == ", "b", "c"},
		{"nested", "from a import b, c\ndef f():\n    c()\n    def g():\n        b()\n        assert ", "b", "c"},
		{"after a nested one", "from a import b, c\ndef f():\n    def g():\n        b()\n    c()\n    assert ", "b c", "a"},
		{"async", "async def f():\n    x()\n    assert ", "x", "y"},
		{"Windows lines", "from a import b\r\ndef f():\r\n    assert b == ", "b", "a"},
		{"a line goes on", "def f():\n    assert x == \\\n        y + ", "x y", "z"},
	}
	for _, tt := range tests {
		s := newScope(tt.text, len(tt.text))
		for n := range strings.FieldsSeq(tt.uses) {
			if !s.uses(n) {
				t.Errorf("%s: %s isn't used", tt.name, n)
			}
		}
		if s.tokens == nil {
			continue
		}
		for n := range strings.FieldsSeq(tt.unused) {
			if s.uses(n) {
				t.Errorf("%s: %s is used", tt.name, n)
			}
		}
	}
}

func TestModulesFind(t *testing.T) {
	var files []encoder.Blob
	for _, p := range []string{
		"top.py", "pkg/__init__.py", "pkg/mod.py", "pkg/sub/__init__.py", "pkg/sub/deep.py",
		"src/inner/__init__.py", "src/inner/a.py", "lib/loose.py", "packages/one/__init__.py", "packages/one/b.py", "packages/two/c.py",
		"docs/conf.py", "tests/conftest.py", "tests/unit/helpers.py", "tests/unit/test_a.py", "stub.pyi", "__init__.py",
	} {
		files = append(files, encoder.Blob{Path: p, ID: "id"})
	}
	m := newModules(files)
	const file = "tests/unit/test_a.py"
	tests := []struct {
		module string
		level  int
		want   string
	}{
		{"top", 0, "top.py"},
		{"pkg", 0, "pkg/__init__.py"},
		{"pkg.mod", 0, "pkg/mod.py"},
		{"pkg.sub.deep", 0, "pkg/sub/deep.py"},
		{"inner.a", 0, "src/inner/a.py"},
		{"src.inner.a", 0, "src/inner/a.py"},
		{"loose", 0, "lib/loose.py"},
		{"one.b", 0, "packages/one/b.py"},
		{"two.c", 0, "packages/two/c.py"},
		{"conf", 0, ""},
		{"docs.conf", 0, "docs/conf.py"},
		{"helpers", 1, "tests/unit/helpers.py"},
		{"conftest", 2, "tests/conftest.py"},
		{"conftest", 0, "tests/conftest.py"},
		{"", 3, ""},
		{"top", 3, "top.py"},
		{"top", 4, ""},
		{"numpy", 0, ""},
		{"stub", 0, ""},
	}
	for _, tt := range tests {
		i := importing{module: tt.module, level: tt.level, from: true}
		if got := m.find(&i, file); got != tt.want {
			t.Errorf("%d dots and %q: got %q, want %q", tt.level, tt.module, got, tt.want)
		}
	}
}

func FuzzScope(f *testing.F) {
	f.Add("import a\nfrom b import (c as d,\ndef f(x):\n  f'{a.b[{c}]}'\n  '''", 20)
	f.Add("def f(:\n\\\n\\", 3)
	f.Add("f\"{'\\", 0)
	f.Add("from .\x00 import é", 9)
	f.Fuzz(func(t *testing.T, text string, offset int) {
		end := 0
		for _, s := range scan(text) {
			if s.start < end || s.end < s.start || s.end > len(text) || len(s.tokens) == 0 && s.start == s.end {
				t.Fatalf("statement at %d..%d after %d of %d", s.start, s.end, end, len(text))
			}
			end = s.end
			for _, tok := range s.tokens {
				if tok.text == "" || text[tok.start:tok.start+len(tok.text)] != tok.text {
					t.Fatalf("token %q at %d", tok.text, tok.start)
				}
			}
		}
		s := newScope(text, offset)
		m := newModules([]encoder.Blob{{Path: "a/b.py", ID: "1"}, {Path: "conftest.py", ID: "2"}})
		for _, i := range s.imports {
			if p := m.find(&i, "a/test_x.py"); p != "" && m.ids[p] == "" {
				t.Fatalf("%s: found %q, which isn't there", i.show(), p)
			}
			s.attributes(i.module)
			_ = fmt.Sprint(i.show(), s.uses(i.module))
		}
	})
}
