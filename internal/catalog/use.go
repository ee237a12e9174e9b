package catalog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Ensure returns the file of the model called name: the one on this machine, or
// else, at first use, the one it pulls after saying so through [Options].Notice.
func Ensure(ctx context.Context, name string, opt Options) (string, error) {
	m, err := Lookup(name)
	if err != nil {
		return "", err
	}
	return m.ensure(ctx, opt)
}

func (m Model) ensure(ctx context.Context, opt Options) (string, error) {
	if path, ok, err := Path(ctx, m); ok || err != nil {
		return path, err
	}
	if name := offlineBy(); name != "" && opt.Source == "" && !m.hasFile() {
		return "", fmt.Errorf("model %q is not on this machine: %w: %s forbids network access; run \"code2lora pull %s\" once without it",
			m.Name, ErrOffline, name, m.Name)
	}
	opt.notice("%s (%s, %s) is not on this machine yet: pulling it once", m.Name, megabytes(m.Bytes), m.Licence)
	return Pull(ctx, m, opt)
}

// hasFile reports whether a source of m needs no network.
func (m Model) hasFile() bool {
	for _, s := range m.Sources {
		if s.File != "" {
			return true
		}
	}
	return false
}

func megabytes(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }

// Resolve returns a model and its file. nameOrFile is a name of the catalogue,
// for which it does what [Ensure] does, or the path of a GGUF file. Such a file
// is a model of its own, called by the file's name without the suffix, unless
// it is one of the catalogue by its digest.
func Resolve(ctx context.Context, nameOrFile string, opt Options) (Model, string, error) {
	m, err := Lookup(nameOrFile)
	if err == nil {
		path, err := m.ensure(ctx, opt)
		return m, path, err
	}
	if !errors.Is(err, ErrUnknown) {
		return Model{}, "", err
	}
	if _, statErr := os.Stat(nameOrFile); statErr != nil {
		if strings.ContainsAny(nameOrFile, `/\`) || strings.EqualFold(filepath.Ext(nameOrFile), ".gguf") {
			return Model{}, "", statErr
		}
		return Model{}, "", err
	}
	m, err = fromFile(ctx, nameOrFile)
	return m, m.file, err
}

// fromFile makes a model of a GGUF file.
func fromFile(ctx context.Context, path string) (Model, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Model{}, err
	}
	if err := checkMagic(path); err != nil {
		return Model{}, err
	}
	sum, size, err := digest(ctx, path, nil)
	if err != nil {
		return Model{}, err
	}
	models, err := List()
	if err != nil {
		return Model{}, err
	}
	for _, m := range models {
		if m.SHA256 == sum {
			m.file = path
			return m, nil
		}
	}
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	return Model{Name: name, Bytes: size, SHA256: sum, Custom: true, file: path}, nil
}

// checkMagic refuses what is clearly no GGUF file before all of it is hashed.
func checkMagic(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	magic := make([]byte, 4)
	if _, err := f.Read(magic); err != nil || string(magic) != "GGUF" {
		return fmt.Errorf("%s: not a GGUF file: it does not begin with \"GGUF\"", path)
	}
	return nil
}
