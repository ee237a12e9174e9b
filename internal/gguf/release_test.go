package gguf

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestRelease shows that released bytes can still be read, whatever part of
// pages they are.
func TestRelease(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, unmap, err := mapFile(f, len(content))
	if err != nil {
		t.Fatal(err)
	}
	defer unmap()
	for _, r := range [][2]int{{0, len(content)}, {1, 2}, {100, 4096}, {4096, 8192}, {5000, 60000}} {
		release(data[r[0]:r[1]])
		if !bytes.Equal(data, content) {
			t.Errorf("bytes %d to %d: content differs after release", r[0], r[1])
		}
	}
}
