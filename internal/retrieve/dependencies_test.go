package retrieve

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// shop is a small repository whose definitions are found in all the ways there
// are.
var shop = map[string]string{
	"shop/__init__.py": "from .cart import Cart as Basket\nfrom .money import *\nfrom shop.tax import rate\nVERSION = \"1\"\n",
	"shop/cart.py": "from .money import Money\n\n\n@total_ordering\nclass Cart:\n    \"\"\"A cart.\"\"\"\n    limit: int = 9\n\n" +
		"    def __init__(self, owner):\n        self.owner = owner\n        self.items = []\n\n" +
		"    @property\n    def total(self):\n        \"\"\"Sum of prices.\n\n        All of them, " + strings.Repeat("and more ", 40) + "\n        \"\"\"\n        return sum(i.price for i in self.items)\n\n" +
		"    def clear(self): self.items = []\n\n    class Meta:\n        table = \"carts\"\n",
	"shop/money.py":        "class Money:\n    CENTS = 100\n\n\ndef convert(x,\n            y):\n    a = x\n    b = y\n    c = a\n    d = b\n    return a, b, c, d\n" + strings.Repeat("    # more\n", 20) + "    return a\n\n\nEUR = USD = \"currency\"\nGBP: str = \"pound\"\n",
	"shop/tax.py":          "if True:\n    def rate(country):\n        return 19\n",
	"shop/colour.py":       "class Colour:\n    RED = 1\n",
	"shop/lines.py":        "one = 1\ntwo = 2\nfor special in range(3):\n    print(special)\nfive = 5\n",
	"src/tool/__init__.py": "def hammer():\n    return \"hit\"\n",
}

const shopTest = `import shop.money
import shop.money as m
import numpy as np
from shop import Basket, convert, rate, VERSION, missing
from shop.cart import Cart
from shop.money import EUR, GBP as pound
from shop.colour import Colour
from shop.lines import special
from tool import hammer
from shop import tax


def test_all():
`

func names(found []Definition) string {
	var all []string
	for _, d := range found {
		all = append(all, strings.TrimSuffix(d.Path, ".py")+":"+strings.Join(d.Names, "+"))
	}
	return strings.Join(all, " ")
}

func TestResolve(t *testing.T) {
	v := newView(t, disclosure.Production, "tests/test_shop.py", shop)
	tests := []struct {
		body         string
		plain, alias string
	}{
		{"assert 1 == ", "", ""},
		{"assert Cart() == ", "shop/cart:Cart", "shop/cart:Cart"},
		{"assert Basket() == ", "shop/cart:Cart", "shop/cart:Cart"},
		{"assert convert(1) == ", "shop/money:convert", "shop/money:convert"},
		{"assert rate(1) == ", "shop/tax:rate", "shop/tax:rate"},
		{"assert VERSION == ", "shop/__init__:VERSION", "shop/__init__:VERSION"},
		{"assert EUR == ", "shop/money:EUR+USD", "shop/money:EUR+USD"},
		{"assert pound == ", "", "shop/money:GBP"},
		{"assert GBP == ", "shop/money:GBP", ""},
		{"assert hammer() == ", "src/tool/__init__:hammer", "src/tool/__init__:hammer"},
		{"assert special == ", "shop/lines: shop/lines:", "shop/lines: shop/lines:"},
		{"assert m.Money.CENTS == ", "", "shop/money:Money"},
		{"assert shop.money.EUR == ", "shop/money:EUR+USD", "shop/money:EUR+USD"},
		{"assert tax.rate(1) == ", "shop/tax:rate", "shop/tax:rate"},
		{"assert np.zeros(1) == ", "", ""},
		{"assert convert(Cart()) == ", "shop/money:convert shop/cart:Cart", "shop/money:convert shop/cart:Cart"},
		{"assert x == 'Cart'", "", ""},
	}
	for _, tt := range tests {
		for want, aliases := range map[string]bool{tt.plain: false, tt.alias: true} {
			if tt.plain == tt.alias {
				aliases = len(tt.body)%2 == 0
			}
			d := must(NewDependencies(DependencyOptions{Aliases: aliases}))
			found, err := d.Resolve(t.Context(), v, python("tests/test_shop.py", shopTest+"    "+tt.body))
			if got := names(found); err != nil || got != want {
				t.Errorf("%q, aliases %v: got %q, %v, want %q", tt.body, aliases, got, err, want)
			}
		}
	}
}

func TestResolveNothing(t *testing.T) {
	v := newView(t, disclosure.Production, "a.py", shop)
	d := must(NewDependencies(DependencyOptions{}))
	for name, q := range map[string]repopeft.Query{
		"another language":  {File: "a.go", Language: "go", Prefix: "import shop\nfunc f() { shop."},
		"no imports":        python("a.py", "def f():\n    assert Cart() == "),
		"empty":             python("a.py", ""),
		"out of repository": python("a.py", "from .....shop import Cart\ndef f():\n    Cart("),
	} {
		found, err := d.Resolve(t.Context(), v, q)
		if err != nil || len(found) > 0 {
			t.Errorf("%s: got %v, %v, want nothing", name, found, err)
		}
	}
	if _, err := NewDependencies(DependencyOptions{MaxTokens: -1}); err == nil {
		t.Error("negative tokens: want an error")
	}
}

