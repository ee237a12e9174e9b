package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// download completes blob + ".incomplete" and renames it, if the contents are
// as announced. The caller holds the lock.
func (t *transfer) download(ctx context.Context, m meta, blob string) (err error) {
	if err := os.MkdirAll(filepath.Dir(blob), 0o777); err != nil {
		return err
	}
	part := blob + ".incomplete"
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := newDigest(m, t.ref)
	resumed, err := prepare(f, m, sum)
	if err != nil {
		return err
	}
	t.done = resumed
	if m.size < 0 || resumed < m.size {
		if err := t.receive(ctx, m, f, sum, &resumed); err != nil {
			return err
		}
	}
	if err := sum.check(); err != nil {
		f.Close()
		_ = os.Remove(part) // it can't be completed to anything useful
		err = fmt.Errorf("%s of %s: %w", t.ref.Path, t.ref.Repo, err)
		if resumed > 0 { // its beginning may have been to blame
			t.reached = true
			return &temporaryError{err: err}
		}
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(part, blob)
}

// prepare reads what an earlier attempt has left in f into sum, and returns its
// length. Without a size to go by, and beyond it, nothing can be resumed.
func prepare(f *os.File, m meta, sum *digest) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if m.size < 0 || info.Size() > m.size {
		return 0, f.Truncate(0)
	}
	n, err := io.Copy(sum, f)
	return n, err
}

// receive requests what is missing after *offset and appends it to f and sum.
// *offset becomes 0 if the server sends everything from the beginning.
func (t *transfer) receive(ctx context.Context, m meta, f *os.File, sum *digest, offset *int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(t.ETagTimeout+t.ReadTimeout, func() { cancel(errStalled) })
	defer timer.Stop()
	resp, err := t.get(ctx, m, *offset)
	if err != nil {
		return stalled(ctx, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		if err := rewind(f, sum); err != nil {
			return err
		}
		*offset = 0
	case http.StatusPartialContent:
		if err := checkRange(resp, *offset, m.size); err != nil {
			return errors.Join(err, rewind(f, sum))
		}
	case http.StatusRequestedRangeNotSatisfiable:
		err := &temporaryError{err: fmt.Errorf("%s can't continue at byte %d", resp.Request.URL.Host, *offset)}
		return errors.Join(err, rewind(f, sum))
	default:
		return t.statusError(resp)
	}
	// The hub itself may have something newer than a moment ago.
	if resp.Header.Get("X-Repo-Commit") != "" && etagOf(resp.Header) != m.etag {
		return &temporaryError{err: fmt.Errorf("%s of %s has changed meanwhile", t.ref.Path, t.ref.Repo)}
	}
	return stalled(ctx, t.body(m, resp, f, sum, *offset, timer))
}

// rewind empties the file and its digest.
func rewind(f *os.File, sum *digest) error {
	sum.reset()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return f.Truncate(0)
}

// stalled replaces the error that comes of our own cancelling.
func stalled(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		return &temporaryError{err: fmt.Errorf("model hub: %w", errStalled)}
	}
	return err
}

// get requests the contents from offset on.
func (t *transfer) get(ctx context.Context, m meta, offset int64) (*http.Response, error) {
	client := &http.Client{Transport: t.transport(), CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if !t.isHub(req.URL) {
			req.Header.Del("Authorization")
		}
		if len(via) >= 10 {
			return errors.New("more than 10 redirects")
		}
		return nil
	}}
	req, err := t.request(ctx, http.MethodGet, m.location)
	if err != nil {
		return nil, err
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, t.netError(err, req.URL)
	}
	return resp, nil
}

// checkRange makes sure that partial content begins where ours ends.
func checkRange(resp *http.Response, offset, size int64) error {
	var start, end, total int64
	h := resp.Header.Get("Content-Range")
	n, err := fmt.Sscanf(strings.Replace(h, "/*", fmt.Sprintf("/%d", size), 1), "bytes %d-%d/%d", &start, &end, &total)
	if err != nil || n != 3 || start != offset || total != size {
		return &temporaryError{err: fmt.Errorf("%s answered with range %q, want bytes %d-%d/%d", resp.Request.URL.Host, h, offset, size-1, size)}
	}
	return nil
}

// body appends the body of an answer to f and sum.
func (t *transfer) body(m meta, resp *http.Response, f *os.File, sum *digest, offset int64, timer *time.Timer) error {
	src := &idleReader{resp.Body, timer, t.ReadTimeout}
	buf := make([]byte, 1<<18)
	t.done = offset
	t.progress(t.done, m.size)
	for {
		n, err := src.Read(buf)
		if m.size >= 0 && t.done+int64(n) > m.size {
			return fmt.Errorf("%s of %s: %w: more than the %d bytes announced", t.ref.Path, t.ref.Repo, ErrMismatch, m.size)
		}
		if _, err := f.Write(buf[:n]); err != nil {
			return err
		}
		sum.Write(buf[:n])
		t.done += int64(n)
		t.progress(t.done, m.size)
		if err == io.EOF {
			break
		}
		if err != nil {
			return t.netError(err, resp.Request.URL)
		}
	}
	if m.size >= 0 && t.done < m.size {
		return &temporaryError{err: fmt.Errorf("%s broke off after %d of %d bytes", resp.Request.URL.Host, t.done, m.size)}
	}
	return nil
}

// digest checks contents against what their ETag says they are: 64 hex digits
// are a SHA-256 (large files), 40 a git blob id, and anything else says
// nothing. The SHA-256 of a [Ref] is checked in any case.
type digest struct {
	m      meta
	ref    Ref
	sha256 hash.Hash
	sha1   hash.Hash // nil unless needed
	n      int64
}

func newDigest(m meta, ref Ref) *digest {
	d := &digest{m: m, ref: ref}
	d.reset()
	return d
}

func (d *digest) reset() {
	d.n = 0
	d.sha256 = sha256.New()
	d.sha1 = nil
	if len(d.m.etag) == 40 && commitRE.MatchString(d.m.etag) && d.m.size >= 0 {
		d.sha1 = sha1.New()
		fmt.Fprintf(d.sha1, "blob %d\x00", d.m.size)
	}
}

// Write never fails.
func (d *digest) Write(b []byte) (int, error) {
	d.n += int64(len(b))
	d.sha256.Write(b)
	if d.sha1 != nil {
		d.sha1.Write(b)
	}
	return len(b), nil
}

func (d *digest) check() error {
	if d.m.size >= 0 && d.n != d.m.size {
		return fmt.Errorf("%w: %d bytes, want %d", ErrMismatch, d.n, d.m.size)
	}
	sum := hex.EncodeToString(d.sha256.Sum(nil))
	for _, want := range []string{d.m.etag, d.ref.SHA256} {
		if len(want) == 64 && sum != want {
			return fmt.Errorf("%w: SHA-256 is %s, want %s", ErrMismatch, sum, want)
		}
	}
	if d.sha1 != nil {
		if id := hex.EncodeToString(d.sha1.Sum(nil)); id != d.m.etag {
			return fmt.Errorf("%w: git blob id is %s, want %s", ErrMismatch, id, d.m.etag)
		}
	}
	return nil
}
