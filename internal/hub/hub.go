// Package hub gets files from a model hub that speaks the Hugging Face
// protocol, and keeps them in the cache that the Python tools use, so that
// whatever one of them has downloaded the other finds.
//
//	c, err := hub.FromEnv()
//	path, err := c.File(ctx, hub.Ref{Repo: "owner/name", Path: "model.gguf"}, nil)
//
// The protocol and the layout are those of huggingface/huggingface_hub
// (file_download.py, constants.py). In the cache folder:
//
//	models--owner--name/
//	  refs/main                  the commit that "main" was when last asked for
//	  blobs/ETAG                 contents; ETAG is their SHA-256, or git blob id
//	  blobs/ETAG.incomplete      the beginning of a download
//	  snapshots/COMMIT/PATH      relative symbolic link to the blob
//	  .no_exist/COMMIT/PATH      empty: the hub said that there is no such file
//	.locks/models--owner--name/ETAG.lock
//
// [Client.Cached] uses no network. [Client.File] uses none for what is cached,
// and [Client.Fetch] asks the hub what a revision is now. A download that was
// broken off goes on where it was, within a call and in the next one; what
// arrives is checked against its ETag before it counts.
//
// Not supported: the chunk cache of newer Python versions (a reader may ignore
// it), exchanging an OIDC identity for a token, and data sets and spaces.
package hub

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// DefaultEndpoint is the hub that is asked unless HF_ENDPOINT names another.
const DefaultEndpoint = "https://huggingface.co"

// Client talks to one hub and owns no state besides the cache folder. It may be
// used by several goroutines, and by several processes with the same folder.
// Make one with [FromEnv]; the zero value has no time to wait for an answer.
type Client struct {
	Endpoint   string // URL without trailing slash
	CacheDir   string // root of the cache
	Token      string // sent to Endpoint and nowhere else; may be empty
	Offline    bool   // refuse to use the network
	NoSymlinks bool   // put files into snapshots/ instead of links

	ETagTimeout time.Duration     // for an answer to begin
	ReadTimeout time.Duration     // for the next bytes of an answer
	Retries     int               // attempts without progress after the first
	Backoff     time.Duration     // before the first retry; doubles each time
	Transport   http.RoundTripper // nil: one with a connect timeout of 5 seconds
}

// Ref names a file in a repository of the hub.
type Ref struct {
	Repo     string // "owner/name", or "name" for the oldest ones
	Revision string // branch, tag or commit; empty means "main"
	Path     string // path in the repository, with "/"

	// SHA256 of the contents, if known. A download of anything else is refused
	// before it begins where the hub tells, and after it otherwise.
	SHA256 string
}

// FromEnv returns a client set up by the variables that the Python tools use:
// HF_ENDPOINT; HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME;
// HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HF_TOKEN_PATH,
// HF_HUB_DISABLE_IMPLICIT_TOKEN; HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE;
// HF_HUB_ETAG_TIMEOUT, HF_HUB_DOWNLOAD_TIMEOUT; HF_HUB_DISABLE_SYMLINKS.
func FromEnv() (*Client, error) {
	endpoint := strings.TrimRight(os.Getenv("HF_ENDPOINT"), "/")
	if endpoint == "" {
		endpoint = DefaultEndpoint
	}
	if u, err := url.Parse(endpoint); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("HF_ENDPOINT %q: want a URL such as %s", endpoint, DefaultEndpoint)
	}
	home, err := hfHome()
	if err != nil {
		return nil, err
	}
	cache := firstEnv("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
	if cache == "" {
		cache = filepath.Join(home, "hub")
	}
	return &Client{
		Endpoint:    endpoint,
		CacheDir:    expand(cache),
		Token:       token(home),
		Offline:     envTrue("HF_HUB_OFFLINE") || envTrue("TRANSFORMERS_OFFLINE"),
		NoSymlinks:  envTrue("HF_HUB_DISABLE_SYMLINKS"),
		ETagTimeout: envSeconds("HF_HUB_ETAG_TIMEOUT", 10*time.Second),
		ReadTimeout: envSeconds("HF_HUB_DOWNLOAD_TIMEOUT", 10*time.Second),
		Retries:     5,
		Backoff:     time.Second,
	}, nil
}

// hfHome returns the folder of all Hugging Face tools.
func hfHome() (string, error) {
	if dir := os.Getenv("HF_HOME"); dir != "" {
		return expand(dir), nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(expand(dir), "huggingface"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("model hub cache: %w; set HF_HOME", err)
	}
	return filepath.Join(home, ".cache", "huggingface"), nil
}

// token returns the user's token from the first place that has one.
func token(home string) string {
	if envTrue("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
		return ""
	}
	if t := strings.TrimSpace(firstEnv("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")); t != "" {
		return t
	}
	path := os.Getenv("HF_TOKEN_PATH")
	if path == "" {
		path = filepath.Join(home, "token")
	}
	raw, err := os.ReadFile(expand(path))
	if err != nil {
		return "" // not logged in, which is the usual case
	}
	return strings.TrimSpace(string(raw))
}

// expand replaces a leading "~" and variables, as the Python tools do.
func expand(path string) string {
	path = os.ExpandEnv(path)
	if path == "~" || strings.HasPrefix(path, "~/") {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, path[1:])
		}
	}
	return path
}

