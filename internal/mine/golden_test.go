package mine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/metric"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/syntax"
	"github.com/code2lora/code2lora/internal/testutil"
)

const golden = testutil.Golden

// TestPaperStaticGolden compares the snapshot extractor with the authors', in
// their order. The prefix of line 48 is theirs but for the character too many
// that their column in bytes gives.
func TestPaperStaticGolden(t *testing.T) {
	parts, o, err := syntax.AssertionParts([]byte(golden))
	if err != nil {
		t.Fatal(err)
	}
	rules := Defaults(Paper).Rules
	var got []string
	var all []paperItem
	for i := range parts {
		it, reason := paperStatic(golden, &parts[i], o)
		if reason == "" {
			reason = rules.paperReject(golden, it)
		}
		if reason != "" {
			continue
		}
		all = append(all, paperItem{"t.py", it})
		got = append(got, fmt.Sprintf("%d %s %s|%s|%s", it.Line, it.Family, repopeft.Difficulty(it.Target), testutil.LastLine(golden[:it.Start]), it.Target))
	}
	testutil.CompareLines(t, "tasks", got, []string{
		"35 assert func_call|    assert 1 < |helper(1)",
		"37 assert func_call|    assert math.pi == |pytest.approx(3.14, abs=0.01)",
		"40 assert collection|    assert box.items() == |[ 1, 2, ]",
		`48 assert string_literal|    assert "é" + helper(0) == |"y"`,
		"27 assert variable|        assert helper(2)  ==  |LIMIT",
		"46 assert_* numeric_literal|    assert_equal(helper(0), |1)",
		"47 assert_* func_call|    assert_valid(|helper(0))",
		"25 self.assertEqual numeric_literal|        self.assertEqual(helper(1), |2)",
		"26 self.assertTrue complex_expr|        self.assertTrue(|self.b.ok)",
		"32 self.assertAlmostEqual numeric_literal|        self.assertAlmostEqual(0.1, 0.2, |7)",
		"37 pytest.approx complex_expr|    assert math.pi == pytest.approx(|3.14, abs=0.01)",
		`38 pytest.raises complex_expr|    with pytest.raises(|KeyError, match="no")`,
		"30 self.assertRaises variable|        with self.assertRaises(|ValueError)",
	})
	var order []string
	dropped := counter{}
	for _, p := range selectPaper(all, rules, dropped) {
		order = append(order, fmt.Sprint(p.Line, " ", p.Family))
	}
	testutil.CompareLines(t, "selected", order, []string{"46 assert_*", "25 self.assertEqual", "32 self.assertAlmostEqual", "48 assert", "27 assert",
		"35 assert", "47 assert_*", "26 self.assertTrue", "30 self.assertRaises", "37 pytest.approx", "38 pytest.raises", "37 assert", "40 assert"})
	if len(dropped) > 0 {
		t.Errorf("dropped: got %v, want nothing", dropped)
	}
}

// TestPaperCommitGolden compares the commit extractor with the authors', in
// their order.
func TestPaperCommitGolden(t *testing.T) {
	items, reason := paperVersion([]byte(golden))
	if reason != "" {
		t.Fatal(reason)
	}
	var got []string
	for _, it := range items {
		got = append(got, fmt.Sprintf("%d %s|%s|%s", it.Line, it.Family, testutil.LastLine(golden[:it.Cut]+*it.Inline), it.Target))
		if it.Line == 30 && golden[:it.Cut] != golden[:strings.Index(golden, "self.assertRaises")] {
			t.Errorf("prefix of line 30: got %q", golden[:it.Cut])
		}
	}
	testutil.CompareLines(t, "tasks", got, []string{
		"35 assert|    assert 1 < |helper(1)",
		"36 assert|    assert |box",
		"37 assert|    assert math.pi == |pytest.approx(3.14, abs=0.01)",
		"40 assert|    assert box.items() == |[ 1, 2, ]",
		`48 assert|    assert "é" + helper(0) == |"y"`,
		"27 assert|        assert helper(2) == |LIMIT",
		"46 assert_*|    assert_equal(helper(0), |1)",
		"47 assert_*|    assert_valid(, |helper(0))",
		"25 self.assertEqual|        self.assertEqual(helper(1), |2)",
		"26 self.assertTrue|        self.assertTrue(|self.b.ok)",
		"32 self.assertAlmostEqual|        self.assertAlmostEqual(0.1, 0.2, |7)",
		"37 pytest.approx|    assert math.pi == pytest.approx(|3.14, abs=0.01)",
		`38 pytest.raises|    with pytest.raises(|KeyError, match="no")`,
		"30 self.assertRaises|        with self.assertRaises(|ValueError)",
	})
}

