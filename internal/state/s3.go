package state

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// bucket has objects below a prefix in a bucket of an S3-compatible server.
type bucket struct {
	core        minio.Core
	creds       *credentials.Credentials
	endpoint    string
	name        string
	prefix      string // "" or with a slash at the end
	conditional bool   // the server obeys If-Match and If-None-Match
	lease       leaseTimes

	mu      sync.Mutex
	tested  bool                     // that conditional is true
	process map[string]chan struct{} // locks within the process, if the server has none
}

// place is what the address of a bucket says.
type place struct {
	bucket, prefix, endpoint, region string
	insecure, conditional            bool
}

const amazon = "s3.amazonaws.com"

// parsePlace reads an address s3://BUCKET/PREFIX?…. Its errors never repeat the
// whole address, which people put keys into.
func parsePlace(where string) (place, error) {
	bad := func(format string, args ...any) (place, error) {
		return place{}, fmt.Errorf("state store: "+format, args...)
	}
	u, err := url.Parse(where)
	if err != nil || u.Scheme != "s3" || u.Host == "" {
		return bad("not an address: want s3://BUCKET/PREFIX?endpoint=HOST:PORT&region=REGION")
	}
	if u.User != nil {
		return bad("the address has a user or a password: keys are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; take them out")
	}
	p := place{bucket: u.Host, prefix: strings.Trim(u.Path, "/"), conditional: true}
	for part := range strings.SplitSeq(p.prefix, "/") {
		if p.prefix != "" && (part == "" || part == "." || part == "..") {
			return bad("prefix %q: no part of it may be empty, . or ..", p.prefix)
		}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || u.Fragment != "" {
		return bad("parameters of the address can't be read: want ?NAME=VALUE&NAME=VALUE, with %%-escapes for other characters")
	}
	for name, values := range query {
		if len(values) > 1 {
			return bad("parameter %q is given %d times", name, len(values))
		}
		v := values[0]
		var err error
		switch name {
		case "endpoint":
			if p.endpoint = v; strings.Contains(v, "/") || strings.Contains(v, "@") {
				return bad("endpoint: want HOST or HOST:PORT; insecure=true is for http")
			}
		case "region":
			p.region = v
		case "insecure":
			p.insecure, err = strconv.ParseBool(v)
		case "conditional":
			p.conditional, err = strconv.ParseBool(v)
		default:
			return bad("unknown parameter %q: there are endpoint, region, insecure and conditional; keys are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", name)
		}
		if err != nil {
			return bad("parameter %s: want true or false", name)
		}
	}
	p.endpoint = cmp.Or(p.endpoint, amazon)
	p.region = cmp.Or(p.region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	if p.region == "" && p.endpoint != amazon {
		p.region = "us-east-1" // what other servers are set to
	}
	return p, nil
}

// findKeys looks for keys where the tools of AWS do.
func findKeys(endpoint string) *credentials.Credentials {
	providers := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}
	inContainer := os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "" || os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "" ||
		os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != ""
	if endpoint == amazon || inContainer {
		providers = append(providers, &credentials.IAM{Client: &http.Client{Timeout: 5 * time.Second}})
	}
	return credentials.NewChainCredentials(providers)
}

func openBucket(ctx context.Context, where string) (*bucket, error) {
	p, err := parsePlace(where)
	if err != nil {
		return nil, err
	}
	b := &bucket{endpoint: p.endpoint, name: p.bucket, prefix: p.prefix, conditional: p.conditional,
		creds: findKeys(p.endpoint), lease: defaultLease, process: map[string]chan struct{}{}}
	if b.prefix != "" {
		b.prefix += "/"
	}
	if v, err := b.creds.GetWithContext(nil); err != nil || v.AccessKeyID == "" || v.SecretAccessKey == "" {
		// The cause may quote a file of keys.
		return nil, fmt.Errorf("state store %s: no keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile in ~/.aws/credentials", b.locate(""))
	}
	client, err := minio.New(p.endpoint, &minio.Options{Creds: b.creds, Secure: !p.insecure, Region: p.region, MaxRetries: 4})
	if err != nil {
		return nil, fmt.Errorf("state store %s: endpoint %q: %s", b.locate(""), p.endpoint, b.scrub(err.Error()))
	}
	b.core = minio.Core{Client: client}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the listing
	first := <-b.core.Client.ListObjects(ctx, b.name, minio.ListObjectsOptions{Prefix: b.prefix, MaxKeys: 1, Recursive: true})
	if first.Err != nil {
		return nil, fmt.Errorf("state store: %w", b.explain(ctx, first.Err))
	}
	return b, nil
}

func (b *bucket) locate(name string) string { return "s3://" + b.name + "/" + b.prefix + name }
func (b *bucket) readers() int              { return 16 }
func (b *bucket) close() error              { return nil }

// scrub takes the keys out of a message.
func (b *bucket) scrub(s string) string {
	if v, err := b.creds.GetWithContext(nil); err == nil {
		for _, secret := range []string{v.SecretAccessKey, v.SessionToken, v.AccessKeyID} {
			if secret != "" {
				s = strings.ReplaceAll(s, secret, "(key)")
			}
		}
	}
	return s
}

// explain says what an error of the client means. The client's own error is not
// wrapped: it has what the server sent, which nobody may print.
func (b *bucket) explain(ctx context.Context, err error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	at := fmt.Sprintf("bucket %q on %s", b.name, b.endpoint)
	var r minio.ErrorResponse
	if !errors.As(err, &r) {
		return fmt.Errorf("%s: %s", at, b.scrub(err.Error()))
	}
	switch r.Code {
	case "NoSuchBucket":
		return fmt.Errorf("%s: there is no such bucket: make it, or correct the name", at)
	case "InvalidAccessKeyId":
		return fmt.Errorf("%s: the server does not know the access key: check AWS_ACCESS_KEY_ID or the profile", at)
	case "SignatureDoesNotMatch":
		return fmt.Errorf("%s: the secret key is wrong: check AWS_SECRET_ACCESS_KEY or the profile", at)
	case "ExpiredToken", "InvalidToken", "InvalidTokenId", "TokenRefreshRequired":
		return fmt.Errorf("%s: the session token is not valid or has expired: get new keys", at)
	case "AccessDenied":
		return fmt.Errorf("%s: access denied: the key needs to list, read, write and delete objects below %s", at, b.locate(""))
	case "AuthorizationHeaderMalformed", "PermanentRedirect":
		return fmt.Errorf("%s: the bucket is in another region: give region=REGION (%s)", at, b.scrub(r.Message))
	case "RequestTimeTooSkewed":
		return fmt.Errorf("%s: the clock of this machine is wrong: set it", at)
	}
	return fmt.Errorf("%s: the server answers %s, status %d: %s", at, b.scrub(r.Code), r.StatusCode, b.scrub(r.Message))
}

// hasCode reports whether an error is an answer of the server with one of some
// codes.
func hasCode(err error, codes ...string) bool {
	var r minio.ErrorResponse
	if !errors.As(err, &r) {
		return false
	}
	for _, c := range codes {
		if r.Code == c {
			return true
		}
	}
	return false
}

func isMissing(err error) bool { return hasCode(err, "NoSuchKey", "NotFound") }

func (b *bucket) get(ctx context.Context, name string, max int64) ([]byte, error) {
	data, _, err := b.read(ctx, name, max)
	return data, err
}

// read returns the first max+1 bytes of an object, and its tag.
func (b *bucket) read(ctx context.Context, name string, max int64) (data []byte, tag string, err error) {
	r, info, _, err := b.core.GetObject(ctx, b.name, b.prefix+name, minio.GetObjectOptions{})
	if isMissing(err) {
		return nil, "", errMissing
	}
	if err != nil {
		return nil, "", b.explain(ctx, err)
	}
	defer r.Close()
	data, err = io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return nil, "", fmt.Errorf("after %d bytes: %w", len(data), b.explain(ctx, err))
	}
	return data, info.ETag, nil
}

