package gitrepo

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The ids of the tree without entries, in repositories of SHA-1 and of SHA-256.
const (
	emptyTree1   = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
	emptyTree256 = "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"
)

// Diffs gives the differences between trees as text, from one process. It is
// not for concurrent use.
type Diffs struct {
	repo *Repo
	p    *pipe
}

// Diffs starts a reader of differences. It has to be closed.
func (r *Repo) Diffs(ctx context.Context) (*Diffs, error) {
	if r.git == nil {
		return nil, fmt.Errorf("%s: %w, so it has no objects", r.path, ErrNotGit)
	}
	p, err := r.git.pipe(ctx, "diff-tree", "--stdin", "-r", "-p", "-U3", "-M", "-l1000", "--full-index", "--no-color",
		"--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", "--diff-algorithm=myers", "--no-relative")
	if err != nil {
		return nil, err
	}
	return &Diffs{r, p}, nil
}

// diffEnd is echoed by git diff-tree, which does so with what is no object id.
// In a diff no line begins like this one.
const diffEnd = "!end of diff\n"

// Between returns the unified diff from one tree to another, with three lines
// of context, for the files that keep wants by their new path; from "" it is all
// of the other tree. Of more than max bytes it returns whole lines of the first
// max, and cut is true; the rest isn't kept in memory.
func (d *Diffs) Between(from, to string, max int, keep func(path string) bool) (text string, cut bool, err error) {
	if from == "" {
		from = emptyTree1
		if len(to) == len(emptyTree256) {
			from = emptyTree256
		}
	}
	if !isHex(from) || !isHex(to) {
		return "", false, fmt.Errorf("diff in %s of %q and %q: want two tree ids", d.repo.name, from, to)
	}
	if _, err := io.WriteString(d.p.in, from+" "+to+"\n"+diffEnd); err != nil {
		return "", false, d.p.broken(err)
	}
	var b strings.Builder
	wanted, first, begin := false, true, true
	for {
		line, err := d.p.out.ReadSlice('\n')
		full := err == nil // a long line comes in several pieces
		if err != nil && len(line) == 0 {
			return "", false, d.p.broken(err)
		}
		switch {
		case begin && string(line) == diffEnd:
			text = b.String()
			if cut {
				text = text[:strings.LastIndexByte(text, '\n')+1]
			}
			return text, cut, nil
		case begin && first: // the ids, echoed
			first = false
		case begin && strings.HasPrefix(string(line), "diff --git "):
			wanted = keep(newPath(strings.TrimSuffix(string(line), "\n")))
			fallthrough
		default:
			if wanted && b.Len()+len(line) > max {
				wanted, cut = false, true
				max = -1
			}
			if wanted {
				b.Write(line)
			}
		}
		begin = full
	}
}

// newPath returns the new path in a line "diff --git a/OLD b/NEW". Where the
// paths have blanks, both are the same unless a file was renamed.
func newPath(line string) string {
	rest := strings.TrimPrefix(line, "diff --git ")
	if strings.HasSuffix(rest, `"`) {
		if at := strings.LastIndex(rest, ` "b/`); at >= 0 {
			if p, err := strconv.Unquote(rest[at+1:]); err == nil {
				return p[2:]
			}
		}
		return ""
	}
	if n := len(rest) / 2; len(rest)%2 == 1 && rest[n] == ' ' && strings.HasPrefix(rest[n+1:], "b/") && rest[2:n] == rest[n+3:] {
		return rest[n+3:]
	}
	if at := strings.LastIndex(rest, " b/"); at >= 0 {
		return rest[at+3:]
	}
	return ""
}

// Close ends the process.
func (d *Diffs) Close() error { return d.p.close() }
