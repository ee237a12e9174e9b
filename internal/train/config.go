package train

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// Config is a training configuration: the YAML file given to the command.
type Config struct {
	Name string `yaml:"name"`
	Base string `yaml:"base"` // name in the catalogue, or a GGUF file
	// Repositories is a table of name, split and commit, see [ReadRepositories];
	// a relative path starts at the configuration's folder. With a benchmark it may
	// be missing, for all of the benchmark's repositories.
	Repositories string          `yaml:"repositories"`
	Data         DataOptions     `yaml:"data"`
	Encoder      encoder.Options `yaml:"encoder"`
	Head         HeadOptions     `yaml:"head"`
	Train        Options         `yaml:"train"`
	// Recurrence trains a recurrence over commits with the head; nil: the head
	// reads the vectors of snapshots.
	Recurrence *RecurrenceOptions `yaml:"recurrence"`

	path   string
	digest string
}

// DataOptions say which tasks are mined, or taken from a benchmark. Those that
// came later are left out of the JSON form where they aren't set: it identifies
// the data, and a run that was begun before goes on.
type DataOptions struct {
	WindowTokens    int `yaml:"window_tokens"`    // longest window of a test file
	TrainTasks      int `yaml:"train_tasks"`      // per training repository, at most
	ValidationTasks int `yaml:"validation_tasks"` // per validation repository, at most
	// ValidationRepositories bounds the repositories validated on; 0: all.
	ValidationRepositories int `yaml:"validation_repositories"`

	// Benchmark is a folder of package repopeft, whose tasks are taken instead of
	// mining some; a relative path starts at the configuration's folder. Training
	// repositories give their in-repository training tasks and no others, and are
	// read at the commit of the benchmark's manifest. A number of tasks of 0 means
	// all of them.
	Benchmark string   `yaml:"benchmark" json:"-"`       // its digest identifies it
	Tracks    []string `yaml:"tracks" json:",omitempty"` // static and evolution; none: static
	Kinds     []string `yaml:"kinds" json:",omitempty"`  // assertion, call and line; none: assertion
	// SpaceWithTarget moves the blanks before a target from the prefix to the
	// target. Byte-level tokenizers join a space to the word after it, so that a
	// prefix which ends in one puts a model at a disadvantage. Whoever asks the
	// adapters has to do the same.
	SpaceWithTarget bool `yaml:"space_with_target" json:",omitempty"`
}

// HeadOptions choose a hypernetwork head; the options are those of its kind,
// see package hypernet.
type HeadOptions struct {
	Kind    string         `yaml:"kind"`
	Options map[string]any `yaml:"options"`
	// From is a checkpoint of snapshots for the same base, from which the head of a
	// recurrence begins, as far as their parameters are alike: its average adapter
	// where it has one. A relative path starts at the configuration's folder.
	From string `yaml:"from"`
}

// ReadConfig reads a configuration. Fields that it does not give keep their
// defaults; fields that do not exist are errors.
func ReadConfig(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var kind struct {
		Encoder struct {
			Kind string `yaml:"kind"`
		} `yaml:"encoder"`
		Recurrence map[string]any `yaml:"recurrence"`
	}
	if err := yaml.Unmarshal(data, &kind); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	c := &Config{
		Name:    strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)),
		Data:    DataOptions{WindowTokens: 384, TrainTasks: 200, ValidationTasks: 40},
		Encoder: encoder.DefaultOptions(kind.Encoder.Kind),
		Head:    HeadOptions{Kind: "factored"},
		Train:   DefaultOptions(),
	}
	if kind.Recurrence != nil {
		c.Recurrence = DefaultRecurrenceOptions()
	}
	d := yaml.NewDecoder(strings.NewReader(string(data)))
	d.KnownFields(true)
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	if c.Recurrence != nil && len(c.Data.Tracks) == 0 {
		c.Data.Tracks = []string{string(repopeft.Evolution)}
	}
	c.Data.setDefaults()
	sum := sha256.Sum256(data)
	c.path, c.digest = path, hex.EncodeToString(sum[:])
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

func (c *Config) validate() error {
	var errs []error
	if c.Name == "" || c.Name != filepath.Base(c.Name) || c.Name[0] == '.' {
		errs = append(errs, fmt.Errorf("name %q: want a plain file name", c.Name))
	}
	if c.Base == "" {
		errs = append(errs, errors.New("base is missing: want a name of the catalogue or a GGUF file"))
	}
	if c.Repositories == "" && c.Data.Benchmark == "" {
		errs = append(errs, errors.New("repositories is missing: want a table of name, split and commit, or a data.benchmark"))
	}
	if err := c.Data.validate(); err != nil {
		errs = append(errs, err)
	}
	if err := c.Encoder.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("encoder: %w", err))
	}
	if err := c.Train.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("train: %w", err))
	}
	errs = append(errs, c.validateRecurrence())
	return errors.Join(errs...)
}

// Digest is the SHA-256 of the configuration file.
func (c *Config) Digest() string { return c.digest }

// Dir is the folder of the run: beside the configuration, with its name.
func (c *Config) Dir() string { return filepath.Join(filepath.Dir(c.path), c.Name) }

// RepositoriesPath is where the table of repositories lies, "" without.
func (c *Config) RepositoriesPath() string {
	if c.Repositories == "" || filepath.IsAbs(c.Repositories) {
		return c.Repositories
	}
	return filepath.Join(filepath.Dir(c.path), c.Repositories)
}

// Listed is one line of the table of repositories.
type Listed struct {
	Name   string // owner/name
	Split  dataset.Split
	Commit string
}

// ReadRepositories reads a table of repositories: tab-separated name, split,
// commit and anything else; lines that start with # are comments. A split that
// is not the one the split rule gives is an error, so that a test repository
// cannot be relabelled.
func ReadRepositories(path string) ([]Listed, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []Listed
	seen := map[string]int{}
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimRight(line, "\r")
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) < 3 || f[0] == "" || f[2] == "" {
			return nil, fmt.Errorf("%s line %d: want name, split and commit, separated by tabs", path, i+1)
		}
		split := dataset.SplitOf(f[0])
		if f[1] != string(split) {
			err := fmt.Errorf("%s line %d: %s is listed as %q, but the split rule makes it %q", path, i+1, f[0], f[1], split)
			if split == dataset.Test {
				err = fmt.Errorf("%w: %w", err, dataset.ErrTestRepository)
			}
			return nil, err
		}
		if at := seen[strings.ToLower(f[0])]; at > 0 {
			return nil, fmt.Errorf("%s line %d: %s is listed in line %d already", path, i+1, f[0], at)
		}
		seen[strings.ToLower(f[0])] = i + 1
		list = append(list, Listed{f[0], split, f[2]})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s lists no repositories", path)
	}
	return list, nil
}