func firstEnv(names ...string) string {
	for _, name := range names {
		if v := os.Getenv(name); v != "" {
			return v
		}
	}
	return ""
}

func envTrue(name string) bool {
	switch strings.ToUpper(os.Getenv(name)) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

func envSeconds(name string, otherwise time.Duration) time.Duration {
	if s, err := strconv.ParseFloat(os.Getenv(name), 64); err == nil && s > 0 && s < 1e6 {
		return time.Duration(s * float64(time.Second))
	}
	return otherwise
}

// withDefaults checks ref and fills in the revision.
func (ref Ref) withDefaults() (Ref, error) {
	if ref.Revision == "" {
		ref.Revision = "main"
	}
	if n := strings.Count(ref.Repo, "/"); n > 1 || !safePath(ref.Repo) || strings.Contains(ref.Repo, "--") {
		return ref, fmt.Errorf("hub repository %q: want \"owner/name\"", ref.Repo)
	}
	if !safePath(ref.Revision) {
		return ref, fmt.Errorf("hub revision %q: want a branch, tag or commit", ref.Revision)
	}
	if !safePath(ref.Path) {
		return ref, fmt.Errorf("path %q in a hub repository: want a relative path without \"..\"", ref.Path)
	}
	return ref, nil
}

// safePath reports whether p, joined to a folder, stays below it on every
// system.
func safePath(p string) bool {
	if p == "" || strings.ContainsAny(p, "\\:\x00") {
		return false
	}
	for _, elem := range strings.Split(p, "/") {
		if elem == "" || elem == "." || elem == ".." {
			return false
		}
	}
	return true
}

// url returns the address of a file.
func (c *Client) url(ref Ref) string {
	elems := strings.Split(ref.Path, "/")
	for i, e := range elems {
		elems[i] = url.PathEscape(e)
	}
	return c.Endpoint + "/" + ref.Repo + "/resolve/" + url.PathEscape(ref.Revision) + "/" + strings.Join(elems, "/")
}

// Errors to ask for with errors.Is.
var (
	ErrOffline  = errors.New("not in the model hub's cache, and offline")
	ErrNotFound = errors.New("not found on the model hub")
	ErrAccess   = errors.New("access refused by the model hub")
	ErrMismatch = errors.New("not the expected contents")
)

// StatusError is an answer of the hub, or of the server it redirects to, that
// is not the file. It matches [ErrNotFound] or [ErrAccess] where that is so.
type StatusError struct {
	Status  int    // of HTTP
	Code    string // header X-Error-Code, such as "GatedRepo"; may be empty
	Message string // header X-Error-Message; may be empty
	Host    string // who answered

	ref      Ref
	endpoint string
	token    bool // whether one was sent
}

func (e *StatusError) Error() string {
	login := "set HF_TOKEN to a token that may read it"
	if e.token {
		login = "the token in use may not read it"
	}
	switch e.kind() {
	case "RepoNotFound":
		return fmt.Sprintf("no repository %q on %s: check its name; if it is private, %s", e.ref.Repo, e.endpoint, login)
	case "RevisionNotFound":
		return fmt.Sprintf("repository %q has no revision %q", e.ref.Repo, e.ref.Revision)
	case "EntryNotFound":
		return fmt.Sprintf("repository %q has no file %q at revision %q", e.ref.Repo, e.ref.Path, e.ref.Revision)
	case "GatedRepo":
		return fmt.Sprintf("repository %q is gated: ask for access at %s/%s, then log in (%s)", e.ref.Repo, e.endpoint, e.ref.Repo, login)
	case "DisabledRepo":
		return fmt.Sprintf("repository %q was disabled by the hub", e.ref.Repo)
	}
	msg := fmt.Sprintf("%s answered %d %s", e.Host, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		msg += ": " + e.Message
	}
	if e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden {
		msg += "; " + login
	}
	return msg
}

// kind is the error code, also where older servers only imply it.
func (e *StatusError) kind() string {
	if e.Code == "" && e.Message == "Access to this resource is disabled." {
		return "DisabledRepo"
	}
	return e.Code
}

// Is makes errors.Is find the class of the error.
func (e *StatusError) Is(target error) bool {
	switch e.kind() {
	case "RepoNotFound", "RevisionNotFound", "EntryNotFound":
		return target == ErrNotFound
	case "GatedRepo", "DisabledRepo":
		return target == ErrAccess
	}
	switch e.Status {
	case http.StatusNotFound, http.StatusGone:
		return target == ErrNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		return target == ErrAccess
	}
	return false
}
