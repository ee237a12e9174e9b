package code2lora

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const modulePath = "github.com/code2lora/code2lora"

// layers lists our packages from the bottom up. A package may import only
// packages of layers below its own; so packages of one layer know nothing of
// each other.
//
// encoder and hypernet make adapters, engine and score use them: they share a
// layer, and the adapter is all they have in common. model is below both sides,
// since it is also the encoder's frozen network and gives the gradient that a
// hypernetwork is trained with.
var layers = [][]string{
	{"internal/aggregate", "internal/embedding", "internal/gitrepo", "internal/half", "internal/hub", "internal/kernel", "internal/lru",
		"internal/memory", "internal/stats", "internal/store", "internal/testutil", "internal/tokenizer", "runs"},
	{"internal/gguf", "internal/safetensors", "internal/state"},
	{"internal/adapter", "internal/catalog", "internal/nn", "internal/syntax"},
	{"internal/dataset", "internal/metric", "internal/model"},
	{"internal/compute", "internal/repopeft"},
	{"internal/corpus", "internal/encoder", "internal/engine", "internal/execute", "internal/hypernet", "internal/mine", "internal/sample", "internal/score"},
	{"internal/evolve"},
	{"internal/adapt", "internal/audit", "internal/disclosure", "internal/follow", "internal/train"},
	{"internal/bench", "internal/curves", "internal/retrieve", "internal/tune"},
	{"internal/method", "internal/report"},
	{"cmd/code2lora", "reference/logits"},
}

// closed lists the packages that import fewer of ours than their layer allows.
var closed = map[string][]string{
	"internal/aggregate":   {},
	"internal/embedding":   {},
	"internal/kernel":      {},
	"internal/lru":         {},
	"internal/memory":      {},
	"internal/metric":      {"internal/syntax"},
	"internal/stats":       {},
	"internal/testutil":    {},
	"internal/gguf":        {"internal/half", "internal/store"},
	"internal/safetensors": {"internal/half", "internal/store"},
	"internal/nn":          {"internal/kernel"},
	"internal/state":       {"internal/store"},
	"internal/syntax":      {}, // has cgo: whoever imports it is built with it
}

// dependencies lists the modules of others, and which packages import them.
// docs/adr/0005-command-line.md says what we would write without each.
var dependencies = map[string][]string{
	"github.com/adrg/xdg":               {"internal/store"},
	"github.com/bmatcuk/doublestar/v4":  {"internal/gitrepo"},
	"github.com/fsnotify/fsnotify":      {"internal/follow"},
	"github.com/gofrs/flock":            {"internal/gitrepo", "internal/hub", "internal/store"},
	"github.com/google/licensecheck":    {"internal/mine"},
	"github.com/minio/minio-go/v7":      {"internal/state"},
	"github.com/parquet-go/parquet-go":  {"internal/repopeft"},
	"github.com/rogpeppe/go-internal":   {"cmd/code2lora"},
	"github.com/shirou/gopsutil/v4":     {"internal/memory"},
	"github.com/smacker/go-tree-sitter": {"internal/syntax"},
	"github.com/spf13/cobra":            {"cmd/code2lora"},
	"go.yaml.in/yaml/v3":                {"internal/catalog", "internal/train", "internal/tune"},
	"golang.org/x/sys":                  {"internal/adapter", "internal/execute", "internal/gguf", "internal/kernel"},
	"golang.org/x/term":                 {"cmd/code2lora"},
	"golang.org/x/text":                 {"internal/gitrepo", "internal/tokenizer"},
	"gonum.org/v1/gonum":                {"internal/audit", "internal/encoder", "internal/hypernet", "internal/mine", "internal/report", "internal/stats"},
	"gonum.org/v1/plot":                 {"internal/bench", "internal/curves", "internal/report", "internal/retrieve"},
	"pgregory.net/rapid":                {"internal/aggregate", "internal/evolve"},
}

// cgoPackages are the only packages with import "C", their own or that of a
// module which they wrap.
var cgoPackages = []string{"internal/syntax"}

