package state

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testKey    = "AKIDEXAMPLE"
	testSecret = "hush/hush+hush"
	testBucket = "team"
)

// server speaks as much of S3 as the client asks for: objects in one bucket, in
// memory, with conditional writes.
type server struct {
	ignore bool // conditions
	fault  func(r *http.Request) (code string, status int)

	mu       sync.Mutex
	objects  map[string]stored
	requests int
}

type stored struct {
	data    []byte
	changed time.Time
}

func (o stored) tag() string {
	sum := md5.Sum(o.data)
	return hex.EncodeToString(sum[:])
}

// serve starts a server, and sets the environment to its keys. It returns the
// address of its bucket, to which parameters can be appended.
func serve(t *testing.T) (s *server, where string) {
	t.Helper()
	s = &server{objects: map[string]stored{}}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", testKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", testSecret)
	t.Setenv("AWS_SESSION_TOKEN", "")
	return s, "s3://" + testBucket + "/some/prefix?insecure=true&endpoint=" + strings.TrimPrefix(web.URL, "http://")
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	body, err := readBody(r)
	name, _ := strings.CutPrefix(r.URL.Path, "/"+testBucket+"/")
	switch code, status := s.refuse(r); {
	case err != nil:
		answer(w, "IncompleteBody", http.StatusBadRequest)
	case code != "":
		answer(w, code, status)
	case r.Method == http.MethodGet && r.URL.Query().Has("list-type"):
		s.list(w, r)
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		o, ok := s.objects[name]
		if !ok {
			answer(w, "NoSuchKey", http.StatusNotFound)
			return
		}
		w.Header().Set("ETag", `"`+o.tag()+`"`)
		w.Header().Set("Last-Modified", o.changed.UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Length", strconv.Itoa(len(o.data)))
		if r.Method == http.MethodGet {
			w.Write(o.data)
		}
	case r.Method == http.MethodPut:
		o, ok := s.objects[name]
		match, none := strings.Trim(r.Header.Get("If-Match"), `"`), r.Header.Get("If-None-Match")
		if !s.ignore && (ok && none == "*" || match != "" && match != o.tag()) {
			answer(w, "PreconditionFailed", http.StatusPreconditionFailed)
			return
		}
		o = stored{body, time.Now()}
		s.objects[name] = o
		w.Header().Set("ETag", `"`+o.tag()+`"`)
	case r.Method == http.MethodDelete:
		delete(s.objects, name)
		w.WriteHeader(http.StatusNoContent)
	default:
		answer(w, "MethodNotAllowed", http.StatusMethodNotAllowed)
	}
}

// refuse returns the error that a request gets before it is looked at.
func (s *server) refuse(r *http.Request) (code string, status int) {
	if !strings.Contains(r.Header.Get("Authorization"), "Credential="+testKey+"/") {
		return "InvalidAccessKeyId", http.StatusForbidden
	}
	if s.fault != nil {
		if code, status := s.fault(r); code != "" {
			return code, status
		}
	}
	if !strings.HasPrefix(r.URL.Path, "/"+testBucket+"/") {
		return "NoSuchBucket", http.StatusNotFound
	}
	return "", 0
}

// answer writes an error, which quotes what a server knows of the request.
func answer(w http.ResponseWriter, code string, status int) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>because of %s and %s</Message></Error>", code, testKey, testSecret)
}

// list answers with two objects at a time.
func (s *server) list(w http.ResponseWriter, r *http.Request) {
	type content struct {
		Key, LastModified, ETag string
		Size                    int
	}
	var result struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string
		Contents              []content
	}
	var names []string
	for name := range s.objects {
		if strings.HasPrefix(name, r.URL.Query().Get("prefix")) && name > r.URL.Query().Get("continuation-token") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) > 2 {
		names, result.IsTruncated, result.NextContinuationToken = names[:2], true, names[1]
	}
	for _, name := range names {
		o := s.objects[name]
		result.Contents = append(result.Contents, content{name, o.changed.UTC().Format(time.RFC3339Nano), o.tag(), len(o.data)})
	}
	w.Header().Set("Content-Type", "application/xml")
	xml.NewEncoder(w).Encode(result)
}

// readBody reads a body that may be in signed chunks.
func readBody(r *http.Request) ([]byte, error) {
	if !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return io.ReadAll(r.Body)
	}
	in := bufio.NewReader(r.Body)
	var body bytes.Buffer
	for {
		head, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		size, _, _ := strings.Cut(strings.TrimSpace(head), ";")
		n, err := strconv.ParseInt(size, 16, 32)
		if err != nil || n == 0 {
			return body.Bytes(), err
		}
		if _, err := io.CopyN(&body, in, n); err != nil {
			return nil, err
		}
		if _, err := in.ReadString('\n'); err != nil {
			return nil, err
		}
	}
}
