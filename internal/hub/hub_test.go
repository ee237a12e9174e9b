package hub

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestErrors(t *testing.T) {
	tests := []struct {
		name          string
		status        int
		code, message string
		is            error
		want          string // in the text
	}{
		{"no repository", 401, "RepoNotFound", "", ErrNotFound, `no repository "o/n"`},
		{"no revision", 404, "RevisionNotFound", "", ErrNotFound, `no revision "main"`},
		{"no file", 404, "EntryNotFound", "", ErrNotFound, `no file "m.gguf"`},
		{"gated", 403, "GatedRepo", "", ErrAccess, "is gated"},
		{"disabled", 403, "", "Access to this resource is disabled.", ErrAccess, "disabled"},
		{"bad token", 401, "", "Invalid credentials", ErrAccess, "Invalid credentials"},
		{"plain 404", 404, "", "", ErrNotFound, "404 Not Found"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFakeHub(t)
			f.intercept = func(_ string, w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("X-Error-Code", test.code)
				w.Header().Set("X-Error-Message", test.message)
				w.Header().Set("X-Repo-Commit", commitA)
				w.WriteHeader(test.status)
				return true
			}
			c := f.client()
			_, err := c.Fetch(ctx, modelRef, nil)
			var se *StatusError
			if !errors.Is(err, test.is) || !errors.As(err, &se) || se.Status != test.status {
				t.Fatalf("got %v, want %v with status %d", err, test.is, test.status)
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), c.Token) {
				t.Errorf("got %q, want %q in it and no token", err, test.want)
			}
			if n := len(f.log("")); n != 1 {
				t.Errorf("%d requests, want no retry", n)
			}
			_, err = os.Stat(filepath.Join(c.CacheDir, "models--o--n", ".no_exist", commitA, "m.gguf"))
			if got, want := err == nil, test.code == "EntryNotFound"; got != want {
				t.Errorf("recorded as missing: got %v, want %v", got, want)
			}
		})
	}
}

func TestGivesUp(t *testing.T) {
	f := newFakeHub(t)
	f.intercept = func(_ string, w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusBadGateway)
		return true
	}
	c := f.client()
	var se *StatusError
	if _, err := c.Fetch(ctx, modelRef, nil); !errors.As(err, &se) || se.Status != http.StatusBadGateway {
		t.Errorf("got %v, want status 502", err)
	}
	if n := len(f.log("")); n != 1+c.Retries {
		t.Errorf("%d requests, want %d", n, 1+c.Retries)
	}

	f.intercept = func(_ string, _ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done() // says nothing until the client hangs up
		return true
	}
	f.requests = nil
	c.ETagTimeout = 50 * time.Millisecond
	if _, err := c.Fetch(ctx, modelRef, nil); err == nil || len(f.log("")) != 1 {
		t.Errorf("silent server: got %v after %d requests, want an error after one", err, len(f.log("")))
	}

	f.hub.Close()
	if _, err := c.Fetch(ctx, modelRef, nil); err == nil || strings.Contains(err.Error(), "attempts") {
		t.Errorf("no server: got %v, want an error without retries", err)
	}
}

// What a server says must not lead outside the cache folder.
func TestHostileHeaders(t *testing.T) {
	tests := []struct{ name, commit, etag, size string }{
		{"no commit", "", "abc", "3"},
		{"commit is a path", "../../../../../../../../tmp/x", "abc", "3"},
		{"no etag", commitA, "", "3"},
		{"etag is a path", commitA, `"../../x"`, "3"},
		{"etag is long", commitA, strings.Repeat("a", 300), "3"},
		{"negative size", commitA, "abc", "-3"},
		{"size overflows", commitA, "abc", "99999999999999999999"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFakeHub(t)
			f.intercept = func(_ string, w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("X-Repo-Commit", test.commit)
				w.Header().Set("ETag", test.etag)
				w.Header().Set("X-Linked-Size", test.size)
				return true
			}
			if path, err := f.client().Fetch(ctx, modelRef, nil); err == nil {
				t.Errorf("got %s, want an error", path)
			}
			if got := f.log("GET"); len(got) > 0 {
				t.Errorf("asked for contents: %q", got)
			}
		})
	}
}

func TestTooMuch(t *testing.T) {
	f := newFakeHub(t)
	f.set(modelURL, lfs(noise(1000)))
	f.intercept = func(host string, w http.ResponseWriter, r *http.Request) bool {
		if host == "cdn" {
			w.Write(noise(2000))
		}
		return host == "cdn"
	}
	if _, err := f.client().Fetch(ctx, modelRef, nil); !errors.Is(err, ErrMismatch) {
		t.Errorf("got %v, want ErrMismatch", err)
	}
}

