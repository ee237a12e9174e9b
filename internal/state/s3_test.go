package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// quick are times for tests.
var quick = leaseTimes{poll: 5 * time.Millisecond, renew: 200 * time.Millisecond, lapse: 600 * time.Millisecond}

func openServed(t *testing.T, where string) *Store {
	t.Helper()
	s, err := Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.objects.(*bucket).lease = quick
	return s
}

func TestBucket(t *testing.T) {
	testStore(t, func(t *testing.T) *Store {
		_, where := serve(t)
		return openServed(t, where)
	})
}

func TestBucketUnconditional(t *testing.T) {
	testStore(t, func(t *testing.T) *Store {
		s, where := serve(t)
		s.ignore = true
		return openServed(t, where+"&conditional=false")
	})
}

// A server that ignores conditions is found out, not believed.
func TestBucketIgnores(t *testing.T) {
	s, where := serve(t)
	s.ignore = true
	states := openServed(t, where)
	if _, err := states.Lock(t.Context(), repoA, modelA); !errors.Is(err, errIgnored) || !strings.Contains(err.Error(), "conditional=false") {
		t.Errorf("got %v, want that conditions are ignored", err)
	}
	mustPut(t, states, Entry{Key: key(1)}, nil)
}

func TestParsePlace(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	for where, want := range map[string]place{
		"s3://b":               {"b", "", amazon, "", false, true},
		"s3://b/":              {"b", "", amazon, "", false, true},
		"s3://b/p/q/?region=r": {"b", "p/q", amazon, "r", false, true},
		"s3://b/p?endpoint=h:9000&insecure=true&conditional=false": {"b", "p", "h:9000", "us-east-1", true, false},
	} {
		if got, err := parsePlace(where); err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", where, got, err, want)
		}
	}
	for where, want := range map[string]string{
		"s3://":                     "want s3://BUCKET",
		"s3://%zz-hush":             "want s3://BUCKET",
		"s3://me:hush@b/p":          "take them out",
		"s3://b/p//q":               "prefix",
		"s3://b/../q":               "prefix",
		"s3://b?region=a&region=b":  "2 times",
		"s3://b?secret_key=hush":    `unknown parameter "secret_key"`,
		"s3://b?insecure=hush":      "true or false",
		"s3://b?endpoint=https://h": "HOST:PORT",
		"s3://b?endpoint=me:hush@h": "HOST:PORT",
		"s3://b?a;hush":             "can't be read",
		"s3://b#hush":               "can't be read",
	} {
		if _, err := parsePlace(where); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: got %v, want an error with %q and without the secret", where, err, want)
		}
	}
}

func FuzzParsePlace(f *testing.F) {
	f.Add("s3://b/p?endpoint=h:1&insecure=true")
	f.Add("s3://u:p@b")
	f.Fuzz(func(t *testing.T, where string) {
		if p, err := parsePlace(where); err == nil && (p.bucket == "" || p.endpoint == "") {
			t.Errorf("%q: got %+v without an error", where, p)
		}
	})
}

// Each failure says what to do, and none shows a key.
func TestBucketFailures(t *testing.T) {
	for _, tt := range []struct {
		code   string
		status int
		want   string
	}{
		{"NoSuchBucket", 404, `bucket "team"`}, {"SignatureDoesNotMatch", 403, "AWS_SECRET_ACCESS_KEY"},
		{"InvalidAccessKeyId", 403, "AWS_ACCESS_KEY_ID"}, {"ExpiredToken", 400, "get new keys"}, {"AccessDenied", 403, "list, read, write"},
		{"RequestTimeTooSkewed", 403, "clock"}, {"QuotaExceeded", 400, "status 400"},
	} {
		s, where := serve(t)
		states := openServed(t, where)
		mustPut(t, states, Entry{Key: key(1)}, []byte("data"))
		s.fault = func(*http.Request) (string, int) { return tt.code, tt.status }
		errs := map[string]error{}
		if tt.code == "NoSuchBucket" { // the client tries again after some of the others, which takes time
			errs = calls(t.Context(), states)
		}
		_, errs["open"] = Open(t.Context(), where)
		_, _, errs["get"] = states.Get(t.Context(), key(1))
		for name, err := range errs {
			if name == "delete nothing" {
				continue
			}
			if err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), tt.want) ||
				strings.Contains(fmt.Sprintf("%+v %#v", err, errors.Unwrap(err)), testSecret) || strings.Contains(err.Error(), testKey) {
				t.Errorf("%s, %s: got %v, want an error with %q and without keys", tt.code, name, err, tt.want)
			}
		}
	}
}

