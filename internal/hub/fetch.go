package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// Progress is told how many bytes of a file are there, and how many it has; -1
// if the hub does not say.
type Progress func(done, total int64)

// File returns the path of a file in the cache, downloading it if it is not
// there. progress may be nil.
func (c *Client) File(ctx context.Context, ref Ref, progress Progress) (string, error) {
	if path, ok := c.Cached(ref); ok {
		return path, nil
	}
	return c.Fetch(ctx, ref, progress)
}

// Fetch asks the hub what the file is now, downloads it unless the cache has
// just that, and returns its path. Answers that may be better next time are
// retried, but not a hub that can't be reached at all.
func (c *Client) Fetch(ctx context.Context, ref Ref, progress Progress) (string, error) {
	ref, err := ref.withDefaults()
	if err != nil {
		return "", err
	}
	if c.Offline {
		return "", fmt.Errorf("%s of %s: %w: HF_HUB_OFFLINE is set", ref.Path, ref.Repo, ErrOffline)
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	t := &transfer{Client: c, ref: ref, progress: progress}
	wait := c.Backoff
	for failures, high := 0, int64(0); ; {
		path, err := t.attempt(ctx)
		if err == nil {
			return path, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		var temporary *temporaryError
		if !errors.As(err, &temporary) || !t.reached {
			return "", err
		}
		if t.done > high { // bounded by the size, as only new heights count
			high, failures, wait = t.done, 0, c.Backoff
		}
		if failures++; failures > c.Retries {
			return "", fmt.Errorf("%w (after %d attempts without progress)", err, failures)
		}
		if err := sleep(ctx, max(wait, temporary.after)); err != nil {
			return "", err
		}
		wait = min(2*wait, 30*time.Second)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// temporaryError marks what may go better next time.
type temporaryError struct {
	err   error
	after time.Duration // not before
}

func (e *temporaryError) Error() string { return e.err.Error() }
func (e *temporaryError) Unwrap() error { return e.err }

// transfer is one call of [Client.Fetch].
type transfer struct {
	*Client
	ref      Ref
	progress Progress
	reached  bool  // some server has answered
	done     int64 // bytes of the file after the last attempt
}

// meta is what the hub says about a file.
type meta struct {
	commit, etag string
	size         int64  // -1: not told
	location     string // URL of the contents
}

func (t *transfer) attempt(ctx context.Context) (string, error) {
	m, err := t.head(ctx)
	if err != nil {
		return "", err
	}
	if t.ref.SHA256 != "" && len(m.etag) == 64 && m.etag != t.ref.SHA256 {
		return "", fmt.Errorf("%s of %s: %w: its SHA-256 is %s, want %s", t.ref.Path, t.ref.Repo, ErrMismatch, m.etag, t.ref.SHA256)
	}
	unlock, err := t.lock(ctx, m.etag)
	if err != nil {
		return "", err
	}
	defer unlock()
	path := t.path(t.ref, "snapshots", m.commit, t.ref.Path)
	if ok, err := blobState(path, m, t.ref); ok && err == nil { // also where there are no links
		return path, t.writeRef(t.ref, m.commit)
	}
	blob := t.path(t.ref, "blobs", m.etag)
	had, err := blobState(blob, m, t.ref)
	if err != nil {
		return "", err
	}
	if !had {
		if err := t.download(ctx, m, blob); err != nil {
			return "", err
		}
	}
	path, err = t.link(t.ref, m.commit, blob, !had)
	if err != nil {
		return "", err
	}
	return path, t.writeRef(t.ref, m.commit)
}

// lock excludes everybody else, Python tools included, from writing the blob.
func (t *transfer) lock(ctx context.Context, etag string) (unlock func(), err error) {
	path := filepath.Join(t.CacheDir, ".locks", t.repoFolder(t.ref), etag+".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	l := flock.New(path, flock.SetPermissions(0o666))
	if _, err := l.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		return nil, fmt.Errorf("waiting for lock %s: %w", path, err)
	}
	return func() { l.Unlock() }, nil
}

// head asks for the metadata of the file. Redirects within the hub (a
// repository that was renamed) are followed; a redirect to elsewhere is where
// the contents are, and the answer itself has the metadata.
func (t *transfer) head(ctx context.Context) (meta, error) {
	ctx, cancel := context.WithTimeout(ctx, t.ETagTimeout)
	defer cancel()
	client := &http.Client{Transport: t.transport(), CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	const maxRedirects = 5
	at := t.url(t.ref)
	for range maxRedirects {
		req, err := t.request(ctx, http.MethodHead, at)
		if err != nil {
			return meta{}, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return meta{}, t.netError(err, req.URL)
		}
		resp.Body.Close()
		t.reached = true
		location, err := resp.Location()
		if resp.StatusCode/100 == 3 && err == nil {
			if raw, err := url.Parse(resp.Header.Get("Location")); err == nil && raw.Host == "" {
				at = location.String()
				continue
			}
			return parseMeta(resp, location.String(), -1)
		}
		if resp.StatusCode != http.StatusOK {
			return meta{}, t.statusError(resp)
		}
		return parseMeta(resp, at, resp.ContentLength)
	}
	return meta{}, fmt.Errorf("%s: more than %d redirects", t.Endpoint, maxRedirects)
}

// parseMeta reads the metadata headers. The names of files depend on them, so
// they must be well-formed.
func parseMeta(resp *http.Response, location string, length int64) (meta, error) {
	h := resp.Header
	m := meta{commit: h.Get("X-Repo-Commit"), etag: etagOf(h), size: length, location: location}
	host := resp.Request.URL.Host
	if !commitRE.MatchString(m.commit) {
		return meta{}, fmt.Errorf("%s: header X-Repo-Commit is %q, want a commit: it is not a model hub, or a proxy drops headers", host, m.commit)
	}
	if !etagRE.MatchString(m.etag) {
		return meta{}, fmt.Errorf("%s: header ETag is %q, want a digest", host, m.etag)
	}
	if s := h.Get("X-Linked-Size"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 {
			return meta{}, fmt.Errorf("%s: header X-Linked-Size is %q, want a size", host, s)
		}
		m.size = n
	}
	return m, nil
}

// etagOf returns the digest that names the blob, without decoration.
func etagOf(h http.Header) string {
	tag := h.Get("X-Linked-Etag")
	if tag == "" {
		tag = h.Get("ETag")
	}
	return strings.Trim(strings.TrimPrefix(tag, "W/"), `"`)
}

// request makes a request with the headers that the protocol wants. The token
// goes to the hub itself only.
func (c *Client) request(ctx context.Context, method, at string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, at, nil)
	if err != nil {
		return nil, fmt.Errorf("hub request: %w", err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "code2lora")
	if c.Token != "" && c.isHub(req.URL) {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	return req, nil
}

// isHub reports whether u is on the hub, over the same scheme.
func (c *Client) isHub(u *url.URL) bool {
	hub, err := url.Parse(c.Endpoint)
	return err == nil && u.Scheme == hub.Scheme && strings.EqualFold(u.Host, hub.Host)
}

// connectTimeout is short, so that without network the next source gets its
// turn soon.
const connectTimeout = 5 * time.Second

func (c *Client) transport() http.RoundTripper {
	if c.Transport != nil {
		return c.Transport
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}).DialContext
	t.TLSHandshakeTimeout = connectTimeout
	t.ResponseHeaderTimeout = c.ETagTimeout
	t.DisableKeepAlives = true // a transport per request must not keep connections
	return t
}

// netError describes a request that got no answer. The URL is left out, since
// that of a content server is signed and as good as a password.
func (t *transfer) netError(err error, at *url.URL) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return &temporaryError{err: fmt.Errorf("model hub at %s: %w", at.Host, err)}
}

// statusError turns an answer that is not the file into an error.
func (t *transfer) statusError(resp *http.Response) error {
	h := resp.Header
	e := &StatusError{
		Status: resp.StatusCode, Code: h.Get("X-Error-Code"), Message: h.Get("X-Error-Message"), Host: resp.Request.URL.Host,
		ref: t.ref, endpoint: t.Endpoint, token: t.Token != "",
	}
	if commit := h.Get("X-Repo-Commit"); e.Code == "EntryNotFound" && commitRE.MatchString(commit) {
		_ = t.writeMissing(t.ref, commit) // a help for other tools, not the answer
	}
	if e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout || e.Status >= 500 {
		after, _ := strconv.Atoi(h.Get("Retry-After"))
		const longest = 60
		return &temporaryError{err: e, after: time.Duration(min(max(after, 0), longest)) * time.Second}
	}
	return e
}

// errStalled is the reason for giving up on an answer that has stopped.
var errStalled = errors.New("no data for too long")

// idleReader cancels its request when nothing has come for a while.
type idleReader struct {
	io.Reader
	timer *time.Timer
	d     time.Duration
}

func (r *idleReader) Read(b []byte) (int, error) {
	r.timer.Reset(r.d)
	return r.Reader.Read(b)
}