// goPackage is what the rules are about.
type goPackage struct {
	dir     string              // relative to the module, with slashes; "." for the root
	imports map[string][]string // import path -> files, apart from tests
	tests   map[string][]string // the same for tests inside the package
}

func TestLayers(t *testing.T) {
	packages, err := readPackages(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 10 {
		t.Fatalf("found %d packages, want all of the module", len(packages))
	}
	for _, p := range packages {
		for _, e := range p.violations() {
			t.Error(e)
		}
	}
	for _, dir := range slices.Concat(layers...) {
		if !slices.ContainsFunc(packages, func(p *goPackage) bool { return p.dir == dir }) {
			t.Errorf("layers has %q, which is no package", dir)
		}
	}
	for module := range dependencies {
		if !slices.ContainsFunc(packages, func(p *goPackage) bool { return p.uses(module) }) {
			t.Errorf("dependencies has module %s, which nobody imports", module)
		}
	}
}

// TestLayersCatch breaks each rule once.
func TestLayersCatch(t *testing.T) {
	const ours = modulePath + "/internal/"
	tests := []struct {
		dir, imports string
		test         bool
		want         string // part of the message; empty: allowed
	}{
		{"internal/nn", ours + "kernel", false, ""},
		{"internal/nn", ours + "testutil", true, ""},
		{"internal/nn", ours + "testutil", false, "only"},
		{"internal/nn", ours + "tokenizer", false, "only"},
		{"internal/nn", "golang.org/x/sys/unix", false, "golang.org/x/sys"},
		{"internal/nn", "gonum.org/v1/gonum/mat", true, "gonum"},
		{"internal/kernel", "golang.org/x/sys/cpu", false, ""},
		{"internal/kernel", "golang.org/x/sys/cpu", true, ""},
		{"internal/kernel", "gonum.org/v1/gonum/blas", false, "gonum"},
		{"internal/kernel", ours + "store", false, "only"},
		{"internal/testutil", ours + "kernel", false, "only"},
		{"internal/gguf", ours + "half", false, ""},
		{"internal/safetensors", ours + "store", false, ""},
		{"internal/safetensors", ours + "gguf", false, "only"},
		{"internal/gguf", ours + "tokenizer", false, "only"},
		{"internal/store", ours + "gguf", false, "lower layer"},
		{"internal/adapter", ours + "model", false, "lower layer"},
		{"internal/engine", ours + "hypernet", false, "lower layer"},
		{"internal/hypernet", ours + "score", true, "lower layer"},
		{"internal/train", ours + "adapt", false, "lower layer"},
		{"internal/model", ours + "adapter", false, ""},
		{"internal/store", modulePath + "/cmd/code2lora", false, "lower layer"},
		{"internal/model", "C", false, "cgo"},
		{"internal/syntax", "C", false, ""},
		{"internal/dataset", "github.com/smacker/go-tree-sitter/python", false, "go-tree-sitter"},
		{"internal/model", "github.com/nobody/knows", false, "not in dependencies"},
		{"internal/model", "golang.org/x/systems", false, "not in dependencies"},
		{"internal/util", "strings", false, "layers"},
	}
	for _, tt := range tests {
		p := &goPackage{dir: tt.dir}
		set := map[string][]string{tt.imports: {tt.dir + "/x.go"}}
		if tt.test {
			p.tests = set
		} else {
			p.imports = set
		}
		got := errors.Join(p.violations()...)
		switch {
		case tt.want == "" && got != nil:
			t.Errorf("%s importing %s: got %v, want it allowed", tt.dir, tt.imports, got)
		case tt.want != "" && (got == nil || !strings.Contains(got.Error(), tt.want)):
			t.Errorf("%s importing %s: got %v, want an error with %q", tt.dir, tt.imports, got, tt.want)
		}
	}
}

// uses reports whether p imports a package of a module.
func (p *goPackage) uses(module string) bool {
	for _, imports := range []map[string][]string{p.imports, p.tests} {
		for imp := range imports {
			if inModule(imp, module) {
				return true
			}
		}
	}
	return false
}

// inModule reports whether an import path is that of a module or inside it.
func inModule(imp, module string) bool {
	return imp == module || strings.HasPrefix(imp, module+"/")
}

// violations lists every rule that p breaks. Tests inside a package obey the
// rules too, except that testutil is for them; external test packages stand
// outside, as any user does, and are not looked at.
func (p *goPackage) violations() (errs []error) {
	if p.dir != "." && layerOf(p.dir) < 0 {
		errs = append(errs, fmt.Errorf("package %s is not in layers: say where it belongs", p.dir))
	}
	for imp, files := range p.imports {
		if err := p.check(imp, false); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", strings.Join(files, ", "), err))
		}
	}
	for imp, files := range p.tests {
		if err := p.check(imp, true); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", strings.Join(files, ", "), err))
		}
	}
	return errs
}

