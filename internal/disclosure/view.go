package disclosure

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/gitrepo"
)

// View is what may be seen of a repository at a commit while one file is asked
// about. It is an [encoder.Source]. Its methods may be called concurrently.
type View struct {
	repo   *Repository
	asked  string
	hidden []string // by path
	files  []*file  // by path
	key    string

	readmes []*file // for Described alone
}

var _ encoder.Source = (*View)(nil)

// Repository returns owner/name.
func (v *View) Repository() string { return v.repo.name }

// Commit returns the full id of the commit that is read, or "".
func (v *View) Commit() string { return v.repo.commit }

// Level returns the level of disclosure.
func (v *View) Level() Level { return v.repo.level }

// Asked returns the path of the file that is asked about.
func (v *View) Asked() string { return v.asked }

// Hidden returns the paths of the files that are hidden because of the one that
// is asked about, itself included if it exists.
func (v *View) Hidden() []string { return slices.Clone(v.hidden) }

// Key identifies what the view shows: the paths and contents of its files. Views
// of different files have the same key only if they show the same.
func (v *View) Key() string { return v.key }

func (v *View) digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00%s\x00", v.repo.name, v.repo.commit, v.repo.level)
	for _, f := range v.files {
		fmt.Fprintf(h, "%s\x00%s\x00", f.Path, f.ID)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Blobs returns the files, by path.
func (v *View) Blobs() []encoder.Blob {
	return v.blobs(func(*file) bool { return true })
}

// Described returns the view with the repository's name and the READMEs at its
// root, whatever languages are read: the same that an encoder of descriptions is
// trained with.
func (v *View) Described() *Described { return &Described{v} }

// Described is an [encoder.Source] with documentation.
type Described struct{ *View }

var _ encoder.Source = (*Described)(nil)

// Name returns owner/name.
func (d *Described) Name() string { return d.repo.name }

// Blobs returns the files and READMEs, by path.
func (d *Described) Blobs() []encoder.Blob {
	blobs := d.View.Blobs()
	for _, f := range d.readmes {
		blobs = append(blobs, f.Blob)
	}
	slices.SortFunc(blobs, func(a, b encoder.Blob) int { return strings.Compare(a.Path, b.Path) })
	return blobs
}

// Each implements [encoder.Source], as [View.Each] does.
func (d *Described) Each(ctx context.Context, blobs []encoder.Blob, f func(encoder.Blob, []byte) error) error {
	for _, b := range blobs {
		some := []encoder.Blob{b}
		read := d.View.Each
		if slices.ContainsFunc(d.readmes, func(r *file) bool { return r.Blob == b }) {
			read = d.batch
		}
		if err := read(ctx, some, f); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Tests returns those of Blobs that are tests, by path or by content. At the
// level [Production] there are none.
func (v *View) Tests() []encoder.Blob {
	return v.blobs(func(f *file) bool { return f.test })
}

func (v *View) blobs(want func(*file) bool) []encoder.Blob {
	var blobs []encoder.Blob
	for _, f := range v.files {
		if want(f) {
			blobs = append(blobs, f.Blob)
		}
	}
	return blobs
}

// batchBytes bounds what Each has in memory beside the cache, if it needs more
// than one file from git.
const batchBytes = 8 << 20

// Each implements [encoder.Source]. The content is UTF-8, as [gitrepo.Text] gives
// it, and must not be changed. A blob that the view doesn't have is an error of
// the kind [ErrHidden].
func (v *View) Each(ctx context.Context, blobs []encoder.Blob, f func(encoder.Blob, []byte) error) error {
	for _, b := range blobs {
		if have, err := v.find(b.Path); err != nil || have.ID != b.ID {
			return fmt.Errorf("file %q (%s) of %s at %s: %w", b.Path, b.ID, v.repo.name, v.repo.commit, ErrHidden)
		}
	}
	for len(blobs) > 0 {
		n, size := 0, int64(0)
		for n < len(blobs) && (n == 0 || size+blobs[n].Size <= batchBytes) {
			size += blobs[n].Size
			n++
		}
		if err := v.batch(ctx, blobs[:n], f); err != nil {
			return err
		}
		blobs = blobs[n:]
	}
	return ctx.Err()
}

// batch reads those of blobs that the cache doesn't have, all with one process,
// and passes all on in order.
func (v *View) batch(ctx context.Context, blobs []encoder.Blob, f func(encoder.Blob, []byte) error) error {
	texts := make(map[string][]byte, len(blobs)) // by id
	var missing []gitrepo.File
	for _, b := range blobs {
		text, ok := v.repo.cache.text(b.Path, b.ID)
		if ok {
			texts[b.ID] = text
		} else {
			missing = append(missing, gitrepo.File{Path: b.Path, BlobID: b.ID, Size: b.Size})
		}
	}
	if len(missing) > 0 {
		err := v.repo.snapshot.Each(ctx, missing, func(file gitrepo.File, text []byte) error {
			texts[file.BlobID] = text
			v.repo.cache.keepText(file.Path, file.BlobID, text)
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading %s: %w", v.repo.name, err)
		}
	}
	for _, b := range blobs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if text, ok := texts[b.ID]; ok {
			if err := f(b, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// Read returns the content of a file, which must not be changed. An error of the
// kind [ErrHidden] tells that the view has no such file.
func (v *View) Read(ctx context.Context, path string) ([]byte, error) {
	f, err := v.find(path)
	if err != nil {
		return nil, err
	}
	var content []byte
	err = v.batch(ctx, []encoder.Blob{f.Blob}, func(_ encoder.Blob, text []byte) error {
		content = text
		return nil
	})
	return content, err
}

func (v *View) find(path string) (*file, error) {
	i, ok := slices.BinarySearchFunc(v.files, path, func(f *file, path string) int { return strings.Compare(f.Path, path) })
	if !ok {
		return nil, fmt.Errorf("file %q of %s at %s: %w", path, v.repo.name, v.repo.commit, ErrHidden)
	}
	return v.files[i], nil
}
