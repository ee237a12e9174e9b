package gitrepo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ErrNotAncestor is returned by [Repo.History] when the commit to continue from
// isn't on the first-parent history, as after a forced push.
var ErrNotAncestor = errors.New("commit is not on the first-parent history")

// Change is what a commit did to one file, compared with its first parent.
type Change struct {
	// Status is git's letter: A added, M modified, D deleted, R renamed, C
	// copied, T of another type (a file became a link).
	Status  byte
	Path    string // with slashes; any bytes but NUL
	From    string // the path before, where Status is R or C
	Mode    string // "100644" and so on; "" for what was deleted
	Blob    string // id of the content; "" for what was deleted
	OldBlob string // id of the content before; "" for what was added
}

// Regular tells whether the change leaves a regular file, and not a link, a
// submodule or nothing.
func (c Change) Regular() bool { return strings.HasPrefix(c.Mode, "100") }

// Step is a commit with what it changed.
type Step struct {
	Commit
	Tree    string
	Changes []Change // in git's order, that of paths
}

// History calls fn with each commit that leads to ref along first parents,
// oldest first, and with what each changed; merges are compared with their first
// parent, the root commit with nothing. With from, which is a full id, it begins
// behind that commit and reads nothing of what is before; the error is
// [ErrNotAncestor] if from doesn't lead to ref. Renames are those that git finds
// with its default similarity; none in a commit for which that takes an object
// that isn't there. Memory is bounded by one commit. The first error
// of fn ends it.
func (r *Repo) History(ctx context.Context, ref, from string, fn func(Step) error) error {
	if r.git == nil {
		return fmt.Errorf("%s: %w, so it has no history", r.path, ErrNotGit)
	}
	id, err := r.resolve(ctx, ref)
	if err != nil {
		return fmt.Errorf("reading %s: %w", r.name, err)
	}
	if id == from {
		return nil
	}
	if from != "" {
		if !isHex(from) {
			return fmt.Errorf("history of %s: %w %q: want a full commit id", r.name, ErrRef, from)
		}
		if _, err := r.git.output(ctx, "cat-file", "-e", from+"^{commit}"); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("history of %s from %s: %w", r.name, from, ErrNotAncestor)
		}
	}
	last := from
	var stopped error // by fn
	step := func(s Step) error {
		if last != "" && (len(s.Parents) == 0 || s.Parents[0] != last) {
			return ErrNotAncestor
		}
		last = s.ID
		stopped = fn(s)
		return stopped
	}
	for {
		var cut string
		cut, err = r.steps(ctx, id, last, "-M", step)
		if stopped != nil || !isMissing(err) {
			break
		}
		// To find renames git reads contents, and a partial clone hasn't all of
		// them. The commit in which the output ended may be whole: git dies in
		// the next one before it has written anything of that.
		if cut != "" {
			_, err = r.steps(ctx, cut, last, "-M", step)
			if err == nil && last == cut {
				continue
			}
			if stopped != nil || err != nil && !isMissing(err) {
				break
			}
		}
		// This one commit has no renames.
		_, err = r.steps(ctx, id, last, "--no-renames", func(s Step) error {
			if err := step(s); err != nil {
				return err
			}
			return errOneStep
		})
		if !errors.Is(err, errOneStep) {
			break
		}
	}
	if err == nil && last != id { // ref is older than from
		err = ErrNotAncestor
	}
	if errors.Is(err, ErrNotAncestor) {
		return fmt.Errorf("history of %s at %s from %s: %w", r.name, id, from, err)
	}
	if err != nil {
		return fmt.Errorf("history of %s at %s: %w", r.name, id, err)
	}
	return nil
}

// errOneStep ends a history behind one commit.
var errOneStep = errors.New("one step is enough")

