package follow

import "context"

// replacing notes, once, that the state which is about to be stored replaces one
// that was begun elsewhere. The key doesn't tell the two apart, and an exact
// follower's are equal.
func (r *run) replacing(ctx context.Context) {
	if r.result.Exact || r.replaced {
		return
	}
	old, ok, err := r.Store.Has(ctx, r.entry.Key)
	if err != nil || !ok || old.Anchor == r.entry.Anchor {
		return // what can't be read is no loss
	}
	r.replaced = true
	r.note("the stored state of %.12s, begun at %.12s, is replaced by one begun at %.12s, and so may those of later commits be: whoever shares the store continues from these",
		r.entry.Commit, old.Anchor, r.entry.Anchor)
}
