package hub

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var ctx = context.Background()

const modelURL = "/o/n/resolve/main/m.gguf"

var modelRef = Ref{Repo: "o/n", Path: "m.gguf"}

func wantFile(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes that differ from the %d wanted", path, len(got), len(want))
	}
}

func wantNoIncomplete(t *testing.T, c *Client) {
	t.Helper()
	if left, _ := filepath.Glob(filepath.Join(c.CacheDir, "*", "blobs", "*.incomplete")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFetchLayout(t *testing.T) {
	f := newFakeHub(t)
	big, small := noise(300_000), []byte("{}\n")
	f.set(modelURL, lfs(big))
	f.set("/o/n/resolve/refs%2Fpr%2F1/sub/a%20b.json", regular(small))
	c := f.client()

	var last, total int64
	path, err := c.File(ctx, modelRef, func(d, n int64) { last, total = d, n })
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, big)
	if last != 300_000 || total != 300_000 {
		t.Errorf("progress ended at %d of %d, want 300000 of 300000", last, total)
	}
	nested, err := c.File(ctx, Ref{Repo: "o/n", Revision: "refs/pr/1", Path: "sub/a b.json"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, nested, small)
	wantNoIncomplete(t, c)

	root := filepath.Join(c.CacheDir, "models--o--n")
	for link, want := range map[string]string{
		"snapshots/" + commitA + "/m.gguf":       "../../blobs/" + lfs(big).etag,
		"snapshots/" + commitA + "/sub/a b.json": "../../../blobs/" + regular(small).etag,
	} {
		if got, err := os.Readlink(filepath.Join(root, link)); err != nil || got != want {
			t.Errorf("link %s: got %q, %v, want %q", link, got, err, want)
		}
	}
	wantFile(t, filepath.Join(root, "refs", "main"), []byte(commitA))
	wantFile(t, filepath.Join(root, "refs", "refs", "pr", "1"), []byte(commitA))
	if _, err := os.Stat(filepath.Join(c.CacheDir, ".locks", "models--o--n", lfs(big).etag+".lock")); err != nil {
		t.Error(err)
	}

	if got := f.log("cdn"); len(got) != 1 || strings.Contains(got[0], "auth=") {
		t.Errorf("content server saw %q, want one request without token", got)
	}
	for _, r := range f.log("hub") {
		if !strings.HasSuffix(r, "auth=Bearer hf_secret") {
			t.Errorf("hub saw %q, want the token", r)
		}
	}

	before := len(f.log(""))
	c.Offline = true
	for _, ref := range []Ref{modelRef, {Repo: "o/n", Revision: commitA, Path: "m.gguf"}} {
		if again, err := c.File(ctx, ref, nil); err != nil || again != path {
			t.Errorf("cached %v: got %q, %v, want %q", ref, again, err, path)
		}
	}
	if n := len(f.log("")); n != before {
		t.Errorf("%d requests for cached files, want 0", n-before)
	}
	if _, err := c.File(ctx, Ref{Repo: "o/n", Path: "other"}, nil); !errors.Is(err, ErrOffline) {
		t.Errorf("offline: got %v, want ErrOffline", err)
	}
}

func TestFetchAgain(t *testing.T) {
	f := newFakeHub(t)
	data := noise(1000)
	f.set(modelURL, lfs(data))
	c := f.client()
	path, err := c.Fetch(ctx, modelRef, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Fetch(ctx, modelRef, nil); err != nil || len(f.log("GET")) != 1 {
		t.Errorf("unchanged: got %v and %d downloads, want 1", err, len(f.log("GET")))
	}
	newer := lfs(noise(1200))
	newer.commit = commitB
	f.set(modelURL, newer)
	path2, err := c.Fetch(ctx, modelRef, nil)
	if err != nil || path2 == path {
		t.Fatalf("changed: got %q, %v, want another path than %q", path2, err, path)
	}
	wantFile(t, path2, newer.data)
	wantFile(t, path, data)

	// A damaged blob is noticed at once by its size, and by its contents when
	// the caller knows what they must be.
	ref := modelRef
	ref.SHA256 = newer.etag
	for _, damaged := range [][]byte{newer.data[:5], make([]byte, 1200)} {
		if err := os.WriteFile(path2, damaged, 0o666); err != nil { // through the link
			t.Fatal(err)
		}
		if _, err := c.Fetch(ctx, ref, nil); err != nil {
			t.Fatal(err)
		}
		wantFile(t, path2, newer.data)
	}
}

func TestResume(t *testing.T) {
	data := noise(100_000)
	tests := []struct {
		name   string
		ranges []string // of the requests for contents
		serve  func(n int, w http.ResponseWriter, r *http.Request)
	}{
		{"breaks twice", []string{"", "bytes=40000-", "bytes=70000-"}, func(n int, w http.ResponseWriter, r *http.Request) {
			serve(w, r, data, []int{40_000, 70_000, 100_000}[n])
		}},
		{"breaks often, but gets on", []string{"", "bytes=10000-", "bytes=20000-", "bytes=30000-", "bytes=40000-", "bytes=50000-", "bytes=60000-", "bytes=70000-"},
			func(n int, w http.ResponseWriter, r *http.Request) {
				serve(w, r, data, []int{10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 70_000, 100_000}[n])
			}},
		{"ignores ranges", []string{"", "bytes=40000-"}, func(n int, w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			serve(w, r, data, []int{40_000, 100_000}[n])
		}},
		{"refuses the range", []string{"", "bytes=40000-", ""}, func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			serve(w, r, data, []int{40_000, 0, 100_000}[n])
		}},
		{"another range", []string{"", "bytes=40000-", ""}, func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				r.Header.Set("Range", "bytes=39999-")
			}
			serve(w, r, data, []int{40_000, 100_000, 100_000}[n])
		}},
		{"server error", []string{"", "", ""}, func(n int, w http.ResponseWriter, r *http.Request) {
			if n < 2 {
				w.WriteHeader([]int{http.StatusServiceUnavailable, http.StatusTooManyRequests}[n])
				return
			}
			serve(w, r, data, 100_000)
		}},
		{"damaged beginning", []string{"", "bytes=40000-", ""}, func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 0 {
				serve(w, r, make([]byte, 100_000), 40_000)
				return
			}
			serve(w, r, data, 100_000)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFakeHub(t)
			f.set(modelURL, lfs(data))
			n := -1
			f.intercept = func(host string, w http.ResponseWriter, r *http.Request) bool {
				if host != "cdn" {
					return false
				}
				n++
				if n >= len(test.ranges) || r.Header.Get("Range") != test.ranges[n] {
					t.Errorf("request %d for range %q, want %q", n, r.Header.Get("Range"), test.ranges)
				}
				test.serve(n, w, r)
				return true
			}
			c := f.client()
			path, err := c.Fetch(ctx, modelRef, nil)
			if err != nil {
				t.Fatal(err)
			}
			wantFile(t, path, data)
			wantNoIncomplete(t, c)
			if n+1 != len(test.ranges) {
				t.Errorf("%d requests, want %d", n+1, len(test.ranges))
			}
		})
	}
}

