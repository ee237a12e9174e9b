package gitrepo

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Read returns the content of a file exactly as stored. [Text] makes of it
// what Each would have passed on.
func (s *Snapshot) Read(ctx context.Context, f File) ([]byte, error) {
	var content []byte
	err := s.blobs(ctx, []File{f}, func(_ File, raw []byte) error {
		content = raw
		return nil
	})
	return content, err
}

// Each calls fn with the text of each file, in order, and stops at the first
// error. The text is UTF-8; a file that [Text] leaves out is not passed on but
// added to Skipped. fn may keep the text. Each may run several times at once,
// for different parts of Files.
func (s *Snapshot) Each(ctx context.Context, files []File, fn func(File, []byte) error) error {
	return s.blobs(ctx, files, func(f File, raw []byte) error {
		text, converted, why := Text(raw, s.keepGenerated)
		if why != "" {
			s.skip(f.Path, f.Size, why)
			return nil
		}
		if converted != "" {
			s.mu.Lock()
			s.recoded[f.Path] = converted
			s.mu.Unlock()
		}
		return fn(f, text)
	})
}

// blobs passes the stored contents of files to fn, one at a time.
func (s *Snapshot) blobs(ctx context.Context, files []File, fn func(File, []byte) error) error {
	if len(files) == 0 {
		return ctx.Err()
	}
	if s.repo.git == nil {
		return s.readPlain(ctx, files, fn)
	}
	for _, f := range files {
		if !isHex(f.BlobID) {
			return fmt.Errorf("file %q: blob id %q is not one of git's", f.Path, f.BlobID)
		}
	}
	return s.repo.stream(ctx, &idReader{files: files}, func(out io.Reader) error {
		r := bufio.NewReaderSize(out, 1<<16)
		for _, f := range files {
			raw, err := readBlob(r, f)
			if err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			if err := fn(f, raw); err != nil {
				return err
			}
		}
		return nil
	}, "cat-file", "--batch", "--buffer")
}

// readBlob reads one answer of git cat-file --batch: "ID TYPE SIZE", a line
// break, the content and another line break, or "ID missing".
func readBlob(r *bufio.Reader, f File) ([]byte, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, outputEnded(err)
	}
	fields := strings.Fields(line)
	if len(fields) == 2 && fields[1] == "missing" {
		return nil, missing(f.BlobID, f.Path)
	}
	if len(fields) != 3 || fields[0] != f.BlobID || fields[1] != "blob" {
		return nil, fmt.Errorf("file %q: git cat-file answered %q, want blob %s", f.Path, strings.TrimSpace(line), f.BlobID)
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || size != f.Size {
		return nil, fmt.Errorf("file %q: blob %s has size %s, want %d", f.Path, f.BlobID, fields[2], f.Size)
	}
	raw := make([]byte, size+1)
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, outputEnded(err)
	}
	return raw[:size:size], nil
}

// idReader yields the blob ids of files, a line each.
type idReader struct {
	files []File
	line  bytes.Reader
}

func (r *idReader) Read(p []byte) (int, error) {
	if r.line.Len() == 0 {
		if len(r.files) == 0 {
			return 0, io.EOF
		}
		var b []byte
		n := min(len(r.files), 256)
		for _, f := range r.files[:n] {
			b = append(append(b, f.BlobID...), '\n')
		}
		r.files = r.files[n:]
		r.line.Reset(b)
	}
	return r.line.Read(p)
}

// isHex tells whether id is a SHA-1 or SHA-256 in hexadecimal.
func isHex(id string) bool {
	return (len(id) == 40 || len(id) == 64) && strings.Trim(id, "0123456789abcdef") == ""
}
