package gitrepo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
)

// pipe is a git process that is asked a line at a time.
type pipe struct {
	ctx    context.Context
	what   string
	cmd    *exec.Cmd
	stop   context.CancelFunc
	in     io.WriteCloser
	out    *bufio.Reader
	stderr tail
}

func (g *git) pipe(ctx context.Context, args ...string) (*pipe, error) {
	child, stop := context.WithCancel(ctx)
	p := &pipe{ctx: ctx, what: args[0], cmd: g.command(child, false, args...), stop: stop, stderr: tail{max: 4096}}
	p.cmd.Stderr = &p.stderr
	fail := func(err error) (*pipe, error) {
		stop()
		return nil, fmt.Errorf("git %s: %w", args[0], err)
	}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return fail(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return fail(err)
	}
	p.out = bufio.NewReaderSize(out, 1<<16)
	if err := p.cmd.Start(); err != nil {
		return fail(err)
	}
	return p, nil
}

// close ends the process.
func (p *pipe) close() error {
	p.in.Close()
	p.stop()
	p.cmd.Wait() // killed on purpose
	return nil
}

// broken explains an error of talking to the process by what it said before it
// died. The process can't be asked again.
func (p *pipe) broken(err error) error {
	p.in.Close()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if exit := wrap(p.ctx, p.what, &p.stderr, p.cmd.Wait()); exit != nil {
			return exit
		}
	}
	p.close()
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	return fmt.Errorf("git %s: %w", p.what, err)
}

// ErrTooLarge is returned for a blob of more bytes than the caller wants.
var ErrTooLarge = errors.New("blob is too large")

// Blobs reads blobs by their ids, in any order, from one process. It is not for
// concurrent use.
type Blobs struct {
	repo *Repo
	p    *pipe
}

// Blobs starts a reader of blobs. It has to be closed.
func (r *Repo) Blobs(ctx context.Context) (*Blobs, error) {
	if r.git == nil {
		return nil, fmt.Errorf("%s: %w, so it has no objects", r.path, ErrNotGit)
	}
	p, err := r.pipe(ctx, "cat-file", "--batch")
	if err != nil {
		return nil, err
	}
	return &Blobs{r, p}, nil
}

// Read returns a blob as stored. One of more than max bytes isn't kept, and
// gives [ErrTooLarge]; one that isn't there gives [ErrMissingObject]. The reader
// can be used after both.
func (b *Blobs) Read(id string, max int64) ([]byte, error) {
	if !isHex(id) {
		return nil, fmt.Errorf("reading %s: blob id %q is not one of git's", b.repo.name, id)
	}
	if _, err := io.WriteString(b.p.in, id+"\n"); err != nil {
		return nil, b.p.broken(err)
	}
	line, err := b.p.out.ReadString('\n')
	if err != nil {
		return nil, b.p.broken(err)
	}
	f := strings.Fields(line)
	if len(f) == 2 && f[1] == "missing" {
		return nil, fmt.Errorf("blob %s of %s: %w (is the clone shallow, partial or damaged?)", id, b.repo.name, ErrMissingObject)
	}
	if len(f) != 3 || f[0] != id {
		return nil, b.p.broken(fmt.Errorf("answered %q, want object %s", strings.TrimSpace(line), id))
	}
	size, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil || size < 0 {
		return nil, b.p.broken(fmt.Errorf("answered size %q for object %s", f[2], id))
	}
	if f[1] != "blob" || size > max {
		if _, err := b.p.out.Discard(int(size) + 1); err != nil {
			return nil, b.p.broken(err)
		}
		if f[1] != "blob" {
			return nil, fmt.Errorf("reading %s: object %s is a %s, want a blob", b.repo.name, id, f[1])
		}
		return nil, fmt.Errorf("blob %s of %s has %d bytes: %w, at most %d are read", id, b.repo.name, size, ErrTooLarge, max)
	}
	raw := make([]byte, size+1)
	if _, err := io.ReadFull(b.p.out, raw); err != nil {
		return nil, b.p.broken(err)
	}
	return raw[:size:size], nil
}

// Close ends the process.
func (b *Blobs) Close() error { return b.p.close() }
