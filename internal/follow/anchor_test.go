package follow

import "testing"

// TestReplaced tells whoever replaces the states that others continue.
func TestReplaced(t *testing.T) {
	const text = "whoever shares the store"
	r := newRepo(t)
	r.commits("abc")
	j, _ := newJob(t, r)
	if res := update(t, j); noted(res, text) {
		t.Errorf("the first update: got notes %q", res.Notes)
	}
	r.commits("d")
	if res := update(t, j); noted(res, text) {
		t.Errorf("a state continued: got notes %q", res.Notes)
	}
	j.Fresh, j.From = true, ""
	if res := update(t, j); !noted(res, text) || len(res.Notes) != 1 {
		t.Errorf("a state replaced by one of another anchor: got notes %q, want one", res.Notes)
	}
	if res := update(t, j); noted(res, text) {
		t.Errorf("a state replaced by its equal: got notes %q", res.Notes)
	}
	j, f := newJob(t, r)
	f.exact = true
	update(t, j)
	r.commits("e")
	update(t, j)
	j.Fresh = true
	if res := update(t, j); noted(res, text) {
		t.Errorf("an exact follower: got notes %q", res.Notes)
	}
}