// TestCircle follows re-exports that lead back to where they began.
func TestCircle(t *testing.T) {
	v := newView(t, disclosure.Production, "t.py", map[string]string{
		"a/__init__.py": "from b import x\nfrom .self import *\n", "b/__init__.py": "from a import x\n", "a/self.py": "from a import *\n",
	})
	d := must(NewDependencies(DependencyOptions{Aliases: true}))
	if _, err := d.Resolve(t.Context(), v, python("t.py", "from a import x\ndef f():\n    x(")); err != nil {
		t.Error(err)
	}
}

// TestOracle: what only the answer names is supplied by the oracle, and by
// nothing else.
func TestOracle(t *testing.T) {
	file := shopTest + "    cart = Cart()\n    assert cart.colour == Colour.RED\n    hammer()\n"
	files := maps.Clone(shop)
	files["tests/test_shop.py"] = file
	v := newView(t, disclosure.Tree, "tests/test_shop.py", files)
	start := strings.Index(file, "Colour.RED")
	task := &repopeft.Task{File: "tests/test_shop.py", Language: "python", Prefix: file[:start], Start: start, End: start + 10, Target: "Colour.RED"}

	honest := contextOf(t, must(NewDependencies(DependencyOptions{Whole: true})), v, task.Query(), plenty)
	oracle, err := must(NewOracle(DependencyOptions{Whole: true})).ContextPastCut(t.Context(), v, task, []byte(file), plenty, countBytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []struct {
		text           string
		honest, oracle bool
	}{{"class Cart", true, true}, {"class Colour", false, true}, {"def hammer", false, true}, {"def convert", false, false}} {
		if got := strings.Contains(honest, part.text); got != part.honest {
			t.Errorf("prefix only: has %q: %v, want %v", part.text, got, part.honest)
		}
		if got := strings.Contains(oracle, part.text); got != part.oracle {
			t.Errorf("oracle: has %q: %v, want %v", part.text, got, part.oracle)
		}
	}
	if name := must(NewOracle(DependencyOptions{})).Name(); !strings.Contains(name, "past the cut") {
		t.Errorf("name %q doesn't say that it reads past the cut", name)
	}
	task.End = len(file) + 1
	if _, err := must(NewOracle(DependencyOptions{})).ContextPastCut(t.Context(), v, task, []byte(file), plenty, countBytes); err == nil {
		t.Error("target outside of the file: want an error")
	}
}

func TestDependenciesContext(t *testing.T) {
	v := newView(t, disclosure.Production, "tests/test_shop.py", shop)
	q := python("tests/test_shop.py", shopTest+"    x = convert\n    assert Cart(EUR) == ")
	const cart = "# Source: shop/cart.py\n@total_ordering\nclass Cart:\n    limit: int = 9\n    def __init__(self, owner):\n" +
		"        self.owner = owner\n        self.items = []\n    @property\n    def total(self):\n        \"\"\"Sum of prices.\"\"\"\n        ...\n" +
		"    def clear(self): ...\n    class Meta: ..."
	const convert = "# Source: shop/money.py\ndef convert(x,\n            y): ..."
	const eur = "# Source: shop/money.py\nEUR = USD = \"currency\""
	c := must(NewDependencies(DependencyOptions{}))
	full := contextOf(t, c, v, q, plenty)
	if i, j := strings.Index(full, "class Cart"), strings.Index(full, "def convert"); i < 0 || j < i || strings.Count(full, Separator) < 2 {
		t.Errorf("got %q, want Cart, which is called, before convert", full)
	}
	if strings.Contains(full, "...") {
		t.Errorf("got %q, want whole definitions where there is room", full)
	}
	need := func(parts ...string) int { return countBytes(strings.Join(parts, Separator) + Separator) }
	for _, tt := range []struct {
		budget int
		want   string
	}{
		{need(cart, convert, eur) + 2, strings.Join([]string{cart, convert, eur}, Separator)},
		{need(cart) + 1, cart},
		{need(eur), eur},
		{5, ""},
		{0, ""},
	} {
		if got := contextOf(t, c, v, q, tt.budget); got != tt.want {
			t.Errorf("budget %d: got\n%s\nwant\n%s", tt.budget, got, tt.want)
		}
	}
	small := must(NewDependencies(DependencyOptions{MaxTokens: need(eur)}))
	if got := contextOf(t, small, v, q, plenty); got != eur {
		t.Errorf("own bound: got %q, want %q", got, eur)
	}
}

func TestAssigned(t *testing.T) {
	for text, want := range map[string]string{
		"a = 1": "a", "a = b = c": "a b", "a: Dict[str, int] = {}": "a", "a: int": "", "a += 1": "", "a.b = 1": "", "a, b = 1, 2": "", "a = b == c": "a",
		"a=b=(c)=1": "a b",
	} {
		if got := strings.Join(assigned(text), " "); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestLinesWith(t *testing.T) {
	lines := make([]string, 60)
	for i := range lines {
		lines[i] = strings.Repeat("x", i)
		if i%8 == 0 {
			lines[i] += " name"
		}
	}
	got := linesWith(strings.Join(lines, "\n"), []string{"none", "name"})
	if len(got) != maxSnippets {
		t.Fatalf("got %d snippets, want %d", len(got), maxSnippets)
	}
	if want := strings.Join(lines[6:18], "\n"); got[1] != want {
		t.Errorf("got %q, want %q", got[1], want)
	}
	if want := strings.Join(lines[0:10], "\n"); got[0] != want {
		t.Errorf("got %q, want %q", got[0], want)
	}
	if slices.ContainsFunc(got, func(s string) bool { return s == "" }) {
		t.Error("empty snippet")
	}
}