func TestBadRefs(t *testing.T) {
	c := newFakeHub(t).client()
	for _, ref := range []Ref{
		{Repo: "", Path: "f"}, {Repo: "a/b/c", Path: "f"}, {Repo: "../b", Path: "f"}, {Repo: "a--b/c", Path: "f"},
		{Repo: "o/n", Path: ""}, {Repo: "o/n", Path: "../f"}, {Repo: "o/n", Path: "/f"}, {Repo: "o/n", Path: `a\b`},
		{Repo: "o/n", Path: "f", Revision: "../../x"}, {Repo: "o/n", Path: "f", Revision: "a//b"},
	} {
		if _, err := c.File(ctx, ref, nil); err == nil {
			t.Errorf("%+v: no error", ref)
		}
		if _, ok := c.Cached(ref); ok {
			t.Errorf("%+v: cached", ref)
		}
	}
}

func FuzzSafePath(f *testing.F) {
	for _, s := range []string{"a/b", "..", "a/../b", "/x", `c:\x`, "a//b", "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if safePath(p) && !filepath.IsLocal(filepath.FromSlash(p)) {
			t.Errorf("%q is taken for safe", p)
		}
	})
}

func TestFromEnv(t *testing.T) {
	home := t.TempDir()
	tokenFile := filepath.Join(home, "tok")
	if err := os.WriteFile(tokenFile, []byte("hf_file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(home, "hf"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "hf", "token"), []byte("hf_home"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		env  map[string]string
		want Client
	}{
		{"nothing set", nil, Client{Endpoint: DefaultEndpoint, CacheDir: home + "/.cache/huggingface/hub"}},
		{"XDG", map[string]string{"XDG_CACHE_HOME": "/x"}, Client{Endpoint: DefaultEndpoint, CacheDir: "/x/huggingface/hub"}},
		{"HF_HOME", map[string]string{"HF_HOME": "~/hf", "XDG_CACHE_HOME": "/x"},
			Client{Endpoint: DefaultEndpoint, CacheDir: home + "/hf/hub", Token: "hf_home"}},
		{"HF_HUB_CACHE", map[string]string{"HF_HUB_CACHE": "/c", "HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/h"},
			Client{Endpoint: DefaultEndpoint, CacheDir: "/c"}},
		{"legacy cache", map[string]string{"HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/h"},
			Client{Endpoint: DefaultEndpoint, CacheDir: "/old"}},
		{"token order", map[string]string{"HF_TOKEN": " hf_a\n", "HUGGING_FACE_HUB_TOKEN": "hf_b", "HF_TOKEN_PATH": tokenFile, "HF_HOME": "/h"},
			Client{Endpoint: DefaultEndpoint, CacheDir: "/h/hub", Token: "hf_a"}},
		{"legacy token", map[string]string{"HUGGING_FACE_HUB_TOKEN": "hf_b", "HF_TOKEN_PATH": tokenFile, "HF_HOME": "/h"},
			Client{Endpoint: DefaultEndpoint, CacheDir: "/h/hub", Token: "hf_b"}},
		{"token file", map[string]string{"HF_TOKEN_PATH": tokenFile, "HF_HOME": "/h"},
			Client{Endpoint: DefaultEndpoint, CacheDir: "/h/hub", Token: "hf_file"}},
		{"no implicit token", map[string]string{"HF_TOKEN": "hf_a", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1", "HF_HOME": "/h"},
			Client{Endpoint: DefaultEndpoint, CacheDir: "/h/hub"}},
		{"offline mirror", map[string]string{"HF_ENDPOINT": "http://mirror:81/", "HF_HUB_OFFLINE": "yes", "HF_HOME": "/h"},
			Client{Endpoint: "http://mirror:81", CacheDir: "/h/hub", Offline: true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range []string{"HF_ENDPOINT", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HF_TOKEN",
				"HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"} {
				t.Setenv(name, test.env[name])
			}
			t.Setenv("HOME", home)
			c, err := FromEnv()
			if err != nil {
				t.Fatal(err)
			}
			got := Client{Endpoint: c.Endpoint, CacheDir: c.CacheDir, Token: c.Token, Offline: c.Offline}
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
	t.Setenv("HF_ENDPOINT", "ftp://x")
	if _, err := FromEnv(); err == nil {
		t.Error("HF_ENDPOINT ftp://x: no error")
	}
}
