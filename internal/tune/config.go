package tune

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/code2lora/code2lora/internal/corpus"
	"github.com/code2lora/code2lora/internal/memory"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// What a job makes.
const (
	Shared          = "shared"       // one adapter for all training repositories
	PerRepository   = "repositories" // one for each
	maxPoints       = 1000           // of a grid
	defaultGridRepo = 8
)

// Config is the YAML file of a job.
type Config struct {
	Name   string      `yaml:"name"`
	Base   string      `yaml:"base"`   // name in the catalogue, or a GGUF file
	Target string      `yaml:"target"` // shared or repositories
	Data   DataOptions `yaml:"data"`
	Fit    Options     `yaml:"fit"`
	// Begin is an adapter of the rank and alpha of fit that fits of the method lora
	// begin with, such as one that is shared by all repositories; empty: with one
	// that changes nothing. A relative path starts at the configuration's folder.
	Begin string `yaml:"begin"`
	// Grid has, for names of options in fit, the values that are tried; every
	// combination is a point. Points have the same budget unless they sweep it.
	Grid map[string][]any `yaml:"grid"`
	// GridRepositories bounds the training repositories whose own adapters decide
	// a grid of the target repositories.
	GridRepositories int `yaml:"grid_repositories"`
	// TrunkCache bounds the files that keep what the layers below the lowest
	// adapted one compute, such as 8GiB; empty: none. It changes no result. See
	// [compute.Trunk].
	TrunkCache string `yaml:"trunk_cache"`

	path   string
	digest string
	points []Point
}

// DataOptions say which tasks are used.
type DataOptions struct {
	// Folders are mined datasets and benchmarks; relative paths start at the
	// configuration's folder.
	Folders []string `yaml:"folders" json:"-"`
	// Tracks, Kinds and Languages select tasks of a benchmark; none: all, but for
	// the track ood, which nothing is trained on.
	Tracks    []string `yaml:"tracks" json:"tracks"`
	Kinds     []string `yaml:"kinds" json:"kinds"`
	Languages []string `yaml:"languages" json:"languages"`

	// Repositories are the names of those that are trained on; none: all of the
	// training split.
	Repositories []string `yaml:"repositories" json:"repositories,omitempty"`

	WindowOptions `yaml:",inline"`
	TrainTasks    int `yaml:"train_tasks" json:"train_tasks"` // per repository, at most; 0: all
	// ValidationTasks bounds those of each validation repository or, for the
	// target repositories, of each repository's own; 0: all.
	ValidationTasks        int `yaml:"validation_tasks" json:"validation_tasks"`
	ValidationRepositories int `yaml:"validation_repositories" json:"validation_repositories"` // validated on, at most; 0: all
}

// Point is one combination of a grid.
type Point struct {
	Name    string  // such as "learning_rate=0.0001,rank=8"; "" without a grid
	Options Options // resolved
}