func TestResumeInNextCall(t *testing.T) {
	f := newFakeHub(t)
	data := noise(100_000)
	f.set(modelURL, lfs(data))
	c := f.client()
	ctx1, cancel := context.WithCancel(ctx)
	f.intercept = func(host string, w http.ResponseWriter, r *http.Request) bool {
		if host != "cdn" || r.Header.Get("Range") != "" {
			return false
		}
		w.Header().Set("Content-Length", "100000")
		w.Write(data[:60_000])
		w.(http.Flusher).Flush()
		<-r.Context().Done() // until the client hangs up
		return true
	}
	_, err := c.Fetch(ctx1, modelRef, func(done, _ int64) {
		if done == 60_000 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the cancellation", err)
	}
	if _, ok := c.Cached(modelRef); ok {
		t.Fatal("half a file counts as cached")
	}
	path, err := c.Fetch(ctx, modelRef, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, data)
	if got := f.log("range=bytes=60000-"); len(got) != 1 {
		t.Errorf("requests %q, want one to continue", f.log("cdn"))
	}
}

func TestStalled(t *testing.T) {
	f := newFakeHub(t)
	data := noise(1000)
	f.set(modelURL, lfs(data))
	f.intercept = func(host string, w http.ResponseWriter, r *http.Request) bool {
		if host != "cdn" || r.Header.Get("Range") != "" {
			return false
		}
		w.Header().Set("Content-Length", "1000")
		w.Write(data[:600])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
	c := f.client()
	c.ReadTimeout = 50 * time.Millisecond
	path, err := c.Fetch(ctx, modelRef, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, data)
}

func TestETagChanges(t *testing.T) {
	for _, onCDN := range []bool{true, false} {
		f := newFakeHub(t)
		older, newer := lfs(noise(50_000)), lfs(noise(60_000)[5:])
		older.onCDN, newer.onCDN = onCDN, onCDN
		newer.commit = commitB
		f.set(modelURL, older)
		broken := false
		f.intercept = func(host string, w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || broken || (host == "hub") == onCDN {
				return false
			}
			broken = true
			f.set(modelURL, newer)
			serve(w, r, older.data, 20_000)
			return true
		}
		path, err := f.client().Fetch(ctx, modelRef, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantFile(t, path, newer.data)
		if got := f.log("range="); len(got) > 0 {
			t.Errorf("onCDN %v: continued another file: %q", onCDN, got)
		}
	}
}

// The hub's file changes between the question and the download.
func TestChangesBeforeDownload(t *testing.T) {
	f := newFakeHub(t)
	older, newer := regular(noise(500)), regular(noise(600))
	f.set(modelURL, older)
	f.intercept = func(_ string, w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			f.set(modelURL, newer)
			f.answer(w, r, newer)
			return true
		}
		return false
	}
	path, err := f.client().Fetch(ctx, modelRef, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, newer.data)
}

func TestWrongContents(t *testing.T) {
	data := noise(1000)
	wrong := lfs(data)
	wrong.data = noise(1001)[1:]
	wrongBlob := regular(data)
	wrongBlob.data = wrong.data
	for name, file := range map[string]remote{"sha256": wrong, "git blob id": wrongBlob} {
		t.Run(name, func(t *testing.T) {
			f := newFakeHub(t)
			f.set(modelURL, file)
			c := f.client()
			_, err := c.Fetch(ctx, modelRef, nil)
			if !errors.Is(err, ErrMismatch) {
				t.Fatalf("got %v, want ErrMismatch", err)
			}
			if _, ok := c.Cached(modelRef); ok {
				t.Error("the wrong file counts as cached")
			}
			wantNoIncomplete(t, c)
		})
	}
	t.Run("expected another", func(t *testing.T) {
		f := newFakeHub(t)
		f.set(modelURL, lfs(data))
		ref := modelRef
		ref.SHA256 = strings.Repeat("0", 64)
		if _, err := f.client().Fetch(ctx, ref, nil); !errors.Is(err, ErrMismatch) {
			t.Errorf("got %v, want ErrMismatch", err)
		}
		if got := f.log("cdn"); len(got) > 0 {
			t.Errorf("downloaded all the same: %q", got)
		}
	})
}

func TestConcurrent(t *testing.T) {
	f := newFakeHub(t)
	data := noise(200_000)
	f.set(modelURL, lfs(data))
	c := f.client()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if path, err := c.File(ctx, modelRef, nil); err != nil {
				t.Error(err)
			} else {
				wantFile(t, path, data)
			}
		})
	}
	wg.Wait()
	if got := f.log("cdn"); len(got) != 1 {
		t.Errorf("%d downloads, want 1", len(got))
	}
}

