// Package gitrepo reads the files of a repository at a commit, and its
// commits, without checking anything out.
//
// [Open] takes what a person would name: a work tree, a bare repository, a
// git directory, a URL (cloned bare into a cache, if the network is allowed),
// a source tree without git, or a source archive (.tar.gz, .zip). What follows
// is the same for all of them:
//
//	repo, err := gitrepo.Open(ctx, "path/or/url", gitrepo.Options{})
//	defer repo.Close()
//	snap, err := repo.Snapshot(ctx, "v3.0.0", gitrepo.Filter{SkipTests: true})
//	err = snap.Each(ctx, snap.Files, func(f gitrepo.File, text []byte) error { ... })
//	for _, s := range snap.Skipped() { ... } // everything that was left out, and why
//
// A [Snapshot] lists files by what the tree says about them: path, mode and
// size. What only the content can tell (binary, generated, not UTF-8, blank)
// is found in [Snapshot.Each], which then does not call back and adds the file
// to [Snapshot.Skipped]. So the list of skips is complete once Each has seen
// all files. Memory stays bounded by one blob: contents are streamed from one
// `git cat-file --batch`.
//
// Blob ids are git's, also for files that are in no repository, so a cache
// keyed by them works across all kinds of source.
//
// # Trust
//
// A repository is data from a stranger. Git runs with --git-dir and thus
// without discovery, ignoring the caller's GIT_ variables and configuration;
// hooks, the file system monitor, replace refs, grafts, lazy fetching and terminal
// prompts are off. Refs that begin with "-" are refused. Symbolic links are
// never followed, and archives cannot write outside their own temporary
// directory.
//
// docs/adr/0003-git-access.md says why the git program is used and not a
// library.
package gitrepo