func (b *bucket) exists(ctx context.Context, name string) (bool, error) {
	_, err := b.core.StatObject(ctx, b.name, b.prefix+name, minio.StatObjectOptions{})
	if isMissing(err) {
		return false, nil
	}
	if err != nil {
		return false, b.explain(ctx, err)
	}
	return true, nil
}

func (b *bucket) put(ctx context.Context, name string, data []byte) error {
	if _, err := b.write(ctx, name, data, minio.PutObjectOptions{}); err != nil {
		return b.explain(ctx, err)
	}
	return nil
}

// write writes an object in one request, and returns its tag, or the client's
// error.
func (b *bucket) write(ctx context.Context, name string, data []byte, opt minio.PutObjectOptions) (tag string, err error) {
	opt.DisableMultipart = true // a condition holds for one request
	opt.ContentType = "application/octet-stream"
	info, err := b.core.Client.PutObject(ctx, b.name, b.prefix+name, bytes.NewReader(data), int64(len(data)), opt)
	return info.ETag, err
}

func (b *bucket) remove(ctx context.Context, name string) error {
	err := b.core.RemoveObject(ctx, b.name, b.prefix+name, minio.RemoveObjectOptions{})
	if err != nil && !isMissing(err) {
		return b.explain(ctx, err)
	}
	return nil
}

func (b *bucket) list(ctx context.Context, prefix string, fn func(object) error) error {
	listing, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range b.core.Client.ListObjects(listing, b.name, minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return b.explain(ctx, o.Err)
		}
		if err := fn(object{strings.TrimPrefix(o.Key, b.prefix), o.Size, o.LastModified}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// now is the time when the lease of the collection that asks was last renewed,
// by the server's clock.
func (b *bucket) now(ctx context.Context) (time.Time, error) {
	if !b.conditional {
		if err := b.put(ctx, collectLock, nil); err != nil {
			return time.Time{}, err
		}
	}
	info, err := b.core.StatObject(ctx, b.name, b.prefix+collectLock, minio.StatObjectOptions{})
	if err != nil {
		return time.Time{}, b.explain(ctx, err)
	}
	return info.LastModified, nil
}

// sweep does nothing: a server has no halves of objects.
func (b *bucket) sweep(context.Context, time.Time) error { return nil }