// TestStrictIsExtract compares the strict profile's assertions of a Python file
// with those of package dataset: the same places and the same targets, but for
// those that no strict answer can be.
func TestStrictIsExtract(t *testing.T) {
	rules := Defaults(Strict).Rules
	unanswerable := 0
	for name, text := range map[string]string{
		"golden": golden,
		"broken": "def test_a():\n    assert x == 1\n\ndef test_b(:\n    assert ( == 2\n\ndef test_c():\n    assert y == 'c'\n",
		"CRLF":   "def test_a():\r\n    assert x == 1\r\n    assert f(\r\n        2) == 3\r\n",
		"feeds":  "import a\n\f\ndef test_a():\n    assert x == 1\n    \fassert y == 2\n",
	} {
		s, reason := rules.read("tests/test_x.py", []byte(text))
		if reason != "" {
			t.Fatal(reason)
		}
		want, _ := dataset.Extract("tests/test_x.py", []byte(text))
		var got, wanted []string
		for _, it := range rules.candidates(s) {
			if it.reason == "" {
				got = append(got, fmt.Sprint(it.Line, it.Family, it.Function, it.Class, text[:it.Start], it.target(text)))
			}
		}
		for _, w := range want {
			if !metric.Answerable("python", "assertion", w.Target, text[w.End:]) {
				unanswerable++
				continue
			}
			wanted = append(wanted, fmt.Sprint(w.Line, w.Kind, w.Function, w.Class, w.Prefix, w.Target))
		}
		testutil.CompareLines(t, name, got, wanted)
	}
	if unanswerable != 2 { // the middle of a chain of comparisons, and an exception with match="no"
		t.Errorf("%d targets without an end, want 2", unanswerable)
	}
}

// TestPyRandom has the reference values of CPython for the authors' seed.
func TestPyRandom(t *testing.T) {
	p := newPyRandom(3407)
	for i, want := range []uint32{244111517, 1800916962, 569954085, 1421262567} {
		if got := p.mt.Uint32(); got != want {
			t.Errorf("output %d: got %d, want %d", i, got, want)
		}
	}
	s := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	p = newPyRandom(3407)
	shuffle(&p, s)
	if got, want := fmt.Sprint(s), "[9 5 4 8 3 1 7 2 6 0]"; got != want {
		t.Errorf("shuffle: got %s, want %s", got, want)
	}
}

func TestPythonLines(t *testing.T) {
	for _, tt := range []struct {
		text string
		want string
	}{
		{"", "[0]"}, {"a\n", "[0]"}, {"a\nb", "[0 2]"}, {"a\r\nb\rc", "[0 3 5]"},
		{"a\fb\vc\x1cd\u0085e\u2028f", "[0 2 4 6 9 13]"},
	} {
		if got := fmt.Sprint(pythonLines(tt.text)); got != tt.want {
			t.Errorf("lines of %q: got %s, want %s", tt.text, got, tt.want)
		}
	}
	// A form feed ends a line for splitlines and none for the parser: the cut
	// slips by a line, as the authors' does.
	text := "x = 1\f\ny = 2\ndef test():\n    assert y == 2\n"
	start := strings.Index(text, "assert")
	if got, want := text[:paperCut(text, pythonLines(text), start)], "x = 1\f\ny = 2\ndef "; got != want {
		t.Errorf("cut: got %q, want %q", got, want)
	}
	// Characters of two bytes before the column move it to the right.
	text = "def test():\n    é; assert y == 2\n"
	start = strings.Index(text, "assert")
	if got, want := text[paperCut(text, pythonLines(text), start):], "ssert y == 2\n"; got != want {
		t.Errorf("cut behind é: got %q, want %q", got, want)
	}
}
