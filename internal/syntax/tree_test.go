package syntax

import (
	"context"
	"errors"
	"strings"
	"testing"

	sitter "github.com/smacker/go-tree-sitter"
)

// treeSources are texts of each language, right and wrong ones.
var treeSources = map[string][]string{
	"python": {
		"", "x", "'abc'", "x = foo(1)", "foo)", "[1, 2", "a ? b", "$", "def f(a, b=1, *c):\n    return a if b else c\n",
		"for i, j in x:\n  y += i  # c\nelse:\n  pass\n", "class A(B):\n  @d\n  async def f(self): await g(x for x in y)\n",
		"assert f(x)[1:2] == {'a': f'{b!r}'}, 'm'", "print 'a'", "match x:\n  case [1, *r]: pass\n", "try:\n  a\nexcept E as e:\n  b\n",
		"a.b(c)(d)[e] + -f ** g", "lambda x, /, y: (yield)", "if a:\n b\nelif c:\n d\nelse:\n e", "x: int = 3", "é = 'ü'", "))((", "\x00",
	},
	"go": {
		"", "x := foo(1)", "package a\n\nfunc (t *T) F(x ...int) (a, b error) { return t.g(x...), nil }\n", "if x := f(); x > 1 { a[i]++ } else { go b() }",
		"[]int{1, 2}", "map[string]int{\"a\": 1}", "foo)", "for i := 0; i < n; i++ { s += x[i] }", "`raw`", "func(", "select { case <-c: default: }",
	},
	"java":       {"", "int x = foo(1);", "class A<T> { int f(String... s) { for (int i : s) i++; return s.length(); } }", "foo)", "new int[]{1}", "x -> y", "\"a\\n\""},
	"javascript": {"", "const f = (x) => `a${x}b`;", "foo)", "class A { get x() { return this?.y } }", "<a b={c}>d</a>", "/a+/g.test(x)", "({a, b: [c]} = d)"},
	"typescript": {"", "let x: Array<number> = f<T>(1)!;", "interface A { b?: string }", "foo)"},
	"tsx":        {"", "const x: A = <a b={c}/>;"},
}

// TestShapes compares all nodes with what tree-sitter prints of them.
func TestShapes(t *testing.T) {
	for language, sources := range treeSources {
		shapes := Shapes{}
		byShape, byText := map[int]string{}, map[string]int{}
		for _, source := range sources {
			tree, err := ParseTree(language, []byte(source))
			if err != nil {
				t.Fatal(err)
			}
			printed := printAll(t, language, source)
			if len(printed) != len(tree.Nodes) {
				t.Fatalf("%s %q: %d nodes, want %d", language, source, len(tree.Nodes), len(printed))
			}
			for i, shape := range shapes.Of(tree) {
				if old, ok := byShape[shape]; ok && old != printed[i] {
					t.Errorf("%s %q: shape %d stands for %s and %s", language, source, shape, old, printed[i])
				}
				if old, ok := byText[printed[i]]; ok && old != shape {
					t.Errorf("%s %q: %s has shapes %d and %d", language, source, printed[i], old, shape)
				}
				byShape[shape], byText[printed[i]] = printed[i], shape
			}
		}
	}
}

// printAll returns what tree-sitter prints of each node, parents first.
func printAll(t *testing.T, language, source string) (all []string) {
	p := sitter.NewParser()
	defer p.Close()
	p.SetLanguage(grammars[language]())
	parsed, err := p.ParseCtx(context.Background(), nil, []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	defer parsed.Close()
	var walk func(n *sitter.Node)
	walk = func(n *sitter.Node) {
		all = append(all, n.String())
		for i := range int(n.ChildCount()) {
			walk(n.Child(i))
		}
	}
	walk(parsed.RootNode())
	return all
}

func TestParseTree(t *testing.T) {
	tree, err := ParseTree("python", []byte("x = foo(1, 'a')"))
	if err != nil {
		t.Fatal(err)
	}
	var leaves []string
	for i := range tree.Nodes {
		if len(tree.Nodes[i].Children) == 0 {
			leaves = append(leaves, tree.Text(i))
		}
	}
	if got, want := strings.Join(leaves, " "), "x = foo ( 1 , ' a ' )"; got != want {
		t.Errorf("leaves %q, want %q", got, want)
	}
	statement := tree.Nodes[0].Children[0]
	assignment := tree.Nodes[statement].Children[0]
	if right := tree.Child(assignment, "right"); right < 0 || tree.Nodes[right].Kind != "call" || tree.Nodes[right].Parent != assignment {
		t.Errorf("right side is node %d of %+v, want a call", right, tree.Nodes)
	}
	if got := tree.Child(assignment, "middle"); got != -1 {
		t.Errorf("a field that isn't there: got %d, want -1", got)
	}
	if tree.HasErrors() || tree.Depth != 7 {
		t.Errorf("errors %v, depth %d, want none and 7", tree.HasErrors(), tree.Depth)
	}
	if broken, err := ParseTree("python", []byte("foo(")); err != nil || !broken.HasErrors() {
		t.Errorf("an open bracket: got %v, want a tree with errors", err)
	}
	if _, err := ParseTree("cobol", nil); err == nil || !strings.Contains(err.Error(), `"cobol"`) {
		t.Errorf("cobol: got %v, want an error with its name", err)
	}
	if _, err := ParseTree("go", make([]byte, MaxBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a long text: got %v, want %v", err, ErrTooLarge)
	}
}

func TestParseTreeDeep(t *testing.T) {
	tree, err := ParseTree("python", []byte(strings.Repeat("(", 20000)+"x"+strings.Repeat(")", 20000)))
	if err != nil {
		t.Fatal(err)
	}
	if tree.Depth < 20000 {
		t.Errorf("depth %d, want at least 20000", tree.Depth)
	}
	Shapes{}.Of(tree)
}
