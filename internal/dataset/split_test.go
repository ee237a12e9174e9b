package dataset

import (
	"fmt"
	"testing"
)

// TestInRepoSplitOf checks that whole functions fall to one part, about as often as
// they should.
func TestInRepoSplitOf(t *testing.T) {
	counts := map[Split]int{}
	for i := range 2000 {
		counts[InRepoSplitOf("acme/a", "t.py", "", fmt.Sprint(i))]++
	}
	if n := counts[Train]; n < 1550 || n > 1650 {
		t.Errorf("%d of 2000 functions are for training, want about 1600", n)
	}
	if n := counts[Validation]; n < 160 || n > 240 {
		t.Errorf("%d of 2000 functions are for validation, want about 200", n)
	}
	if InRepoSplitOf("Acme/A", "t.py", "", "1") != InRepoSplitOf("acme/a", "t.py", "", "1") {
		t.Error("the case of a name matters")
	}
	// Benchmarks have been mined with these.
	for function, want := range map[string]Split{"test_13": Test, "test_0": Train, "test_21": Validation} {
		if got := InRepoSplitOf("acme/a", "t.py", "TestA", function); got != want {
			t.Errorf("%s: got %q, want %q", function, got, want)
		}
	}
}
