package gitrepo

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPlainTree(t *testing.T) {
	var regular []entry
	for _, f := range mixed {
		if f.mode != "120000" && f.mode != "160000" {
			regular = append(regular, f)
		}
	}
	dir := plainTree(t, append(regular,
		entry{path: "nested/.git/HEAD", data: "x"}, entry{path: "nested/code.py", data: "n = 1\n"},
		entry{path: "myenv/pyvenv.cfg", data: "x"}, entry{path: "myenv/lib/x.py", data: "x"}))
	outside := filepath.Join(t.TempDir(), "secret.py")
	writeFile(t, outside, "secret\n")
	for link, target := range map[string]string{"out.py": outside, "loop": ".", "link.py": "ok.py"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Skip("symbolic links: ", err)
		}
	}
	r := openAt(t, dir, Options{})
	s := snapshot(t, r, "", Filter{MaxBytes: 2000, SkipTests: true})
	got := texts(t, s)
	if want := "bom.py docs/api/example.py docs/example.py exec.py latin.py nested/code.py ok.py"; strings.Join(sortedKeys(got), " ") != want {
		t.Errorf("files: got %v, want %s", sortedKeys(got), want)
	}
	want := map[string]Reason{
		"README.md": ReasonLanguage, "link.py": ReasonSymlink, "out.py": ReasonSymlink, "loop": ReasonSymlink,
		"src/_vendor/": ReasonVendored, "myenv/": ReasonVendored, "nested/.git/": ReasonIrregular,
		"api_pb2.py": ReasonGenerated, "__init__.py": ReasonEmpty, "blank.py": ReasonEmpty, "large.py": ReasonTooLarge,
		"binary.py": ReasonBinary, "cp1252.py": ReasonEncoding, "made.py": ReasonGenerated, "tests/helper.py": ReasonTest,
	}
	if got := reasons(s); !maps.Equal(got, want) {
		t.Errorf("skipped: got %v, want %v", got, want)
	}
	if _, err := r.Snapshot(t.Context(), "main", Filter{}); !errors.Is(err, ErrNotGit) {
		t.Errorf("Snapshot(main): got %v, want ErrNotGit", err)
	}
	if _, err := r.Log(t.Context(), "", 0); !errors.Is(err, ErrNotGit) {
		t.Errorf("Log: got %v, want ErrNotGit", err)
	}

	ok := s.Files[indexOf(s.Files, "ok.py")]
	writeFile(t, filepath.Join(dir, "ok.py"), "x = 9\n")
	if _, err := s.Read(t.Context(), ok); !errors.Is(err, ErrChanged) {
		t.Errorf("changed file: got %v, want ErrChanged", err)
	}
	if err := os.Remove(filepath.Join(dir, "ok.py")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "ok.py")); err != nil {
		t.Fatal(err)
	}
	if raw, err := s.Read(t.Context(), ok); err == nil {
		t.Errorf("file replaced by a link: got %q, want an error", raw)
	}
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// tarGz makes a compressed tar archive.
func tarGz(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range headers {
		h.Mode = 0o644
		body := []byte("x = 1\n")
		if h.Typeflag == 0 || h.Typeflag == tar.TypeReg {
			h.Size = int64(len(body))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write(body); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArchive(t *testing.T) {
	outside := t.TempDir()
	dir := t.TempDir()
	file := filepath.Join(dir, "pkg-1.0.tgz")
	writeFile(t, file, string(tarGz(t,
		tar.Header{Name: "pkg-1.0/", Typeflag: tar.TypeDir},
		tar.Header{Name: "pkg-1.0/pkg/a.py"},
		tar.Header{Name: "./pkg-1.0/b.py"},
		tar.Header{Name: "pkg-1.0/link.py", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		tar.Header{Name: "pkg-1.0/hard.py", Typeflag: tar.TypeLink, Linkname: "pkg-1.0/b.py"},
		tar.Header{Name: "pkg-1.0/fifo", Typeflag: tar.TypeFifo},
	)))
	r := openAt(t, file, Options{})
	s := snapshot(t, r, "", Filter{})
	if got := paths(s.Files); got != "b.py pkg/a.py" || r.Name() != "pkg-1.0" || r.IsGit() {
		t.Errorf("got %s of %s", got, r.Name())
	}
	want := map[string]Reason{"link.py": ReasonSymlink, "hard.py": ReasonSymlink, "fifo": ReasonIrregular}
	if got := reasons(s); !maps.Equal(got, want) {
		t.Errorf("skipped: got %v, want %v", got, want)
	}
	temp := r.temp
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := os.Stat(temp); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %s is still there", temp)
	}

	whole := tarGz(t, tar.Header{Name: "a.py"}, tar.Header{Name: "b.py"})
	hostile := map[string][]byte{
		"climbs":    tarGz(t, tar.Header{Name: "../escaped.py"}),
		"deep":      tarGz(t, tar.Header{Name: "a/../../escaped.py"}),
		"absolute":  tarGz(t, tar.Header{Name: filepath.Join(outside, "escaped.py")}),
		"link":      tarGz(t, tar.Header{Name: "d", Typeflag: tar.TypeSymlink, Linkname: outside}, tar.Header{Name: "d/escaped.py"}, tar.Header{Name: "../x"}),
		"dir twice": tarGz(t, tar.Header{Name: "a"}, tar.Header{Name: "a/b.py"}),
		"truncated": whole[:len(whole)/2],
		"empty":     nil,
	}
	for name, data := range hostile {
		bad := filepath.Join(dir, name+".tar.gz")
		writeFile(t, bad, string(data))
		if r, err := Open(t.Context(), bad, Options{}); err == nil {
			r.Close()
			t.Errorf("%s: got no error", name)
		} else if !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: got %q, want the archive named", name, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(outside, "*")); len(left) != 0 {
		t.Errorf("written outside: %v", left)
	}
}

func TestZipClimbs(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if _, err := z.Create("../escaped.py"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "x.zip")
	writeFile(t, file, b.String())
	if _, err := Open(t.Context(), file, Options{}); !errors.Is(err, ErrArchive) {
		t.Errorf("got %v, want ErrArchive", err)
	}
}

// TestArchiveLimit has an extractor with room for ten bytes.
func TestArchiveLimit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.tgz")
	writeFile(t, file, string(tarGz(t, tar.Header{Name: "a.py"}, tar.Header{Name: "b.py"})))
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := untar(t.Context(), file, &extractor{root: root, left: 10}); !errors.Is(err, ErrArchive) {
		t.Errorf("12 bytes into 10: got %v, want ErrArchive", err)
	}
	if err := untar(t.Context(), file, &extractor{root: root, left: 12}); err != nil {
		t.Errorf("12 bytes into 12: %v", err)
	}
}
