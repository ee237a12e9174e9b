package hub

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	commitA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	commitB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// remote is a file on the fake hub.
type remote struct {
	data   []byte
	commit string
	etag   string // what the hub claims
	onCDN  bool   // the hub redirects to the content server
}

func lfs(data []byte) remote {
	sum := sha256.Sum256(data)
	return remote{data, commitA, hex.EncodeToString(sum[:]), true}
}

func regular(data []byte) remote {
	sum := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(data)), data...))
	return remote{data, commitA, hex.EncodeToString(sum[:]), false}
}

// fakeHub is a hub and a content server, which are two hosts. Requests are
// recorded as "hub HEAD PATH", with what follows when there is such a header:
// " range=…" and " auth=…".
type fakeHub struct {
	t        *testing.T
	hub, cdn *httptest.Server

	mu       sync.Mutex
	files    map[string]remote // by URL path on the hub
	requests []string
	// intercept, if set, may answer a request in place of the fake.
	intercept func(host string, w http.ResponseWriter, r *http.Request) bool
}

func newFakeHub(t *testing.T) *fakeHub {
	f := &fakeHub{t: t, files: map[string]remote{}}
	f.hub = httptest.NewServer(f.handler("hub"))
	f.cdn = httptest.NewServer(f.handler("cdn"))
	t.Cleanup(f.hub.Close)
	t.Cleanup(f.cdn.Close)
	return f
}

func (f *fakeHub) handler(host string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		line := host + " " + r.Method + " " + r.URL.EscapedPath()
		if v := r.Header.Get("Range"); v != "" {
			line += " range=" + v
		}
		if v := r.Header.Get("Authorization"); v != "" {
			line += " auth=" + v
		}
		f.mu.Lock()
		f.requests = append(f.requests, line)
		file, ok := f.files[r.URL.EscapedPath()]
		intercept := f.intercept
		f.mu.Unlock()
		if intercept != nil && intercept(host, w, r) {
			return
		}
		switch {
		case !ok:
			w.Header().Set("X-Error-Code", "EntryNotFound")
			w.Header().Set("X-Repo-Commit", commitA)
			w.WriteHeader(http.StatusNotFound)
		case host == "hub":
			f.answer(w, r, file)
		default:
			w.Header().Set("ETag", `"of-the-store"`)
			serve(w, r, file.data, len(file.data))
		}
	}
}

func (f *fakeHub) answer(w http.ResponseWriter, r *http.Request, file remote) {
	h := w.Header()
	h.Set("X-Repo-Commit", file.commit)
	h.Set("ETag", `W/"`+file.etag+`"`)
	if !file.onCDN {
		serve(w, r, file.data, len(file.data))
		return
	}
	h.Set("X-Linked-Etag", `"`+file.etag+`"`)
	h.Set("X-Linked-Size", strconv.Itoa(len(file.data)))
	h.Set("Location", f.cdn.URL+r.URL.EscapedPath()+"?signature=secret")
	w.WriteHeader(http.StatusFound)
}

// serve answers with data from where the request wants it, and breaks the
// connection when data[:until] has been sent.
func serve(w http.ResponseWriter, r *http.Request, data []byte, until int) {
	start := 0
	if v, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		start, _ = strconv.Atoi(strings.TrimSuffix(v, "-"))
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(data)-1, len(data)))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)-start))
	if start > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	if r.Method == http.MethodHead {
		return
	}
	w.Write(data[start:max(start, until)])
	if until < len(data) {
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func (f *fakeHub) set(path string, file remote) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files[path] = file
}

// log returns the requests so far that contain s, and how many there were.
func (f *fakeHub) log(s string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, r := range f.requests {
		if strings.Contains(r, s) {
			list = append(list, r)
		}
	}
	return list
}

func (f *fakeHub) client() *Client {
	return &Client{
		Endpoint: f.hub.URL, CacheDir: f.t.TempDir(), Token: "hf_secret",
		ETagTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, Retries: 3, Backoff: time.Millisecond,
	}
}

// noise returns n bytes that don't repeat.
func noise(n int) []byte {
	b := make([]byte, 0, n+sha256.Size)
	for sum := sha256.Sum256(nil); len(b) < n; sum = sha256.Sum256(sum[:]) {
		b = append(b, sum[:]...)
	}
	return b[:n]
}