func TestNoSymlinks(t *testing.T) {
	f := newFakeHub(t)
	data := noise(1000)
	f.set(modelURL, lfs(data))
	c := f.client()
	c.NoSymlinks = true
	for range 2 {
		path, err := c.Fetch(ctx, modelRef, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantFile(t, path, data)
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
			t.Errorf("got %v, %v, want a regular file", info.Mode(), err)
		}
	}
	if got := f.log("cdn"); len(got) != 1 {
		t.Errorf("%d downloads, want 1", len(got))
	}
}

// Hubs may redirect only when asked for the contents, and within themselves.
func TestRedirects(t *testing.T) {
	f := newFakeHub(t)
	data := noise(1000)
	file := lfs(data)
	file.onCDN = false
	f.set("/new/n/resolve/main/m.gguf", file)
	f.intercept = func(host string, w http.ResponseWriter, r *http.Request) bool {
		switch {
		case host == "hub" && strings.HasPrefix(r.URL.Path, "/o/"):
			http.Redirect(w, r, strings.Replace(r.URL.Path, "/o/", "/new/", 1), http.StatusTemporaryRedirect)
			return true
		case host == "hub" && r.Method == http.MethodGet:
			http.Redirect(w, r, f.cdn.URL+r.URL.Path, http.StatusFound)
			return true
		}
		return false
	}
	path, err := f.client().Fetch(ctx, modelRef, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, data)
	if got := f.log("cdn"); len(got) != 1 || strings.Contains(got[0], "auth=") {
		t.Errorf("content server saw %q, want one request without token", got)
	}
}
