package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Names of the weights in a Hugging Face checkpoint folder.
const (
	singleName = "model.safetensors"
	indexName  = "model.safetensors.index.json"
)

// Sharded is a checkpoint of one or more files.
type Sharded struct {
	files map[string]*File // by file name
	where map[string]*File // by tensor name
}

// OpenSharded opens the weights of a checkpoint folder: the shards that
// model.safetensors.index.json lists, or else model.safetensors.
func OpenSharded(dir string) (*Sharded, error) {
	index := filepath.Join(dir, indexName)
	f, err := os.Open(index)
	if errors.Is(err, fs.ErrNotExist) {
		single, err := Open(filepath.Join(dir, singleName))
		if err != nil {
			return nil, err
		}
		s := &Sharded{files: map[string]*File{singleName: single}, where: map[string]*File{}}
		for name := range single.tensors {
			s.where[name] = single
		}
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxHeader+1))
	if err != nil {
		return nil, err
	}
	weightMap, err := parseIndex(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", index, err)
	}
	s := &Sharded{files: map[string]*File{}, where: map[string]*File{}}
	if err := s.open(dir, weightMap); err != nil {
		s.Close()
		return nil, fmt.Errorf("%s: %w", index, err)
	}
	return s, nil
}

// parseIndex returns the weight map of an index: tensor name to file name.
func parseIndex(raw []byte) (map[string]string, error) {
	if len(raw) > maxHeader {
		return nil, fmt.Errorf("index is above the limit of %d bytes", maxHeader)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	var weightMap map[string]string
	err := decodeObject(dec, func(key string) (err error) {
		if key == "weight_map" {
			weightMap, err = decodeStrings(dec)
			return err
		}
		var ignored json.RawMessage
		return dec.Decode(&ignored)
	})
	if err == nil && weightMap == nil {
		err = errors.New("no weight_map")
	}
	return weightMap, err
}

// open opens every file of the map, and finds every tensor in its file.
func (s *Sharded) open(dir string, weightMap map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(weightMap)) {
		file := weightMap[name]
		// The file may be a link to anywhere, as in the hub's cache, but the
		// name must not leave the folder.
		if !filepath.IsLocal(file) {
			return fmt.Errorf("weight_map: tensor %q is in %q, outside of the folder", name, file)
		}
		if s.files[file] == nil {
			f, err := Open(filepath.Join(dir, file))
			if err != nil {
				return err
			}
			s.files[file] = f
		}
		if _, ok := s.files[file].Info(name); !ok {
			return fmt.Errorf("weight_map: tensor %q is not in %q", name, file)
		}
		s.where[name] = s.files[file]
	}
	return nil
}

// Close closes all files.
func (s *Sharded) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// Names returns the names of all tensors, sorted.
func (s *Sharded) Names() []string { return slices.Sorted(maps.Keys(s.where)) }

// Info describes a tensor; its byte range is that within its own file.
func (s *Sharded) Info(name string) (Info, bool) {
	if f := s.where[name]; f != nil {
		return f.Info(name)
	}
	return Info{}, false
}

// Shape returns the shape of a tensor.
func (s *Sharded) Shape(name string) ([]int, bool) {
	info, ok := s.Info(name)
	return info.Shape, ok
}

// Bytes is [File.Bytes] of the file that has the tensor.
func (s *Sharded) Bytes(name string) ([]byte, error) {
	if f := s.where[name]; f != nil {
		return f.Bytes(name)
	}
	return nil, fmt.Errorf("no tensor %q", name)
}

// Float32s is [File.Float32s] of the file that has the tensor.
func (s *Sharded) Float32s(name string) ([]float32, error) {
	if f := s.where[name]; f != nil {
		return f.Float32s(name)
	}
	return nil, fmt.Errorf("no tensor %q", name)
}
