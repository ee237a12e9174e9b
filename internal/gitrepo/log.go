package gitrepo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Commit is one commit of a history.
type Commit struct {
	ID      string
	Parents []string  // the first is the one that Log follows
	Time    time.Time // author's, in the author's time zone; zero if the commit has none
	Subject string    // first paragraph of the message on one line, in UTF-8
}

// Log returns the commits that lead to ref along first parents, oldest first.
// If max is positive, only the newest max of them. In a shallow clone the
// history begins where it was cut; see [Repo.Shallow].
func (r *Repo) Log(ctx context.Context, ref string, max int) ([]Commit, error) {
	if r.git == nil {
		return nil, fmt.Errorf("%s: %w, so it has no history", r.path, ErrNotGit)
	}
	id, err := r.resolve(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", r.name, err)
	}
	args := []string{"log", "-z", "--first-parent", "--no-color", "--no-show-signature", "--no-mailmap",
		"--encoding=UTF-8", "--date=raw", "--format=%H%x00%P%x00%ad%x00%s"}
	if max > 0 {
		args = append(args, "--max-count="+strconv.Itoa(max))
	}
	var commits []Commit
	err = r.git.stream(ctx, nil, func(out io.Reader) error {
		b := bufio.NewReaderSize(out, 1<<16)
		for {
			var field [4]string
			for i := range field {
				s, err := b.ReadString(0)
				if errors.Is(err, io.EOF) && i == 0 && s == "" {
					return nil
				}
				if err != nil {
					return outputEnded(err)
				}
				field[i] = s[:len(s)-1]
			}
			commits = append(commits, Commit{
				ID:      field[0],
				Parents: strings.Fields(field[1]),
				Time:    parseRawDate(field[2]),
				Subject: strings.ToValidUTF8(field[3], "\uFFFD"),
			})
		}
	}, append(args, id, "--")...)
	if err != nil {
		return nil, fmt.Errorf("history of %s at %s: %w", r.name, id, err)
	}
	slices.Reverse(commits)
	return commits, nil
}

// parseRawDate parses git's "SECONDS +hhmm". Commits with a broken date exist;
// they have the zero time.
func parseRawDate(s string) time.Time {
	seconds, zone, _ := strings.Cut(s, " ")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}
	}
	t := time.Unix(n, 0).UTC()
	hhmm, err := strconv.Atoi(zone)
	if err != nil || hhmm == 0 {
		return t
	}
	return t.In(time.FixedZone("", (hhmm/100)*3600+(hhmm%100)*60))
}

// Shallow tells whether the history was cut when the repository was cloned.
// As git does, it looks whether there is a file of where.
func (r *Repo) Shallow(ctx context.Context) (bool, error) {
	if r.git == nil {
		return false, nil
	}
	if err := ctx.Err(); err != nil {
		return false, context.Cause(ctx)
	}
	common, err := r.CommonDir()
	if err != nil {
		return false, err
	}
	_, err = os.Stat(filepath.Join(common, "shallow"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// resolve returns the full id of the commit that ref names.
func (r *Repo) resolve(ctx context.Context, ref string) (string, error) {
	if ref == "" {
		ref = "HEAD"
	}
	if strings.HasPrefix(ref, "-") || strings.ContainsAny(ref, "\x00\n") {
		return "", fmt.Errorf("%w %q: a ref doesn't begin with \"-\" nor contain line breaks", ErrRef, ref)
	}
	id, err := r.git.output(ctx, "rev-parse", "--verify", ref+"^{commit}")
	if err == nil && isHex(id) {
		return id, nil
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if id, err := r.git.output(ctx, "rev-parse", "--verify", "--quiet", "refs/remotes/origin/"+ref+"^{commit}"); err == nil && isHex(id) {
		return id, nil
	}
	return "", r.explain(ctx, ref, err)
}

// explain finds out why ref could not be resolved.
func (r *Repo) explain(ctx context.Context, ref string, cause error) error {
	refs, err := r.git.output(ctx, "for-each-ref", "--count=5", "--format=%(refname:short)")
	if err != nil {
		return err
	}
	id, err := r.git.output(ctx, "rev-parse", "--verify", "--quiet", ref)
	found := err == nil && isHex(id)
	if found {
		kind, err := r.git.output(ctx, "cat-file", "-t", id)
		if err != nil {
			return fmt.Errorf("%w %q: commit %s: %w (is the clone shallow, partial or damaged?)", ErrRef, ref, id, ErrMissingObject)
		}
		return fmt.Errorf("%w %q: it is a %s, not a commit", ErrRef, ref, kind)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if refs == "" {
		return fmt.Errorf("%s: %w: commit something first, or read the files as a plain source tree", r.path, ErrEmpty)
	}
	hint := "known are, among others, " + strings.ReplaceAll(refs, "\n", ", ")
	if shallow, err := r.Shallow(ctx); err == nil && shallow {
		hint += "; the clone is shallow, git fetch --unshallow gets the rest"
	}
	var exit *gitError
	if errors.As(cause, &exit) && strings.Contains(exit.stderr, "ambiguous") {
		hint = exit.stderr
	}
	return fmt.Errorf("%w %q: %s", ErrRef, ref, hint)
}
