package repopeft

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// ReleasedRepository is a repository of the authors' JSON files.
type ReleasedRepository struct {
	Name      string
	Tasks     []*Task
	Embedding []float32 // ReleasedVector numbers, or nil
	Files     []ReleasedFile
}

// ReleasedFile is the embedding of a file.
type ReleasedFile struct {
	Path      string    `json:"path"`
	Embedding []float32 `json:"embedding"`
}

// ReleasedRepositories yields the repositories of a JSON file that the authors'
// programs write, and ends with the first error. It is one of
//
//   - train, ir_val, ir_test, cr_val, cr_test or ood_test.json, also with
//     _structured in their names:
//     {"repositories": {"owner/name": {"qna_pairs": […], "embedding": […], "file_embeddings": […]}}};
//   - QNA_HYPERNET.json of one repository: {"repo": "owner/name", "pairs": […]}.
//
// Splits come from the name of the file; another name gives "". The tasks have
// no commit, unless the file says it. One repository is in memory at a time.
func ReleasedRepositories(path string) iter.Seq2[*ReleasedRepository, error] {
	return func(yield func(*ReleasedRepository, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		r := &jsonReader{dec: json.NewDecoder(bufio.NewReaderSize(f, 1<<16)), suite: suiteOf(path), yield: yield}
		if err := r.file(); err != nil && !errors.Is(err, errStop) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			yield(nil, fmt.Errorf("%s: at byte %d: %w", path, r.dec.InputOffset(), err))
		}
	}
}

// suiteOf returns what the name of a file says.
func suiteOf(path string) suite {
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	s, ok := suites[strings.TrimSuffix(name, "_structured")]
	if !ok {
		s.track = Static
	}
	return s
}

// errStop ends the reading of a file of which nobody wants more.
var errStop = errors.New("stop")

// jsonReader reads a JSON file piece by piece.
type jsonReader struct {
	dec   *json.Decoder
	suite suite
	yield func(*ReleasedRepository, error) bool
}

// file reads the outermost object.
func (r *jsonReader) file() error {
	single := &ReleasedRepository{}
	var pairs []releasedPair
	found := false
	err := r.object("the file", func(name string) error {
		switch name {
		case "repositories":
			found = true
			return r.object("repositories", r.repository)
		case "repo":
			return r.decode("repo", &single.Name)
		case "pairs":
			found = true
			return r.array("pairs", func(i int) error {
				pairs = append(pairs, releasedPair{})
				return r.decode(fmt.Sprintf("pair %d", i), &pairs[i])
			})
		}
		return r.skip()
	})
	if err != nil {
		return err
	}
	if !found {
		return errors.New(`it has neither "repositories" nor "pairs"`)
	}
	if pairs == nil {
		return nil
	}
	if single.Name == "" {
		single.Name = pairs[0].Metadata.Repo
	}
	return r.finish(single, pairs)
}

// repository reads one value of "repositories", and passes it on.
func (r *jsonReader) repository(name string) error {
	repo := &ReleasedRepository{Name: name}
	var pairs []releasedPair
	err := r.object("repository "+name, func(field string) error {
		switch field {
		case "qna_pairs", "pairs":
			return r.array(field, func(i int) error {
				pairs = append(pairs, releasedPair{})
				return r.decode(fmt.Sprintf("pair %d of %s", len(pairs)-1, name), &pairs[len(pairs)-1])
			})
		case "embedding":
			return r.decode("embedding of "+name, &repo.Embedding)
		case "file_embeddings":
			return r.array(field, func(i int) error {
				repo.Files = append(repo.Files, ReleasedFile{})
				return r.decode(fmt.Sprintf("file embedding %d of %s", i, name), &repo.Files[i])
			})
		}
		return r.skip()
	})
	if err != nil {
		return err
	}
	return r.finish(repo, pairs)
}

// finish makes the tasks of a repository, and passes it on.
func (r *jsonReader) finish(repo *ReleasedRepository, pairs []releasedPair) error {
	for i := range pairs {
		t, err := pairs[i].task(repo.Name, r.suite)
		if err != nil {
			return fmt.Errorf("pair %d of %s: %w", i, repo.Name, err)
		}
		repo.Tasks = append(repo.Tasks, t)
	}
	if n := len(repo.Embedding); n != 0 && n != ReleasedVector {
		return fmt.Errorf("embedding of %s has %d numbers, want %d", repo.Name, n, ReleasedVector)
	}
	repo.Embedding = nonZero(repo.Embedding)
	for _, f := range repo.Files {
		if n := len(f.Embedding); n != ReleasedVector {
			return fmt.Errorf("embedding of %s %s has %d numbers, want %d", repo.Name, f.Path, n, ReleasedVector)
		}
	}
	if !r.yield(repo, nil) {
		return errStop
	}
	return nil
}

// releasedPair is a task as the authors write it.
type releasedPair struct {
	Prefix        *string `json:"prefix"`
	Target        *string `json:"target"`
	AssertionType string  `json:"assertion_type"`
	Difficulty    string  `json:"difficulty"`
	Metadata      struct {
		Repo         string `json:"repo"`
		Commit       string `json:"commit_sha"`
		File         string `json:"file"`
		Line         int    `json:"lineno"`
		Column       int    `json:"col_offset"`
		TestFunction string `json:"test_function"`
		TestClass    string `json:"test_class"`
	} `json:"metadata"`
}

// task makes a task of a pair.
func (p *releasedPair) task(repository string, s suite) (*Task, error) {
	if p.Prefix == nil {
		return nil, errors.New(`"prefix" is missing, want string`)
	}
	if p.Target == nil {
		return nil, errors.New(`"target" is missing, want string`)
	}
	t := &Task{
		Repository: repository, Track: s.track, Split: s.split, InRepo: s.inRepo,
		Commit: p.Metadata.Commit, File: p.Metadata.File, Language: "python",
		Kind: Assertion, Family: p.AssertionType, Difficulty: p.Difficulty,
		Function: p.Metadata.TestFunction, Class: p.Metadata.TestClass, Line: p.Metadata.Line,
		Prefix: *p.Prefix, Target: *p.Target,
	}
	return t, t.release(p.Metadata.Column)
}

// object calls field behind each name of an object. null is an empty one.
func (r *jsonReader) object(what string, field func(name string) error) error {
	open, err := r.begin(what, '{')
	if err != nil || !open {
		return err
	}
	for r.dec.More() {
		name, err := r.dec.Token()
		if err != nil {
			return err
		}
		if err := field(name.(string)); err != nil { // the decoder allows nothing else here
			return err
		}
	}
	_, err = r.dec.Token()
	return err
}

// array calls element before each element of an array. null is an empty one.
func (r *jsonReader) array(what string, element func(i int) error) error {
	open, err := r.begin(what, '[')
	if err != nil || !open {
		return err
	}
	for i := 0; r.dec.More(); i++ {
		if err := element(i); err != nil {
			return err
		}
	}
	_, err = r.dec.Token()
	return err
}

// begin reads the beginning of an object or array, or null.
func (r *jsonReader) begin(what string, want json.Delim) (open bool, err error) {
	t, err := r.dec.Token()
	if err != nil || t == nil {
		return false, err
	}
	if t != want {
		return false, fmt.Errorf("%s begins with %v, want %v", what, t, want)
	}
	return true, nil
}

// decode decodes the next value.
func (r *jsonReader) decode(what string, v any) error {
	if err := r.dec.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// skip leaves out the next value, without holding it.
func (r *jsonReader) skip() error {
	for depth := 0; ; {
		t, err := r.dec.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}
