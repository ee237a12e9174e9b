package dataset

import (
	"context"
	"strings"
	"testing"
)

// golden is the file that the specification of the benchmark ran the public
// extractors on.
const golden = `"""Module note."""
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

// memory is a Source of files in memory.
type memory struct {
	name, commit string
	files        map[string]string
}

func (m memory) Name() string   { return m.name }
func (m memory) Commit() string { return m.commit }

func (m memory) Each(_ context.Context, visit func(path string, content []byte) error) error {
	for path, content := range m.files {
		if err := visit(path, []byte(content)); err != nil {
			return err
		}
	}
	return nil
}

// diff reports the lines of got that aren't those of want.
func diff(t *testing.T, what string, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("%s: got:\n%s\nwant:\n%s", what, g, w)
	}
}

// lastLine returns what follows the last newline.
func lastLine(s string) string { return s[strings.LastIndexByte(s, '\n')+1:] }
