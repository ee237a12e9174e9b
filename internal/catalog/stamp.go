package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/code2lora/code2lora/internal/store"
)

// stamp remembers the SHA-256 of a file as it was when last read in full. It
// holds as long as size and modification time stay the same.
type stamp struct {
	Path    string `json:"path"`
	Size    int64  `json:"size"`
	ModTime int64  `json:"mtime_ns"`
	SHA256  string `json:"sha256"`
}

// stampPath names the stamp of a file by the digest of its path.
func stampPath(path string) string {
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(store.Root(), "stamps", hex.EncodeToString(sum[:16])+".json")
}

// digest returns the SHA-256 of a file and its size, from the stamp if that
// still holds. A stamp that can't be written only costs time later on.
func digest(ctx context.Context, path string, progress func(done int64)) (string, int64, error) {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", 0, err
	}
	before, err := os.Stat(path)
	if err != nil {
		return "", 0, err
	}
	if !before.Mode().IsRegular() {
		return "", 0, fmt.Errorf("%s: not a regular file", path)
	}
	want := stamp{Path: path, Size: before.Size(), ModTime: before.ModTime().UnixNano()}
	var have stamp
	if raw, err := os.ReadFile(stampPath(path)); err == nil && json.Unmarshal(raw, &have) == nil {
		want.SHA256 = have.SHA256
		if have == want && sha256RE.MatchString(have.SHA256) {
			return have.SHA256, have.Size, nil
		}
	}
	sum, err := hashFile(ctx, path, progress)
	if err != nil {
		return "", 0, err
	}
	want.SHA256 = sum
	after, err := os.Stat(path)
	if err != nil {
		return "", 0, err
	}
	if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return "", 0, fmt.Errorf("%s: changed while it was read", path)
	}
	if time.Since(after.ModTime()) >= stampFresh {
		writeStamp(want)
	}
	return sum, want.Size, nil
}

// stampFresh is the age below which a modification time can't tell two writes
// apart, on the file systems with the coarsest clock (FAT: 2 s). A file that
// young gets no stamp yet.
const stampFresh = 2 * time.Second

func writeStamp(s stamp) {
	_ = store.WriteFile(stampPath(s.Path), func(w io.Writer) error { return json.NewEncoder(w).Encode(s) })
}

// hashFile reads a whole file and returns its SHA-256.
func hashFile(ctx context.Context, path string, progress func(done int64)) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := copyContext(ctx, h, f, progress); err != nil {
		return "", err
	}
	return hexSum(h), nil
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// copyContext copies until the end of src or of ctx, and reports the bytes
// copied so far. progress may be nil.
func copyContext(ctx context.Context, dst io.Writer, src io.Reader, progress func(done int64)) (int64, error) {
	buf := make([]byte, 1<<20)
	var done int64
	for {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		n, err := src.Read(buf)
		if n > 0 {
			w, err := dst.Write(buf[:n])
			done += int64(w)
			if err != nil {
				return done, err
			}
			if progress != nil {
				progress(done)
			}
		}
		if err == io.EOF {
			return done, nil
		}
		if err != nil {
			return done, err
		}
	}
}
