package gitrepo

import "errors"

// Errors that callers tell apart with errors.Is. The errors returned add what
// was being read and what to do about it.
var (
	// ErrEmpty: the repository has no commits.
	ErrEmpty = errors.New("repository has no commits")
	// ErrRef: a ref, tag or commit is unknown, ambiguous or malformed.
	ErrRef = errors.New("cannot resolve ref")
	// ErrMissingObject: an object is not in the object store, as in a shallow
	// or partial clone, or a damaged repository.
	ErrMissingObject = errors.New("object is missing from the repository")
	// ErrNotGit: history was asked of a source tree without git.
	ErrNotGit = errors.New("not a git repository")
	// ErrNoGit: there is no git program.
	ErrNoGit = errors.New("git is not installed or not in PATH")
	// ErrNetwork: a URL needs the network, which was not allowed.
	ErrNetwork = errors.New("network access is not allowed")
	// ErrFilter: a filter has a malformed glob.
	ErrFilter = errors.New("filter")
	// ErrArchive: a source archive is damaged, too large or hostile.
	ErrArchive = errors.New("bad source archive")
	// ErrChanged: a file of a plain source tree is no longer what it was when
	// the snapshot was taken.
	ErrChanged = errors.New("file changed while it was being read")
)
