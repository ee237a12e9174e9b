// Package state keeps the states of repositories: what a follower of commits
// knows of a repository at one of them, as bytes that mean nothing here.
//
// A state has a [Key]: repository, commit, and the model that made it. A [Store]
// is a folder, or a prefix in a bucket of an S3-compatible server, and lies the
// same in both:
//
//	entries/REPOSITORY/MODEL/COMMIT.json   an [Entry], with a checksum
//	blobs/ab/abcd…                         data, named by its SHA-256
//	locks/…                                empty files, or leases
//
// A state is put by writing its blob and then its entry, each as a whole, so a
// process that is killed leaves the state that was there before, and at most a
// blob that nobody needs, which [Store.Collect] removes. Each state is in files
// of its own: what damages one leaves the others readable. Everything that is
// read is checked, and what fails is [ErrCorrupt], never data.
//
// Any number of processes may use one store at once. Their [Store.Put] and
// [Store.Collect] can't harm each other; [Store.Lock] only keeps them from doing
// the same work twice.
package state

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/code2lora/code2lora/internal/store"
)

var (
	// ErrNotFound is returned when a store has no state for a key.
	ErrNotFound = errors.New("no such state")
	// ErrCorrupt is returned for a state that is not as it was put. Other
	// states of the store are not affected, and a Put or Delete of the same key
	// mends it.
	ErrCorrupt = errors.New("state is damaged")
	// ErrClosed is returned by every method of a store after Close.
	ErrClosed = errors.New("state store is closed")
)

// Key says which state is meant. No part may be empty.
type Key struct {
	Repository string `json:"repository"` // id of its root commit, or "name:" and its name where that is unknown
	Commit     string `json:"commit"`     // object id
	Model      string `json:"model"`      // hex digest of the id of the follower that makes the states
}

// String tells a person which state it is.
func (k Key) String() string {
	return fmt.Sprintf("state of commit %q of repository %q by model %q", k.Commit, k.Repository, k.Model)
}

// Entry says what a state is and where it comes from.
type Entry struct {
	Key
	Parent string             `json:"parent,omitempty"` // commit whose state this was stepped from; "" if it was begun here
	Anchor string             `json:"anchor,omitempty"` // commit at which the state was begun
	Steps  int                `json:"steps"`            // commits since the anchor
	Digest string             `json:"digest"`           // SHA-256 of the data, in hex; Put sets it
	Size   int64              `json:"size"`             // bytes of data; Put sets it
	Made   time.Time          `json:"made"`             // Put sets it to now if it is zero
	Clone  string             `json:"clone,omitempty"`  // who made it: a digest of machine and git directory; "" if unknown
	Notes  map[string]float64 `json:"notes,omitempty"`  // measured, such as "norm", "drift", "seconds"; finite
}

// Store keeps states. Its methods may be called concurrently.
type Store struct {
	objects objects
	grace   time.Duration // age below which Collect leaves a blob alone
	closed  atomic.Bool
}

// grace is how old a blob without an entry is before it is taken for the
// leftover of a killed Put. A Put takes seconds; clocks of machines that share a
// folder differ by minutes.
const grace = time.Hour

// Default returns the folder that Open("") opens: "states" in the program's
// folder.
func Default() string { return filepath.Join(store.Root(), "states") }

// Open opens the store in a folder, which is made when missing and need not
// hold anything yet; or, if where begins with s3://, in a bucket, as in
//
//	s3://BUCKET/PREFIX?endpoint=HOST:PORT&region=REGION&insecure=true
//
// The prefix may be missing, as may each of the parameters:
//
//	endpoint      the server; AWS by default
//	region        default: $AWS_REGION, $AWS_DEFAULT_REGION, else what the server says
//	insecure      true: HTTP without TLS
//	conditional   false: the server ignores If-Match and If-None-Match, so that
//	              Lock excludes nobody but this process
//
// Keys are read from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
// AWS_SESSION_TOKEN, else from the profile $AWS_PROFILE in
// ~/.aws/credentials, else from the machine that runs this, if that is one of
// AWS; never from where. The bucket is looked at once, so that a wrong key or
// name is an error here. An empty string means [Default].
func Open(ctx context.Context, where string) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if where == "" {
		where = Default()
	}
	var o objects
	var err error
	scheme, _, remote := strings.Cut(where, "://")
	switch {
	case !remote:
		o, err = openFolder(where)
	case scheme == "s3":
		o, err = openBucket(ctx, where)
	default: // without the rest, which may hold a password
		err = fmt.Errorf("state store: unknown kind %q: give a folder, or s3://BUCKET/PREFIX", scheme+"://")
	}
	if err != nil {
		return nil, err
	}
	return &Store{objects: o, grace: grace}, nil
}

// Close makes further calls fail with [ErrClosed]. Calls under way end as they
// would have; locks stay until they are unlocked.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.objects.close()
}

// begin is at the start of every method.
func (s *Store) begin(ctx context.Context) error {
	if s.closed.Load() {
		return ErrClosed
	}
	return ctx.Err()
}

// objects is where a store's files are. Names have slashes and no dot at the
// beginning of a part. What is read, listed or looked up reflects every write
// that had ended before.
type objects interface {
	// get returns an object, or its first max+1 bytes if it has more than
	// max. A missing object is errMissing.
	get(ctx context.Context, name string, max int64) ([]byte, error)
	exists(ctx context.Context, name string) (bool, error)
	// put writes an object: others see the old one or the whole new one.
	put(ctx context.Context, name string, data []byte) error
	// remove removes an object, if it is there.
	remove(ctx context.Context, name string) error
	// list calls fn for each object whose name begins with the folders prefix,
	// until it returns an error.
	list(ctx context.Context, prefix string, fn func(object) error) error
	// lock waits for an exclusive lock, and returns a context that ends if it
	// is lost before unlock.
	lock(ctx context.Context, name string) (held context.Context, unlock func(), err error)
	// settle waits until nobody has the lock who had it when it was called.
	settle(ctx context.Context, name string) error
	// now returns the time by the clock that ages objects.
	now(ctx context.Context) (time.Time, error)
	// sweep removes what killed processes have left from before then.
	sweep(ctx context.Context, then time.Time) error
	// readers returns how many objects are best read at a time.
	readers() int
	// locate tells a person where an object is.
	locate(name string) string
	close() error
}

// object is an object in a listing.
type object struct {
	name    string
	size    int64
	changed time.Time
}

// errMissing is returned by get for an object that isn't there.
var errMissing = errors.New("no such object")
