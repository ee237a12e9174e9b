package gitrepo

import (
	"archive/tar"
	"archive/zip"
	"cmp"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Limits of an archive, against those made to fill the disk.
const (
	maxArchiveBytes   = 2 << 30
	maxArchiveEntries = 300_000
)

// archiveKinds are the endings of source archives, longest first.
var archiveKinds = []struct {
	ending string
	unpack func(context.Context, string, *extractor) error
}{
	{".tar.bz2", untar}, {".tar.gz", untar}, {".tgz", untar}, {".tar", untar}, {".zip", unzip}, {".whl", unzip},
}

// openArchive extracts a source archive into a temporary directory and opens
// it as a plain source tree. A single directory at its top, as source
// distributions have, is left out of the paths.
func openArchive(ctx context.Context, file string, opt Options) (*Repo, error) {
	for _, kind := range archiveKinds {
		name, ok := strings.CutSuffix(filepath.Base(file), kind.ending)
		if !ok {
			continue
		}
		temp, err := os.MkdirTemp("", "code2lora-archive-*")
		if err != nil {
			return nil, fmt.Errorf("archive %s: %w", file, err)
		}
		r := &Repo{name: cmp.Or(opt.Name, name), path: file, temp: temp}
		if err := extract(ctx, r, kind.unpack); err != nil {
			r.Close()
			return nil, fmt.Errorf("archive %s: %w", file, err)
		}
		return r, nil
	}
	return nil, fmt.Errorf("repository %s: a file, and none of the source archives that can be read (.tar.gz, .tgz, .tar.bz2, .tar, .zip, .whl)", file)
}

func extract(ctx context.Context, r *Repo, unpack func(context.Context, string, *extractor) error) error {
	root, err := os.OpenRoot(r.temp)
	if err != nil {
		return err
	}
	defer root.Close()
	x := &extractor{root: root, left: maxArchiveBytes}
	if err := unpack(ctx, r.path, x); err != nil {
		return err
	}
	r.archived = x.skipped
	return nil
}

// extractor writes the regular files of an archive below root. os.Root refuses
// to leave it, also by links, of which none is ever made.
type extractor struct {
	root    *os.Root
	left    int64 // bytes that may still be written
	entries int
	skipped []Skip
}

// add extracts one entry. content is only called for regular files.
func (x *extractor) add(ctx context.Context, name string, mode fs.FileMode, size int64, content func() (io.ReadCloser, error)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if x.entries++; x.entries > maxArchiveEntries {
		return fmt.Errorf("%w: more than %d entries", ErrArchive, maxArchiveEntries)
	}
	clean := path.Clean(strings.TrimSuffix(name, "/"))
	if clean == "." {
		return nil
	}
	if path.IsAbs(clean) || !filepath.IsLocal(filepath.FromSlash(clean)) {
		return fmt.Errorf("%w: entry %q lies outside it", ErrArchive, name)
	}
	switch {
	case mode.IsDir():
		return x.root.MkdirAll(filepath.FromSlash(clean), 0o755)
	case mode&fs.ModeSymlink != 0:
		x.skipped = append(x.skipped, Skip{Path: clean, Reason: ReasonSymlink})
		return nil
	case !mode.IsRegular():
		x.skipped = append(x.skipped, Skip{Path: clean, Reason: ReasonIrregular})
		return nil
	case size > x.left:
		return fmt.Errorf("%w: more than %d bytes when extracted", ErrArchive, int64(maxArchiveBytes))
	}
	r, err := content()
	if err != nil {
		return fmt.Errorf("%w: entry %q: %w", ErrArchive, name, err)
	}
	defer r.Close()
	return x.write(clean, r)
}

// write copies one file, however long it says it is.
func (x *extractor) write(name string, r io.Reader) error {
	local := filepath.FromSlash(name)
	if err := x.root.MkdirAll(filepath.Dir(local), 0o755); err != nil {
		return err
	}
	f, err := x.root.Create(local)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(r, x.left+1))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("%w: entry %q: %w", ErrArchive, name, err)
	}
	if x.left -= n; x.left < 0 {
		return fmt.Errorf("%w: more than %d bytes when extracted", ErrArchive, int64(maxArchiveBytes))
	}
	return nil
}

func untar(ctx context.Context, file string, x *extractor) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var r io.Reader = f
	switch {
	case strings.HasSuffix(file, ".bz2"):
		r = bzip2.NewReader(f)
	case strings.HasSuffix(file, "gz"):
		z, err := gzip.NewReader(f)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrArchive, err)
		}
		defer z.Close()
		r = z
	}
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrArchive, err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader { // git archive notes the commit there
			continue
		}
		mode := h.FileInfo().Mode()
		if h.Typeflag == tar.TypeLink { // to another entry: no content of its own
			mode |= fs.ModeSymlink
		}
		err = x.add(ctx, h.Name, mode, h.Size, func() (io.ReadCloser, error) { return io.NopCloser(t), nil })
		if err != nil {
			return err
		}
	}
}

func unzip(ctx context.Context, file string, x *extractor) error {
	z, err := zip.OpenReader(file)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrArchive, err)
	}
	defer z.Close()
	for _, f := range z.File {
		size := int64(min(f.UncompressedSize64, 1<<62))
		if err := x.add(ctx, f.Name, f.Mode(), size, f.Open); err != nil {
			return err
		}
	}
	return nil
}

// archiveTop returns the only directory at the top of an extracted archive,
// or ".".
func archiveTop(r *Repo, root *os.Root) (string, error) {
	if r.temp == "" {
		return ".", nil
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return "", err
	}
	if len(entries) == 1 && entries[0].IsDir() {
		return entries[0].Name(), nil
	}
	return ".", nil
}