// ReadConfig reads a configuration. Fields that it does not give keep their
// defaults; fields that do not exist are errors.
func ReadConfig(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(data)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	if c.Name == "" {
		c.Name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	c.path = path
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

func parseConfig(data []byte) (*Config, error) {
	var kind struct {
		Fit struct {
			Method string `yaml:"method"`
		} `yaml:"fit"`
	}
	if err := yaml.Unmarshal(data, &kind); err != nil {
		return nil, err
	}
	c := &Config{
		Target:           Shared,
		Data:             DataOptions{WindowOptions: WindowOptions{Tokens: 512}, TrainTasks: 200, ValidationTasks: 40},
		Fit:              DefaultOptions(kind.Fit.Method),
		GridRepositories: defaultGridRepo,
	}
	d := yaml.NewDecoder(strings.NewReader(string(data)))
	d.KnownFields(true)
	if err := d.Decode(c); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	c.digest = hex.EncodeToString(sum[:])
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
	if c.Target != Shared && c.Target != PerRepository {
		errs = append(errs, fmt.Errorf("target %q: want %s or %s", c.Target, Shared, PerRepository))
	}
	if len(c.Data.Folders) == 0 {
		errs = append(errs, errors.New("data.folders is missing: want folders of mined datasets or benchmarks"))
	}
	if _, err := c.Data.Filter(); err != nil {
		errs = append(errs, fmt.Errorf("data.%w", err))
	}
	if err := c.Data.WindowOptions.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("data.%w", err))
	}
	if c.Data.TrainTasks < 0 || c.Data.ValidationTasks < 0 || c.Data.ValidationRepositories < 0 {
		errs = append(errs, errors.New("data: numbers of tasks and repositories must be at least 0, which means all"))
	}
	if c.Begin != "" && c.Fit.Method != LoRA {
		errs = append(errs, fmt.Errorf("begin: only fits of the method %s can begin with an adapter", LoRA))
	}
	if c.GridRepositories < 1 {
		errs = append(errs, fmt.Errorf("grid_repositories %d: want at least 1", c.GridRepositories))
	}
	if c.TrunkCache != "" {
		if _, err := memory.ParseSize(c.TrunkCache); err != nil {
			errs = append(errs, fmt.Errorf("trunk_cache: %w", err))
		}
	}
	var err error
	if c.points, err = gridPoints(c.Fit, c.Grid); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Filter selects the tasks of a benchmark.
func (o *DataOptions) Filter() (repopeft.Filter, error) {
	var f repopeft.Filter
	var err error
	if f.Tracks, err = corpus.Parse("tracks", o.Tracks, repopeft.Static, repopeft.Evolution); err != nil {
		return f, err
	}
	if len(f.Tracks) == 0 {
		f.Tracks = []repopeft.Track{repopeft.Static, repopeft.Evolution}
	}
	f.Kinds, err = corpus.Parse("kinds", o.Kinds, repopeft.Assertion, repopeft.Call, repopeft.Line)
	f.Languages = o.Languages
	return f, err
}

// relative resolves a path of the configuration.
func (c *Config) relative(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(c.path), path)
}

// Corpus reads the folders of the configuration.
func (c *Config) Corpus(withTest bool) (*corpus.Corpus, error) {
	filter, err := c.Data.Filter()
	if err != nil {
		return nil, err
	}
	all := corpus.New()
	for _, dir := range c.Data.Folders {
		if err := all.AddFolder(c.relative(dir), filter, withTest); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Digest is the SHA-256 of the configuration file.
func (c *Config) Digest() string { return c.digest }

// Dir is the folder of the job: beside the configuration, with its name.
func (c *Config) Dir() string { return filepath.Join(filepath.Dir(c.path), c.Name) }

// Points are the combinations of the grid in a fixed order, or the options as
// they are.
func (c *Config) Points() []Point { return c.points }

// gridPoints resolves every combination of swept options, and checks it.
func gridPoints(fit Options, grid map[string][]any) ([]Point, error) {
	points := []Point{{Options: fit}}
	for _, name := range slices.Sorted(maps.Keys(grid)) {
		values := grid[name]
		if len(values) == 0 {
			return nil, fmt.Errorf("grid.%s: no values", name)
		}
		if len(points)*len(values) > maxPoints {
			return nil, fmt.Errorf("grid: more than %d points", maxPoints)
		}
		var next []Point
		for _, p := range points {
			for _, v := range values {
				q := Point{Options: p.Options, Name: fmt.Sprintf("%s=%s", name, valueName(v))}
				if p.Name != "" {
					q.Name = p.Name + "," + q.Name
				}
				if err := set(&q.Options, name, v); err != nil {
					return nil, fmt.Errorf("grid.%s: %w", name, err)
				}
				next = append(next, q)
			}
		}
		points = next
	}
	seen := map[string]bool{}
	for _, p := range points {
		where := "fit"
		if p.Name != "" {
			where = "grid point " + p.Name
		}
		if err := p.Options.Validate(); err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		if seen[p.Name] {
			return nil, fmt.Errorf("%s is there twice", where)
		}
		seen[p.Name] = true
	}
	return points, nil
}

// set overwrites one option by its name.
func set(o *Options, name string, value any) error {
	text, err := yaml.Marshal(map[string]any{name: value})
	if err != nil {
		return err
	}
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	d.KnownFields(true)
	return d.Decode(o)
}

// valueName writes a value so that it can be part of a file name.
func valueName(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		text = fmt.Append(nil, v)
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '/', r == '\\', r == ',', r == ' ':
			return '+'
		case r == '"', r == '[', r == ']', r < ' ':
			return -1
		}
		return r
	}, string(text))
}
