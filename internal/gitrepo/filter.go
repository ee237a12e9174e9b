package gitrepo

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// DefaultMaxBytes is the size above which a file is data rather than source.
const DefaultMaxBytes = 1 << 20

// Filter says which files of a repository are wanted. The zero value wants
// Python sources of at most 1 MiB that are neither vendored nor generated,
// tests included.
type Filter struct {
	// Languages and Extensions together say which files are source: Languages
	// by the names that File.Language has ("python", "go"), Extensions with
	// their dot (".py"). Both empty mean python.
	Languages  []string
	Extensions []string

	// Include, unless empty, and Exclude are globs, as in "src/**/*.py". "**"
	// spans directories. A glob without a slash is compared with every name on
	// the path, and one that matches a directory covers what is below it.
	// Exclude wins.
	Include []string
	Exclude []string

	MaxBytes      int64 // larger files are skipped; 0 is DefaultMaxBytes
	SkipTests     bool  // leave out what IsTestPath says is a test
	KeepVendored  bool  // keep copies of other projects
	KeepGenerated bool  // keep generated files
}

// Reason says why a file was left out.
type Reason string

// The reasons, in the order in which they are checked. Those from
// [ReasonBinary] on depend on the content and are found by [Snapshot.Each].
const (
	ReasonSubmodule   Reason = "submodule"    // another repository's commit
	ReasonSymlink     Reason = "symlink"      // symbolic links are not followed
	ReasonIrregular   Reason = "irregular"    // a device, pipe or socket, or the metadata of a version control system
	ReasonLanguage    Reason = "language"     // not one of the wanted languages
	ReasonNotIncluded Reason = "not included" // no include glob matches
	ReasonExcluded    Reason = "excluded"     // an exclude glob matches
	ReasonVendored    Reason = "vendored"     // a copy of another project
	ReasonTest        Reason = "test"         // a test, and tests were not wanted
	ReasonGenerated   Reason = "generated"    // written by a program, by its name or its first lines
	ReasonEmpty       Reason = "empty"        // no content, or only white space
	ReasonTooLarge    Reason = "too large"    // above MaxBytes
	ReasonUnreadable  Reason = "unreadable"   // the operating system refused (plain source trees)
	ReasonBinary      Reason = "binary"       // a NUL byte among the first 8000
	ReasonEncoding    Reason = "encoding"     // not UTF-8, nor in an encoding that it declares
)

// Skip is a file, or a whole directory (its path then ends in a slash), that
// was left out.
type Skip struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"` // in bytes; 0 for directories and submodules
	Reason Reason `json:"reason"`
}

// languages maps extensions to the names of languages.
var languages = map[string]string{
	".py": "python", ".pyi": "python-stub", ".pyx": "cython", ".pxd": "cython",
	".go": "go", ".rs": "rust", ".c": "c", ".h": "c",
	".cc": "c++", ".cpp": "c++", ".cxx": "c++", ".hpp": "c++", ".hh": "c++",
	".cs": "c#", ".java": "java", ".kt": "kotlin", ".kts": "kotlin", ".scala": "scala", ".swift": "swift",
	".js": "javascript", ".mjs": "javascript", ".cjs": "javascript", ".jsx": "javascript",
	".ts": "typescript", ".tsx": "typescript", ".rb": "ruby", ".php": "php", ".lua": "lua",
	".sh": "shell", ".bash": "shell", ".pl": "perl", ".pm": "perl", ".r": "r", ".jl": "julia",
	".hs": "haskell", ".ml": "ocaml", ".ex": "elixir", ".exs": "elixir", ".erl": "erlang",
	".clj": "clojure", ".dart": "dart", ".sql": "sql", ".proto": "protobuf",
	".md": "markdown", ".rst": "restructuredtext",
}

// Language returns the language of a file by its extension, or "".
func Language(name string) string { return languages[strings.ToLower(path.Ext(name))] }

// matcher is a checked Filter.
type matcher struct {
	Filter
	ext map[string]bool
}