// steps runs git log behind a commit, or from the root on. If that ends early,
// cut is the id of the commit in which it did, and step isn't called for it.
func (r *Repo) steps(ctx context.Context, id, behind, renames string, step func(Step) error) (cut string, err error) {
	args := []string{"log", "-z", "--raw", "--no-abbrev", renames, "-l1000", "-m", "--first-parent", "--reverse", "--no-color",
		"--no-show-signature", "--no-mailmap", "--encoding=UTF-8", "--date=raw", "--format=" + stepMark + "%x00%H%x00%T%x00%P%x00%ad%x00%s", id}
	if behind != "" {
		args = append(args, "^"+behind)
	}
	var last *Step
	err = r.stream(ctx, nil, func(out io.Reader) (err error) {
		last, err = readSteps(bufio.NewReaderSize(out, 1<<16), step)
		return err
	}, append(args, "--")...)
	if last == nil {
		return "", err
	}
	if err != nil {
		return last.ID, err
	}
	return "", step(*last)
}

// isMissing tells whether git ended since an object isn't there.
func isMissing(err error) bool {
	var exit *gitError
	return errors.As(err, &exit) && slices.ContainsFunc([]string{"unable to read", "missing", "could not fetch", "promisor remote"},
		func(s string) bool { return strings.Contains(exit.stderr, s) })
}

// stepMark begins each commit in the output of git log. No entry of --raw can
// be equal to it.
const stepMark = "commit"

// readSteps reads git log -z --raw with a format of NUL-separated fields:
//
//	commit NUL ID NUL TREE NUL PARENTS NUL DATE NUL SUBJECT NUL
//	LF :OLDMODE MODE OLDID ID STATUS NUL PATH NUL [PATH NUL] :...
//
// It calls fn for each commit that another one follows. The last one it returns:
// only the exit status of the process tells that nothing of it is missing.
func readSteps(r *bufio.Reader, fn func(Step) error) (last *Step, err error) {
	next := fields(r)
	field, err := next()
	for {
		if errors.Is(err, io.EOF) && field == "" {
			return last, nil
		}
		if err != nil {
			return last, outputEnded(err)
		}
		if field != stepMark {
			return nil, fmt.Errorf("git log: field %q: want %q, the beginning of a commit", field, stepMark)
		}
		if last != nil {
			if err := fn(*last); err != nil {
				return nil, err
			}
			last = nil
		}
		var head [5]string
		for i := range head {
			if head[i], err = next(); err != nil {
				return nil, outputEnded(err)
			}
		}
		last = &Step{Commit: Commit{ID: head[0], Parents: strings.Fields(head[2]), Time: parseRawDate(head[3]),
			Subject: strings.ToValidUTF8(head[4], "\uFFFD")}, Tree: head[1]}
		if !isHex(last.ID) {
			return nil, fmt.Errorf("git log: commit id %q is not one of git's", last.ID)
		}
		for {
			if field, err = next(); err != nil {
				break
			}
			entry, ok := strings.CutPrefix(strings.TrimPrefix(field, "\n"), ":")
			if !ok {
				break
			}
			c, err := readChange(entry, next)
			if err != nil {
				return last, err
			}
			last.Changes = append(last.Changes, c)
		}
	}
}

// fields returns a function that reads up to the next NUL, which it drops. With an
// error it returns what came before that.
func fields(r *bufio.Reader) func() (string, error) {
	return func() (string, error) {
		s, err := r.ReadString(0)
		return strings.TrimSuffix(s, "\x00"), err
	}
}

// readChange parses "OLDMODE MODE OLDID ID STATUS" and reads the paths behind it.
func readChange(entry string, next func() (string, error)) (Change, error) {
	f := strings.Fields(entry)
	if len(f) != 5 || f[4] == "" {
		return Change{}, fmt.Errorf("git log: entry %q: want two modes, two ids and a status", entry)
	}
	c := Change{Status: f[4][0], Mode: f[1], Blob: f[3], OldBlob: f[2]}
	if c.Mode == "000000" {
		c.Mode = ""
	}
	for _, id := range []*string{&c.Blob, &c.OldBlob} {
		if strings.Trim(*id, "0") == "" {
			*id = ""
		} else if !isHex(*id) {
			return Change{}, fmt.Errorf("git log: entry %q: blob id %q is not one of git's", entry, *id)
		}
	}
	var err error
	if c.Path, err = next(); err != nil {
		return Change{}, outputEnded(err)
	}
	if c.Status == 'R' || c.Status == 'C' {
		c.From = c.Path
		if c.Path, err = next(); err != nil {
			return Change{}, outputEnded(err)
		}
	}
	return c, nil
}
