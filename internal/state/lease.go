package state

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
)

// leaseTimes are the times of a lease. It is renewed well before it lapses, so
// that a server that is slow once costs nobody a lock. Who waits for it measures
// how long it has not changed, by a clock of its own: clocks are never compared.
type leaseTimes struct {
	poll  time.Duration // between two looks at a lease of another
	renew time.Duration // between two renewals
	lapse time.Duration // since the last renewal, until it is free
}

var defaultLease = leaseTimes{time.Second, 10 * time.Second, 30 * time.Second}

// lease is the object of a lock. Beat makes each renewal different from the one
// before, so that its tag changes.
type lease struct {
	Holder string `json:"holder"` // random; "" if it is free
	Beat   int64  `json:"beat"`
}

var errLeaseLost = errors.New("the lock was lost: the server could not be reached for too long, or another process has taken it")

// errIgnored is returned when the server has no conditional writes.
var errIgnored = errors.New("the server ignores If-Match and If-None-Match, so processes can't exclude each other: " +
	"see to it that one at a time updates a repository, and give conditional=false")

var errTaken = errors.New("changed by another")

// peek reads a lease; tag is empty if there is none. A damaged one counts as
// held by somebody unknown, until it lapses.
func (b *bucket) peek(ctx context.Context, name string) (l lease, tag string, err error) {
	data, tag, err := b.read(ctx, name, 1<<10)
	if errors.Is(err, errMissing) {
		return lease{}, "", nil
	}
	if err != nil {
		return lease{}, "", err
	}
	if err := json.Unmarshal(data, &l); err != nil {
		l = lease{Holder: "unknown"}
	}
	return l, tag, nil
}

// swap writes a lease if it still has a tag, where "" is that of none. It
// returns the new tag, or errTaken.
func (b *bucket) swap(ctx context.Context, name string, l lease, tag string) (string, error) {
	data, err := json.Marshal(l)
	if err != nil {
		return "", err
	}
	var opt minio.PutObjectOptions
	if tag == "" {
		opt.SetMatchETagExcept("*")
	} else {
		opt.SetMatchETag(tag)
	}
	tag, err = b.write(ctx, name, data, opt)
	switch {
	case hasCode(err, "PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"):
		return "", errTaken
	case hasCode(err, "NotImplemented"):
		return "", errIgnored
	case err != nil:
		return "", b.explain(ctx, err)
	}
	return tag, nil
}

// watch looks at a lease until done returns true for it. idle is how long it has
// not changed.
func (b *bucket) watch(ctx context.Context, name string, done func(l lease, tag string, idle time.Duration) (bool, error)) error {
	var last string
	since := time.Now()
	for {
		l, tag, err := b.peek(ctx, name)
		if err != nil {
			return err
		}
		if tag != last {
			last, since = tag, time.Now()
		}
		if ok, err := done(l, tag, time.Since(since)); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(b.lease.poll):
		}
	}
}

func (b *bucket) lock(ctx context.Context, name string) (context.Context, func(), error) {
	if !b.conditional {
		return b.lockHere(ctx, name)
	}
	me := lease{Holder: rand.Text()}
	var mine string // the tag of my lease
	err := b.watch(ctx, name, func(l lease, tag string, idle time.Duration) (bool, error) {
		if l.Holder == me.Holder { // the answer to my write was lost
			mine = tag
			return true, nil
		}
		if l.Holder != "" && idle < b.lease.lapse {
			return false, nil
		}
		var err error
		mine, err = b.swap(ctx, name, me, tag)
		if errors.Is(err, errTaken) {
			return false, nil
		}
		return err == nil, err
	})
	if err == nil {
		err = b.obeys(ctx, name, me)
	}
	if err != nil {
		return nil, nil, err
	}
	held, lose := context.WithCancelCause(ctx)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		b.hold(context.WithoutCancel(ctx), name, me, mine, stop, lose)
	}()
	return held, sync.OnceFunc(func() {
		close(stop)
		<-ended
		lose(nil)
	}), nil
}

// obeys makes sure, once, that the server refuses to make an object that is
// there. The one called name is, since its lease is ours.
func (b *bucket) obeys(ctx context.Context, name string, me lease) error {
	b.mu.Lock()
	tested := b.tested
	b.mu.Unlock()
	if tested {
		return nil
	}
	_, err := b.swap(ctx, name, me, "")
	switch {
	case err == nil:
		_ = b.put(ctx, name, []byte(`{"holder":""}`)) // or it lapses
		return fmt.Errorf("bucket %q on %s: %w", b.name, b.endpoint, errIgnored)
	case !errors.Is(err, errTaken):
		return err
	}
	b.mu.Lock()
	b.tested = true
	b.mu.Unlock()
	return nil
}

// hold renews a lease until stop is closed, and gives it back; or calls lose.
func (b *bucket) hold(ctx context.Context, name string, me lease, tag string, stop <-chan struct{}, lose context.CancelCauseFunc) {
	renewed := time.Now()
	next := func(l lease) error {
		ctx, cancel := context.WithTimeout(ctx, b.lease.renew)
		defer cancel()
		began := time.Now()
		got, err := b.swap(ctx, name, l, tag)
		if errors.Is(err, errTaken) { // or an answer was lost
			var now lease
			if now, got, err = b.peek(ctx, name); err == nil && now != l {
				return errLeaseLost
			}
		}
		if err == nil {
			tag, renewed = got, began
		}
		return err
	}
	for {
		select {
		case <-stop:
			_ = next(lease{Beat: me.Beat + 1}) // or it lapses
			return
		case <-time.After(b.lease.renew):
		}
		me.Beat++
		err := next(me)
		if errors.Is(err, errLeaseLost) || time.Since(renewed) > b.lease.lapse-b.lease.renew {
			lose(errLeaseLost)
			return
		}
	}
}

// lockHere excludes this process only.
func (b *bucket) lockHere(ctx context.Context, name string) (context.Context, func(), error) {
	b.mu.Lock()
	c := b.process[name]
	if c == nil {
		c = make(chan struct{}, 1)
		b.process[name] = c
	}
	b.mu.Unlock()
	select {
	case c <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	return ctx, sync.OnceFunc(func() { <-c }), nil
}

func (b *bucket) settle(ctx context.Context, name string) error {
	if !b.conditional {
		_, unlock, err := b.lockHere(ctx, name)
		if err == nil {
			unlock()
		}
		return err
	}
	first := ""
	return b.watch(ctx, name, func(l lease, tag string, idle time.Duration) (bool, error) {
		if first == "" {
			first = l.Holder
		}
		if l.Holder == "" || l.Holder != first {
			return true, nil
		}
		if idle < b.lease.lapse {
			return false, nil
		}
		// Its holder is dead. It is freed, or everybody would wait as long again.
		_, err := b.swap(ctx, name, lease{Beat: l.Beat + 1}, tag)
		return !errors.Is(err, errTaken), nil
	})
}
