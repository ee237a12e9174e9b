package evolve

import (
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/gitrepo"
)

// TestRepresentation checks that the way to an adapter through a representation
// is the direct one.
func TestRepresentation(t *testing.T) {
	f, r := newFollower(t, nil), sample(t)
	all := states(t, f, r)
	inputs := map[string]bool{}
	for _, i := range []int{0, 3} {
		want, err := f.Adapter(all[i])
		if err != nil {
			t.Fatal(err)
		}
		rep, err := f.Representation(all[i])
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Generate(rep)
		if err != nil {
			t.Fatal(err)
		}
		for m, p := range want.Pairs() {
			if q := got.Pairs()[m]; !slices.Equal(p.A, q.A) || !slices.Equal(p.B, q.B) {
				t.Errorf("state %d: another adapter through its representation", i)
			}
		}
		inputs[rep.Input] = true
	}
	if len(inputs) != 2 {
		t.Error("two states have one name of input")
	}
}

// TestFiltered checks that what a filter excludes leaves no trace in a state,
// neither through the tree at its beginning nor through later diffs.
func TestFiltered(t *testing.T) {
	with := func(secret string) *gitrepo.Repo {
		return history(t,
			map[string]string{"a.py": code(1, 9), "secret.py": secret + code(7, 3), "tests/test_a.py": "assert 1 == 1\n"},
			map[string]string{"a.py": code(2, 9), "secret.py": code(8, 4) + secret, "tests/test_a.py": "assert 2 == 2\n"},
		)
	}
	one, other := with("answer = 4711\n"), with("nothing = None\n\ndef more(): pass\n")
	last := func(f *Recurrent, r *gitrepo.Repo) string {
		all := states(t, f, r)
		rep, err := f.Representation(all[len(all)-1])
		if err != nil {
			t.Fatal(err)
		}
		return rep.Input
	}
	f := newFollower(t, nil)
	if last(f, one) == last(f, other) {
		t.Fatal("the file makes no difference: the test compares nothing")
	}
	filtered, err := f.Filtered(gitrepo.Filter{Exclude: []string{"/secret.py"}})
	if err != nil {
		t.Fatal(err)
	}
	if filtered.ID() == f.ID() {
		t.Errorf("both are called %q", f.ID())
	}
	// In this order, f has put its own vectors of diffs into the cache.
	if got, want := last(filtered.(*Recurrent), one), last(filtered.(*Recurrent), other); got != want {
		t.Errorf("the excluded file can be told from the state: %s and %s", got, want)
	}
	if _, err := f.Filtered(gitrepo.Filter{Exclude: []string{"[a"}}); err == nil || !strings.Contains(err.Error(), "[a") {
		t.Errorf("a malformed glob: got %v", err)
	}
}
