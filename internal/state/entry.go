package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// entryFormat is the version of the file of an entry.
const entryFormat = 1

// maxEntry bounds the file of an entry, in bytes.
const maxEntry = 1 << 20

// maxPart bounds each part of a key, in bytes.
const maxPart = 4096

// envelope is the file of an entry. Sum is the SHA-256 of the format, a newline
// and the bytes of Entry, so that later formats can tell an old program that
// they are newer, and not damaged.
type envelope struct {
	Format int             `json:"format"`
	Sum    string          `json:"sha256"`
	Entry  json.RawMessage `json:"entry"`
}

func (e *envelope) sum() string {
	return digest(fmt.Appendf(nil, "%d\n%s", e.Format, e.Entry))
}

// digest returns the SHA-256 of data in hex.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// check reports what is wrong with a key.
func (k Key) check() error {
	for _, part := range []struct{ name, value string }{{"repository", k.Repository}, {"commit", k.Commit}, {"model", k.Model}} {
		if part.value == "" {
			return fmt.Errorf("%v: no %s", k, part.name)
		}
		if len(part.value) > maxPart {
			return fmt.Errorf("state: %s of %d bytes: at most %d", part.name, len(part.value), maxPart)
		}
		if strings.ToValidUTF8(part.value, "") != part.value {
			return fmt.Errorf("%v: %s is not UTF-8", k, part.name)
		}
	}
	return nil
}

// check reports what is wrong with an entry.
func (e *Entry) check() error {
	if err := e.Key.check(); err != nil {
		return err
	}
	if e.Steps < 0 {
		return fmt.Errorf("%v: %d steps", e.Key, e.Steps)
	}
	for name, v := range e.Notes {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%v: note %q is %v: only finite numbers can be kept", e.Key, name, v)
		}
	}
	return nil
}

// encode returns the file of an entry.
func (e *Entry) encode() ([]byte, error) {
	raw, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	env := envelope{Format: entryFormat, Entry: raw}
	env.Sum = env.sum()
	data, err := json.Marshal(env)
	if err == nil && len(data) > maxEntry {
		err = fmt.Errorf("%v: an entry of %d bytes, with %d notes: at most %d", e.Key, len(data), len(e.Notes), maxEntry)
	}
	return append(data, '\n'), err
}

// errNewer is returned by decodeEntry for a file of a later version.
var errNewer = errors.New("written by a newer version of code2lora: use that one")

// decodeEntry reads the file of an entry. Its error is errNewer, or says why the
// file is not one that encode has made.
func decodeEntry(data []byte) (Entry, error) {
	if len(data) > maxEntry+1 {
		return Entry{}, fmt.Errorf("more than %d bytes", maxEntry)
	}
	var env envelope
	d := json.NewDecoder(bytes.NewReader(data))
	switch err := d.Decode(&env); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Entry{}, fmt.Errorf("cut off after %d bytes", len(data))
	case err != nil:
		return Entry{}, err
	}
	if rest, err := io.ReadAll(d.Buffered()); err != nil || len(bytes.TrimSpace(rest)) > 0 {
		return Entry{}, errors.New("something follows the entry")
	}
	if env.Sum != env.sum() {
		return Entry{}, errors.New("its checksum differs")
	}
	if env.Format != entryFormat {
		return Entry{}, fmt.Errorf("format %d, want %d: %w", env.Format, entryFormat, errNewer)
	}
	var e Entry
	if err := json.Unmarshal(env.Entry, &e); err != nil {
		return Entry{}, err
	}
	if err := e.check(); err != nil {
		return Entry{}, err
	}
	if raw, err := hex.DecodeString(e.Digest); err != nil || len(raw) != sha256.Size || strings.ToLower(e.Digest) != e.Digest {
		return Entry{}, fmt.Errorf("digest %q, want SHA-256 in hex", e.Digest)
	}
	if e.Size < 0 || e.Size > math.MaxInt64-1 {
		return Entry{}, fmt.Errorf("size %d", e.Size)
	}
	return e, nil
}

// name returns the object of a key's entry.
func (k Key) name() string {
	return folder(k.Repository, k.Model) + fileName(k.Commit) + ".json"
}

// folder returns the folder of entries, with a slash behind it, of a repository
// and a model, of a repository if model is empty, or of all if both are.
func folder(repository, model string) string {
	dir := "entries/"
	for _, part := range []string{repository, model} {
		if part == "" {
			break
		}
		dir += fileName(part) + "/"
	}
	return dir
}

// blobName returns the object of data with a digest.
func blobName(digest string) string { return "blobs/" + digest[:2] + "/" + digest }

// fileName returns a file name for a part of a key: object ids and digests are
// themselves, anything else is "x" and its digest, which is safe on every
// system, whatever it is.
func fileName(part string) string {
	if len(part) <= 64 && strings.Trim(part, "0123456789abcdef") == "" {
		return part
	}
	return "x" + digest([]byte(part))
}
