package gitrepo

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// File is a file of a snapshot.
type File struct {
	Path     string // with slashes, relative to the root; any bytes but NUL
	BlobID   string // git's id of the content, in hexadecimal
	Size     int64  // in bytes, as stored
	Test     bool   // see IsTestPath
	Language string // see Language
}

// Recoded is a file that is not UTF-8 and was converted when it was read.
type Recoded struct {
	Path     string
	Encoding string // the one that the file declares
}

// Snapshot is the wanted files of a repository at one commit.
type Snapshot struct {
	Commit string // full id; "" for a plain source tree
	Tree   string // id of its tree; "" for a plain source tree
	Files  []File // by path, in the order of bytes

	repo          *Repo
	keepGenerated bool

	mu      sync.Mutex
	skipped map[string]Skip // by path
	recoded map[string]string
}

// Snapshot lists the files at ref: a branch, tag, full or abbreviated id, or
// an expression such as HEAD~3. An empty ref is HEAD; of a work tree too, so
// changes that are not committed are not seen. A branch that exists only at
// the remote called origin is found by its short name. A plain source tree
// has its files as they are on disk, and no refs.
func (r *Repo) Snapshot(ctx context.Context, ref string, f Filter) (*Snapshot, error) {
	m, err := f.compile()
	if err != nil {
		return nil, err
	}
	s := newSnapshot(r, f)
	if r.git == nil {
		if ref != "" {
			return nil, fmt.Errorf("%s: %w, so there is no ref %q", r.path, ErrNotGit, ref)
		}
		err = s.walk(ctx, m)
	} else {
		err = s.list(ctx, ref, m)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", r.name, err)
	}
	slices.SortFunc(s.Files, compareFiles)
	return s, nil
}

func newSnapshot(r *Repo, f Filter) *Snapshot {
	return &Snapshot{repo: r, keepGenerated: f.KeepGenerated, skipped: map[string]Skip{}, recoded: map[string]string{}}
}

func compareFiles(a, b File) int { return cmp.Compare(a.Path, b.Path) }

// Skipped returns what was left out so far, by path. It is complete when Each
// has read every file.
func (s *Snapshot) Skipped() []Skip {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Skip, 0, len(s.skipped))
	for _, skip := range s.skipped {
		list = append(list, skip)
	}
	slices.SortFunc(list, func(a, b Skip) int { return cmp.Compare(a.Path, b.Path) })
	return list
}

// Counts returns how many files were left out for each reason so far.
func (s *Snapshot) Counts() map[Reason]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := map[Reason]int{}
	for _, skip := range s.skipped {
		counts[skip.Reason]++
	}
	return counts
}

// Recoded returns the files that Each converted to UTF-8 so far, by path.
func (s *Snapshot) Recoded() []Recoded {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Recoded
	for p, e := range s.recoded {
		list = append(list, Recoded{p, e})
	}
	slices.SortFunc(list, func(a, b Recoded) int { return cmp.Compare(a.Path, b.Path) })
	return list
}

// Name is that of the repository, see [Repo.Name].
func (s *Snapshot) Name() string { return s.repo.Name() }

// Digest identifies the paths and contents of Files, for sources that have no
// commit: SHA-256, in hexadecimal, of "PATH NUL BLOBID NUL" of each.
func (s *Snapshot) Digest() string {
	h := sha256.New()
	for _, f := range s.Files {
		fmt.Fprintf(h, "%s\x00%s\x00", f.Path, f.BlobID)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (s *Snapshot) skip(path string, size int64, why Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skipped[path] = Skip{Path: path, Size: max(size, 0), Reason: why}
}

// newFile returns the entry of a wanted file.
func newFile(path, id string, size int64) File {
	return File{Path: path, BlobID: id, Size: size, Test: IsTestPath(path), Language: Language(path)}
}

// list fills s from the tree of a commit.
func (s *Snapshot) list(ctx context.Context, ref string, m *matcher) error {
	commit, err := s.repo.resolve(ctx, ref)
	if err != nil {
		return err
	}
	g := s.repo.git
	s.Commit = commit
	s.Tree, err = g.output(ctx, "rev-parse", "--verify", commit+"^{tree}")
	if err != nil {
		return fmt.Errorf("tree of commit %s: %w: %w", commit, ErrMissingObject, err)
	}
	err = s.repo.stream(ctx, nil, func(out io.Reader) error {
		r := bufio.NewReaderSize(out, 1<<16)
		for {
			line, err := r.ReadBytes(0)
			if errors.Is(err, io.EOF) && len(line) == 0 {
				return nil
			}
			if err != nil {
				return outputEnded(err)
			}
			e, err := parseTreeEntry(line[:len(line)-1])
			if err != nil {
				return err
			}
			if err := s.add(e, m); err != nil {
				return err
			}
		}
	}, "ls-tree", "-r", "-z", "--long", "--full-tree", s.Tree)
	var exit *gitError
	if errors.As(err, &exit) && strings.Contains(exit.stderr, "bad tree object") ||
		exit != nil && strings.Contains(exit.stderr, "not a tree object") {
		return fmt.Errorf("commit %s: %w (is the clone shallow, partial or damaged?): %w", commit, ErrMissingObject, err)
	}
	return err
}

// treeEntry is a line of git ls-tree --long.
type treeEntry struct {
	mode, kind, id string
	size           int64 // -1 if git doesn't know it
	path           string
}

// parseTreeEntry parses "MODE TYPE ID SIZE TAB PATH", where SIZE is padded,
// and "-" for what is not a blob or "BAD" for an object that is missing.
func parseTreeEntry(line []byte) (treeEntry, error) {
	meta, path, ok := bytes.Cut(line, []byte("\t"))
	fields := strings.Fields(string(meta))
	if !ok || len(fields) != 4 || len(path) == 0 {
		return treeEntry{}, fmt.Errorf("git ls-tree: line %q: want mode, type, id, size and path", line)
	}
	e := treeEntry{mode: fields[0], kind: fields[1], id: fields[2], size: -1, path: string(path)}
	if n, err := strconv.ParseInt(fields[3], 10, 64); err == nil && n >= 0 {
		e.size = n
	}
	return e, nil
}

// add files one entry of a tree under Files or among the skipped.
func (s *Snapshot) add(e treeEntry, m *matcher) error {
	why := Reason("")
	switch {
	case e.mode == "160000" || e.kind == "commit":
		why = ReasonSubmodule
	case e.mode == "120000":
		why = ReasonSymlink
	case e.kind != "blob":
		why = ReasonIrregular
	default:
		why = m.skip(e.path, e.size)
	}
	if why != "" {
		s.skip(e.path, e.size, why)
		return nil
	}
	if e.size < 0 {
		return missing(e.id, e.path)
	}
	s.Files = append(s.Files, newFile(e.path, e.id, e.size))
	return nil
}

func missing(id, path string) error {
	return fmt.Errorf("object %s of %q: %w (is the clone shallow, partial or damaged? try git fetch --unshallow or --refetch)", id, path, ErrMissingObject)
}

// outputEnded is for errors of reading where more of git's output was due.
func outputEnded(err error) error { return fmt.Errorf("%w: %w", errOutputEnded, err) }