func TestBucketKeys(t *testing.T) {
	_, where := serve(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "")
	for _, name := range []string{"AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, "")
	}
	if _, err := Open(t.Context(), where); err == nil || !strings.Contains(err.Error(), "no keys") {
		t.Errorf("without keys: got %v, want that there are none", err)
	}
	file := filepath.Join(home, ".aws", "credentials")
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		t.Fatal(err)
	}
	text := "[team]\naws_access_key_id = " + testKey + "\naws_secret_access_key = " + testSecret + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_PROFILE", "team")
	if _, err := Open(t.Context(), where); err != nil {
		t.Errorf("with a profile: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "other")
	t.Setenv("AWS_SECRET_ACCESS_KEY", testSecret)
	if _, err := Open(t.Context(), where); err == nil || !strings.Contains(err.Error(), "does not know the access key") {
		t.Errorf("with another key: got %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", testKey)
	if _, err := Open(t.Context(), strings.Replace(where, testBucket, "nobodys", 1)); err == nil || !strings.Contains(err.Error(), "no such bucket") {
		t.Errorf("another bucket: got %v", err)
	}
	if _, err := Open(t.Context(), "s3://team?insecure=true&endpoint=127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("no server: got %v", err)
	}
}

// A write that fails at any request leaves the old state or the new one.
func TestBucketPutFails(t *testing.T) {
	s, where := serve(t)
	states := openServed(t, where)
	old, data := []byte("old"), []byte("new and longer")
	for fail := range 6 {
		mustPut(t, states, Entry{Key: key(1)}, old)
		n := 0
		s.fault = func(*http.Request) (string, int) {
			if n++; n > fail {
				return "Broken", http.StatusBadRequest
			}
			return "", 0
		}
		err := states.Put(t.Context(), Entry{Key: key(1)}, data)
		s.fault = nil
		_, got, getErr := states.Get(t.Context(), key(1))
		if getErr != nil || !bytes.Equal(got, old) && !bytes.Equal(got, data) || err == nil && !bytes.Equal(got, data) {
			t.Errorf("failing at request %d with %v: got %q, %v", fail, err, got, getErr)
		}
		if fail == 0 && err == nil || fail == 5 && err != nil {
			t.Errorf("failing at request %d: got %v", fail, err)
		}
	}
}

// A server that is overloaded for a moment is asked again.
func TestBucketRetries(t *testing.T) {
	s, where := serve(t)
	states := openServed(t, where)
	var n atomic.Int32
	s.fault = func(*http.Request) (string, int) {
		if n.Add(1) == 1 {
			return "SlowDown", http.StatusServiceUnavailable
		}
		return "", 0
	}
	mustPut(t, states, Entry{Key: key(1)}, []byte("data"))
	if n.Load() < 4 {
		t.Errorf("got %d requests, want one more than needed", n.Load())
	}
}

// A lease is renewed while it is held, and passes on when its holder is dead.
func TestLease(t *testing.T) {
	_, where := serve(t)
	a, b := openServed(t, where).objects.(*bucket), openServed(t, where).objects.(*bucket)
	held, unlock, err := a.lock(t.Context(), "locks/x")
	if err != nil {
		t.Fatal(err)
	}
	long, cancel := context.WithTimeout(t.Context(), 2*quick.lapse)
	defer cancel()
	if _, _, err := b.lock(long, "locks/x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("lock of a living holder: got %v, want that the time is over", err)
	}
	if held.Err() != nil {
		t.Errorf("living holder: %v", context.Cause(held))
	}
	unlock()
	unlock()
	if err := b.put(t.Context(), "locks/x", []byte(`{"holder":"dead","beat":7}`)); err != nil {
		t.Fatal(err)
	}
	_, unlock, err = b.lock(t.Context(), "locks/x")
	if err != nil {
		t.Fatalf("lock of a dead holder: %v", err)
	}
	unlock()
	if err := b.put(t.Context(), "locks/x", []byte(`{"hol`)); err != nil {
		t.Fatal(err)
	}
	if err := b.settle(t.Context(), "locks/x"); err != nil {
		t.Errorf("waiting for a damaged lease: %v", err)
	}
}

// Who waits for a dead collector frees its lease, so that others needn't wait.
func TestSettleFrees(t *testing.T) {
	s, where := serve(t)
	states := openServed(t, where)
	b := states.objects.(*bucket)
	if err := b.put(t.Context(), collectLock, []byte(`{"holder":"dead","beat":7}`)); err != nil {
		t.Fatal(err)
	}
	mustPut(t, states, Entry{Key: key(1)}, []byte("data"))
	if l, _, err := b.peek(t.Context(), collectLock); err != nil || l.Holder != "" {
		t.Errorf("after the first Put: got %+v, %v, want a free lease", l, err)
	}
	s.mu.Lock()
	before := s.requests
	s.mu.Unlock()
	mustPut(t, states, Entry{Key: key(2)}, []byte("more"))
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.requests - before; n > 6 {
		t.Errorf("second Put: %d requests, want no more than 6", n)
	}
}

// Who loses a lease is told.
func TestLeaseLost(t *testing.T) {
	s, where := serve(t)
	a := openServed(t, where).objects.(*bucket)
	for what, harm := range map[string]func(){
		"taken": func() {
			if err := a.put(t.Context(), "locks/taken", []byte(`{"holder":"other"}`)); err != nil {
				t.Error(err)
			}
		},
		"cut off": func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.fault = func(*http.Request) (string, int) { return "Broken", http.StatusBadRequest }
		},
	} {
		held, unlock, err := a.lock(t.Context(), "locks/"+what)
		if err != nil {
			t.Fatal(err)
		}
		harm()
		<-held.Done()
		if err := context.Cause(held); !errors.Is(err, errLeaseLost) {
			t.Errorf("%s: got %v, want errLeaseLost", what, err)
		}
		unlock()
		s.mu.Lock()
		s.fault = nil
		s.mu.Unlock()
	}
}