// compile checks f, reports everything that is wrong with it, and fills in the
// defaults.
func (f Filter) compile() (*matcher, error) {
	m := &matcher{Filter: f, ext: map[string]bool{}}
	var errs []error
	if f.MaxBytes < 0 {
		errs = append(errs, fmt.Errorf("filter: size limit %d: must not be negative", f.MaxBytes))
	}
	m.MaxBytes = cmp.Or(f.MaxBytes, DefaultMaxBytes)
	for _, glob := range slices.Concat(f.Include, f.Exclude) {
		if glob == "" || !doublestar.ValidatePattern(glob) {
			errs = append(errs, fmt.Errorf("%w: glob %q is malformed", ErrFilter, glob))
		}
	}
	for _, e := range f.Extensions {
		if len(e) < 2 || e[0] != '.' || strings.Contains(e, "/") {
			errs = append(errs, fmt.Errorf("filter: extension %q: want a dot and letters, as in .py", e))
		}
		m.ext[strings.ToLower(e)] = true
	}
	wanted := f.Languages
	if len(wanted) == 0 && len(f.Extensions) == 0 {
		wanted = []string{"python"}
	}
	for _, l := range wanted {
		known := false
		for e, name := range languages {
			if strings.EqualFold(name, l) {
				m.ext[e], known = true, true
			}
		}
		if !known {
			all := slices.Compact(slices.Sorted(maps.Values(languages)))
			errs = append(errs, fmt.Errorf("filter: unknown language %q; known are %s; others go by extension", l, strings.Join(all, ", ")))
		}
	}
	return m, errors.Join(errs...)
}

// skip returns why a regular file is not wanted, or "". Size -1 means that it
// is not known.
func (m *matcher) skip(name string, size int64) Reason {
	switch {
	case !m.ext[strings.ToLower(path.Ext(name))]:
		return ReasonLanguage
	case len(m.Include) > 0 && !matchAny(m.Include, name):
		return ReasonNotIncluded
	case matchAny(m.Exclude, name):
		return ReasonExcluded
	case !m.KeepVendored && IsVendoredPath(name):
		return ReasonVendored
	case m.SkipTests && IsTestPath(name):
		return ReasonTest
	case !m.KeepGenerated && isGeneratedName(name):
		return ReasonGenerated
	case size == 0:
		return ReasonEmpty
	case size > m.MaxBytes:
		return ReasonTooLarge
	}
	return ""
}

// matchAny tells whether a glob matches name or a directory above it.
func matchAny(globs []string, name string) bool {
	for _, g := range globs {
		g = strings.TrimPrefix(strings.TrimSuffix(g, "/"), "./")
		for p := name; p != "." && p != "/"; p = path.Dir(p) {
			s := p
			if !strings.Contains(g, "/") {
				s = path.Base(p)
			}
			if doublestar.MatchUnvalidated(strings.TrimPrefix(g, "/"), s) {
				return true
			}
		}
	}
	return false
}

// vendored are the names of directories that hold other projects' code.
//
// Linguist's list (go-enry) was tried and dropped: it also holds cache/, dist/
// and testdata/, which in Python are ordinary packages, it cannot be amended,
// and importing it costs every start of the program 20 ms and 16 MB.
var vendored = map[string]bool{
	"vendor": true, "vendors": true, "vendored": true, "_vendor": true, "_vendored": true,
	"third_party": true, "third-party": true, "thirdparty": true, "3rdparty": true, "3rd_party": true, "3rd-party": true,
	"_third_party": true, "_thirdparty": true, "extern": true, "_extern": true, "externals": true, "godeps": true,
	"node_modules": true, "bower_components": true, "jspm_packages": true,
	"site-packages": true, "dist-packages": true, ".venv": true,
	".tox": true, ".nox": true, ".eggs": true, "__pypackages__": true,
}

// IsVendoredPath tells whether a directory on the path holds copies of other
// projects: vendor, third_party, node_modules, site-packages, .venv and others.
func IsVendoredPath(name string) bool {
	for dir := path.Dir(name); dir != "." && dir != "/"; dir = path.Dir(dir) {
		if vendored[strings.ToLower(path.Base(dir))] {
			return true
		}
	}
	return false
}
