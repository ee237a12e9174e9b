package retrieve

import (
	"strings"
	"testing"
)

func TestUses(t *testing.T) {
	got := uses("a(1)\nb.c\nd = e\na.x\nf (2)\ng\n  .h")
	want := map[string]float64{"a": useCall, "b": useAttribute, "c": useName, "d": useName, "e": useName, "f": useCall, "g": useAttribute, "none": 0}
	for name, use := range want {
		if got[name] != use {
			t.Errorf("%s: got %v, want %v", name, got[name], use)
		}
	}
}

func TestSortByUse(t *testing.T) {
	blocks := []block{{code: "1", names: []string{"x"}}, {code: "2", names: []string{"name"}}, {code: "3"},
		{code: "4", names: []string{"x", "call"}}, {code: "5", names: []string{"attribute"}}, {code: "6", names: []string{"name"}}}
	sortByUse(blocks, "call() + attribute.y + name")
	got := ""
	for _, b := range blocks {
		got += b.code
	}
	if want := "452613"; got != want {
		t.Errorf("got order %s, want %s", got, want)
	}
}

func TestShorten(t *testing.T) {
	body := strings.Repeat("    a = 1\n", 7)
	tests := []struct{ name, path, code, want string }{
		{"long function", "a.py", "def f(x):\n" + body, "def f(x): ..."},
		{"with decorator and docstring", "a.py", "@d\nasync def f(x) -> int:\n    r'''Says.\n\n    More.\n    '''\n" + body,
			"@d\nasync def f(x) -> int:\n    \"\"\"Says.\"\"\"\n    ..."},
		{"short function", "a.py", "def f(x):\n    return 1", "def f(x):\n    return 1"},
		{"statements", "a.py", "X = 1\ndef f(x):\n" + body, "X = 1\n\ndef f(x): ..."},
		{"no definitions", "a.py", "X = 1", "X = 1"},
		{"not Python", "a.py", "def (:", "def (:"},
		{"empty class", "a.py", "class A(B):\n    pass", "class A(B): ..."},
		{"class", "a.py", "class A:\n    \"\"\"Doc.\"\"\"\n    x = 1\n    def __init__(self):\n        self.x = 1\n    async def g(self): # why\n        await x\n",
			"class A:\n    x = 1\n    def __init__(self):\n        self.x = 1\n    async def g(self): ..."},
		{"long signature", "a.py", "def f(\n" + strings.Repeat("    a,\n", 12) + "):\n    pass", "def f(\n" + strings.TrimSuffix(strings.Repeat("    a,\n", 9), "\n") + " ..."},
		{"unknown language", "a.txt", "def f(): pass", "def f(): pass"},
	}
	for _, tt := range tests {
		b := block{path: tt.path, head: "# Head\n", code: tt.code}
		if got, want := shorten(b), "# Head\n"+tt.want; got != want {
			t.Errorf("%s: got\n%q, want\n%q", tt.name, got, want)
		}
	}
}

func FuzzShorten(f *testing.F) {
	f.Add("a.py", "class A:\n  @p\n  def f(self):\n    '''x'''\n    return 1\n  class B: pass\n")
	f.Add("a.py", "def f(x): '''")
	f.Add("a.go", "func f() {\n\n\n\n\n\n\n}")
	f.Fuzz(func(t *testing.T, path, code string) {
		shorten(block{path: path, code: code})
		Units{}.Chunks(path, []byte(code))
		Tests{}.Chunks(path, []byte(code))
		Assertions{}.Chunks(path, []byte(code))
		newModule(path, []byte(code)).extract(wanted{path, []string{"f", "A"}})
	})
}
