// Package follow carries the state of a repository along its commits, and keeps
// the states.
//
// [Update] continues from the newest commit on the first-parent history that
// has a state. After a commit that is one step; after a forced push or a rebase
// it is the merge base, since only commits of the new history are looked at, and
// the rest is replayed. States are found by commit, so branches share those of
// what they have in common, and so do clones. The order of commits is that of
// their parents; dates are never looked at.
//
// A state is stored as soon as it is reached, whole or not at all, and one
// process at a time works on a repository: whatever ends an update, the next one
// goes on from what was stored.
//
// # Drift
//
// A recurrence moves away from what it would know if it had been begun at a
// commit: it drifts. [Measure] tells how far, at the cost of a fresh state. What
// costs next to nothing is the churn since the anchor, the commit at which a
// state was begun:
//
//	churn = Σ bytes of changed sources / bytes of all sources, over commits since the anchor
//
// A state whose churn passes a threshold is begun anew, see [Policy]. The states
// of a follower that says it is [Exact] don't depend on the way to a commit. They
// never drift, and go from any commit to any other in one step.
package follow