// check reports whether p may not import imp.
func (p *goPackage) check(imp string, test bool) error {
	if imp == "C" {
		if slices.Contains(cgoPackages, p.dir) {
			return nil
		}
		return fmt.Errorf("%s uses cgo, which only %v may", p.dir, cgoPackages)
	}
	if dir, ok := strings.CutPrefix(imp, modulePath+"/"); ok {
		return p.checkOurs(dir, test)
	}
	if first, _, _ := strings.Cut(imp, "/"); !strings.Contains(first, ".") {
		return nil // the standard library
	}
	for module, users := range dependencies {
		if inModule(imp, module) {
			if slices.Contains(users, p.dir) {
				return nil
			}
			return fmt.Errorf("%s imports %s, and of module %s only %v may", p.dir, imp, module, users)
		}
	}
	return fmt.Errorf("%s imports %s, whose module is not in dependencies: add it there, and say in docs/adr what it saves", p.dir, imp)
}

// checkOurs reports whether p may not import our package dir.
func (p *goPackage) checkOurs(dir string, test bool) error {
	if test && dir == "internal/testutil" {
		return nil
	}
	if allowed, ok := closed[p.dir]; ok && !slices.Contains(allowed, dir) {
		return fmt.Errorf("%s imports %s, and of our packages only %v are allowed", p.dir, dir, allowed)
	}
	if own, other := layerOf(p.dir), layerOf(dir); other >= own {
		return fmt.Errorf("%s (layer %d) imports %s (layer %d), which is in no lower layer", p.dir, own, dir, other)
	}
	return nil
}

// layerOf returns the index of a package's layer, or -1.
func layerOf(dir string) int {
	return slices.IndexFunc(layers, func(l []string) bool { return slices.Contains(l, dir) })
}

// readPackages reads the imports of every Go file below root, whatever its
// build constraints, except in modules of their own and in folders that the go
// command ignores.
func readPackages(root string) ([]*goPackage, error) {
	byDir := map[string]*goPackage{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if file == root {
				return nil
			}
			_, err := os.Stat(filepath.Join(file, "go.mod"))
			if err == nil || name == "testdata" || name[0] == '.' || name[0] == '_' {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" || name[0] == '.' || name[0] == '_' {
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		return addFile(byDir, root, filepath.ToSlash(rel))
	})
	var all []*goPackage
	for _, p := range byDir {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *goPackage) int { return strings.Compare(a.dir, b.dir) })
	return all, err
}

// addFile adds the imports of one file to its package.
func addFile(byDir map[string]*goPackage, root, file string) error {
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, filepath.FromSlash(file)), nil, parser.ImportsOnly)
	if err != nil {
		return err
	}
	dir := path.Dir(file)
	p := byDir[dir]
	if p == nil {
		p = &goPackage{dir: dir, imports: map[string][]string{}, tests: map[string][]string{}}
		byDir[dir] = p
	}
	set := p.imports
	if strings.HasSuffix(file, "_test.go") {
		if strings.HasSuffix(f.Name.Name, "_test") {
			return nil
		}
		set = p.tests
	}
	for _, s := range f.Imports {
		imp, err := strconv.Unquote(s.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: import %s: %w", file, s.Path.Value, err)
		}
		set[imp] = append(set[imp], file)
	}
	return nil
}
