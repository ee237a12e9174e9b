package testutil

import (
	"strings"
	"testing"
)

// Golden is the file of tests that the specification of the benchmark (§14) ran
// the authors' extractors on.
const Golden = `"""Module note."""
import math
import pytest
from pkg.core import Box as B

LIMIT = 3

def helper(x):
    return x + 1

@pytest.fixture
def box():
    return B(1)

class TestBox:
    size = 2

    def setUp(self):
        self.b = B(2)

    def tool(self):
        return 5

    def test_first(self):
        self.assertEqual(helper(1), 2)
        self.assertTrue(self.b.ok)
        assert helper(2)  ==  LIMIT, "msg"

    def test_second(self):
        with self.assertRaises(ValueError):
            self.b.fail()
        self.assertAlmostEqual(0.1, 0.2, 7)

def test_plain(box):
    assert 1 < helper(1) < 3
    assert box
    assert math.pi == pytest.approx(3.14, abs=0.01)
    with pytest.raises(KeyError, match="no"):
        box["k"]
    assert box.items() == [
        1,
        2,
    ]

def test_np():
    assert_equal(helper(0), 1)
    assert_valid(helper(0))
    assert "é" + helper(0) == "y"
`

// LastLine returns what follows the last newline.
func LastLine(s string) string { return s[strings.LastIndexByte(s, '\n')+1:] }

// CompareLines reports both texts if the lines of got aren't those of want.
func CompareLines(t testing.TB, what string, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("%s: got:\n%s\nwant:\n%s", what, g, w)
	}
}
