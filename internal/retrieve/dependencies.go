package retrieve

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/syntax"
)

// DependencyOptions configure [NewDependencies]. The defaults in brackets are
// those of the paper's second generation.
type DependencyOptions struct {
	Index     *Index // shared with other contexts; nil: one of its own
	MaxTokens int    // bounds a context beside the caller's budget; 0: 4096
	// Aliases looks for the local names of "import x as y" and "from m import x as
	// y", and for what is used of imported modules ("m.f"). The paper's code looks
	// for x, and for a definition of the module's own name in the module.
	Aliases bool
	// Whole takes definitions whole or not at all, in the order of imports.
	// Without it they are sorted by how the prefix uses them, and what doesn't fit
	// is shortened.
	Whole bool
}

// Dependencies is dependency-resolved context (DRC) of a prefix: the definitions,
// in this repository, of the names that it imports and uses. For Python; a file
// in another language has none.
//
// Scope: the innermost function around the cut, as far as the prefix has it;
// imports are those outside of functions and the function's own. Used are imported
// names that occur in it; where there is no function, those that occur anywhere.
//
// Resolution: modules by their path from the root and from source roots; relative
// imports from the directory of the file; "from package import name" through the
// imports of the package's __init__ to where name is defined. Imports of other
// projects give nothing.
//
// Extraction: top-level functions, classes and assignments of that name, a class
// also if one of its methods has the name. Where there are none, lines that have
// the name, with 2 before and 7 after, at most 5 times.
//
// Different from the paper's code, besides [DependencyOptions].Aliases: the
// definitions of one file are separate blocks; decorators belong to a definition;
// a file that is imported twice has the names of both; re-exports are followed over
// several files; imports and definitions in an "if" or "try" count.
type Dependencies struct {
	DependencyOptions
}

// NewDependencies returns dependency-resolved context that sees the prefix only.
func NewDependencies(o DependencyOptions) (*Dependencies, error) {
	if o.MaxTokens < 0 {
		return nil, fmt.Errorf("dependencies: max tokens %d: want at least 1", o.MaxTokens)
	}
	o.MaxTokens = cmp.Or(o.MaxTokens, 4096)
	if o.Index == nil {
		o.Index = NewIndex()
	}
	return &Dependencies{o}, nil
}

var _ Context = (*Dependencies)(nil)

// Name implements [Context].
func (d *Dependencies) Name() string { return "dependencies" + d.settings() }

func (d *Dependencies) settings() string {
	name := fmt.Sprintf(" tokens=%d", d.MaxTokens)
	if d.Aliases {
		name += " aliases"
	}
	if d.Whole {
		name += " whole"
	}
	return name
}

// Definition is a definition that a prefix depends on.
type Definition struct {
	Path  string
	Names []string // what it defines; empty for lines that only have a name
	Code  string
}

// Resolve returns the definitions that a query depends on, in the order of its
// imports.
func (d *Dependencies) Resolve(ctx context.Context, v *disclosure.View, q repopeft.Query) ([]Definition, error) {
	return d.resolve(ctx, v, q.Language, q.File, newScope(q.Prefix, len(q.Prefix)))
}

// Context implements [Context].
func (d *Dependencies) Context(ctx context.Context, v *disclosure.View, q repopeft.Query, budget int, count func(string) int) (string, error) {
	found, err := d.Resolve(ctx, v, q)
	if err != nil {
		return "", err
	}
	return d.assemble(found, q.Prefix, budget, count), nil
}

// Oracle is the paper's dependency-resolved context. It reads the file that is
// asked about past the cut, the answer included: a name that occurs in nothing but
// the answer counts as used, and its definition is supplied. So it is no method
// that could be deployed, and isn't a [Context].
type Oracle struct{ d *Dependencies }

// NewOracle returns a dependency-resolved context that reads past the cut.
func NewOracle(o DependencyOptions) (*Oracle, error) {
	d, err := NewDependencies(o)
	return &Oracle{d}, err
}

// Name says what this is, and that it knows the answer.
func (o *Oracle) Name() string { return "oracle (reads past the cut): dependencies" + o.d.settings() }

// ContextPastCut returns the text for a task. file is the complete text of the
// file that is asked about, at the commit of the task, where the target is from
// t.Start to t.End. Budget and count are those of [Context].
func (o *Oracle) ContextPastCut(ctx context.Context, v *disclosure.View, t *repopeft.Task, file []byte, budget int, count func(string) int) (string, error) {
	if t.Start < 0 || t.Start > t.End || t.End > len(file) {
		return "", fmt.Errorf("oracle for %s of %s: target at %d..%d of %d bytes", t.File, t.Repository, t.Start, t.End, len(file))
	}
	found, err := o.d.resolve(ctx, v, t.Language, t.File, newScope(string(file), t.Start))
	if err != nil {
		return "", err
	}
	return o.d.assemble(found, t.Prefix, budget, count), nil
}

// assemble makes a text of definitions.
func (d *Dependencies) assemble(found []Definition, prefix string, budget int, count func(string) int) string {
	budget = min(budget, d.MaxTokens)
	if budget <= 0 {
		return ""
	}
	blocks := make([]block, len(found))
	for i, f := range found {
		blocks[i] = block{path: f.Path, head: "# Source: " + f.Path + "\n", code: f.Code, names: f.Names}
	}
	var short func(block) string
	if !d.Whole {
		sortByUse(blocks, prefix)
		short = d.Index.shorten
	}
	return join(fill(blocks, budget, count, short), budget, count, func(parts []string) string {
		return strings.Join(parts, Separator)
	})
}

// wanted is what is wanted of one file.
type wanted struct {
	path  string
	names []string
}

// resolver follows the imports of one query.
type resolver struct {
	*Dependencies
	view    *disclosure.View
	modules *modules
	wanted  []wanted // in the order in which files were first needed
}

func (d *Dependencies) resolve(ctx context.Context, v *disclosure.View, language, file string, s scope) ([]Definition, error) {
	if language != "python" || len(s.imports) == 0 {
		return nil, ctx.Err()
	}
	r := &resolver{Dependencies: d, view: v, modules: d.Index.moduleNames(v)}
	for i := range s.imports {
		if err := r.follow(ctx, &s.imports[i], file, &s); err != nil {
			return nil, fmt.Errorf("dependencies in %s: %w", v.Repository(), err)
		}
	}
	var found []Definition
	for _, w := range r.wanted {
		m, err := d.Index.module(ctx, v, w.path)
		if err != nil {
			return nil, fmt.Errorf("dependencies in %s: %w", v.Repository(), err)
		}
		found = append(found, m.extract(w)...)
	}
	return found, nil
}

// follow adds what the scope uses of an import.
func (r *resolver) follow(ctx context.Context, i *importing, file string, s *scope) error {
	target := r.modules.find(i, file)
	if !i.from {
		last := i.module[strings.LastIndexByte(i.module, '.')+1:]
		if target == "" {
			return nil
		}
		if r.Aliases {
			return r.wantAll(ctx, target, s.attributes(cmp.Or(i.alias, i.module)))
		}
		if s.uses(last) {
			return r.want(ctx, target, last, 0)
		}
		return nil
	}
	for _, n := range i.names {
		sub := importing{module: strings.TrimPrefix(i.module+"."+n.name, "."), level: i.level}
		subModule := r.modules.find(&sub, file)
		switch {
		case n.name == "*":
			if r.Aliases && target != "" {
				if err := r.star(ctx, target, s); err != nil {
					return err
				}
			}
		case r.Aliases && subModule != "":
			if err := r.wantAll(ctx, subModule, s.attributes(n.local)); err != nil {
				return err
			}
		case target != "" && (s.uses(n.name) && !r.Aliases || r.Aliases && s.uses(n.local)):
			if err := r.want(ctx, target, n.name, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *resolver) wantAll(ctx context.Context, target string, names []string) error {
	for _, n := range names {
		if err := r.want(ctx, target, n, 0); err != nil {
			return err
		}
	}
	return nil
}

// star wants what a function uses of all that a module defines.
func (r *resolver) star(ctx context.Context, target string, s *scope) error {
	m, err := r.Index.module(ctx, r.view, target)
	if err != nil {
		return err
	}
	for _, item := range m.items {
		for _, n := range item.names {
			if s.tokens != nil && s.uses(n) {
				if err := r.want(ctx, target, n, 0); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// maxReexports is how many files a name is followed through, against circles.
const maxReexports = 8

// want notes that a name of a file is wanted, or of the file from which that one
// has it, if it is a package's __init__.
func (r *resolver) want(ctx context.Context, file, name string, depth int) error {
	if strings.HasSuffix("/"+file, "/__init__.py") && depth < maxReexports {
		m, err := r.Index.module(ctx, r.view, file)
		if err != nil {
			return err
		}
		if !m.defines(name) {
			origin, original, err := r.origin(ctx, m, file, name)
			if err != nil {
				return err
			}
			if origin != "" && origin != file {
				return r.want(ctx, origin, original, depth+1)
			}
		}
	}
	i := slices.IndexFunc(r.wanted, func(w wanted) bool { return w.path == file })
	if i < 0 {
		i = len(r.wanted)
		r.wanted = append(r.wanted, wanted{path: file})
	}
	if !slices.Contains(r.wanted[i].names, name) {
		r.wanted[i].names = append(r.wanted[i].names, name)
	}
	return nil
}

// origin returns the file of this repository from which a module imports a name,
// and what it is called there.
func (r *resolver) origin(ctx context.Context, m *module, file, name string) (origin, original string, err error) {
	for i := range m.imports {
		imp := &m.imports[i]
		target := r.modules.find(imp, file)
		if !imp.from || target == "" {
			continue
		}
		for _, n := range imp.names {
			if n.local == name {
				return target, n.name, nil
			}
			if n.name != "*" {
				continue
			}
			inner, err := r.Index.module(ctx, r.view, target)
			if err != nil {
				return "", "", err
			}
			if inner.defines(name) {
				return target, name, nil
			}
		}
	}
	return "", "", nil
}

// module is a Python file, as resolution needs it.
type module struct {
	text    string
	items   []moduleItem // in file order
	imports []importing  // outside of functions
}

// moduleItem is a top-level definition or assignment.
type moduleItem struct {
	names      []string
	methods    []string
	start, end int
}

// newModule reads a file. One that can't be parsed has no items.
func newModule(name string, source []byte) *module {
	m := &module{text: string(source)}
	statements := scan(m.text)
	around := functionsAround(statements)
	for i := range statements {
		if found := parseImport(&statements[i]); len(found) > 0 && around[i] < 0 {
			m.imports = append(m.imports, found...)
		}
	}
	o, err := syntax.ParseFile(name, source)
	if err != nil {
		return m
	}
	at := map[int]int{} // index in items, by index of definition
	for i := range o.Definitions {
		d := &o.Definitions[i]
		if d.Parent == syntax.None {
			at[i] = len(m.items)
			m.items = append(m.items, moduleItem{names: []string{d.Name}, start: definitionStart(source, d), end: d.End})
		} else if k, ok := at[d.Parent]; ok && o.Definitions[d.Parent].Class && !d.Class {
			m.items[k].methods = append(m.items[k].methods, d.Name)
		}
	}
	for _, s := range o.Statements {
		if s.Parent == syntax.None && s.Kind == syntax.Assignment {
			m.items = append(m.items, moduleItem{names: assigned(m.text[s.Start:s.End]), start: s.Start, end: s.End})
		}
	}
	slices.SortStableFunc(m.items, func(a, b moduleItem) int { return cmp.Compare(a.start, b.start) })
	return m
}

var assignment = regexp.MustCompile(`^([A-Za-z_]\w*)\s*(?::[^=]*)?=(?:[^=]|$)`)

// assigned returns the plain names that a statement assigns to: a and b of
// "a = b = 1".
func assigned(text string) (names []string) {
	for {
		m := assignment.FindStringSubmatchIndex(text)
		if m == nil {
			return names
		}
		names = append(names, text[m[2]:m[3]])
		eq := strings.IndexByte(text[m[3]:], '=') + m[3]
		text = strings.TrimLeft(text[eq+1:], " \t")
	}
}

func (m *module) defines(name string) bool {
	return slices.ContainsFunc(m.items, func(i moduleItem) bool { return slices.Contains(i.names, name) })
}

// extract returns the definitions of names.
func (m *module) extract(w wanted) []Definition {
	var found []Definition
	for _, item := range m.items {
		if slices.ContainsFunc(w.names, func(n string) bool {
			return slices.Contains(item.names, n) || slices.Contains(item.methods, n)
		}) {
			found = append(found, Definition{w.path, item.names, m.text[item.start:item.end]})
		}
	}
	if len(found) == 0 {
		for _, snippet := range linesWith(m.text, w.names) {
			found = append(found, Definition{Path: w.path, Code: snippet})
		}
	}
	return found
}

// The extent of what stands for a definition that isn't found: lines before and
// from the one with the name on, and how many times.
const (
	linesBefore = 2
	linesFrom   = 10
	maxSnippets = 5
)

// linesWith returns stretches of lines around those that have one of names.
func linesWith(text string, names []string) (snippets []string) {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if len(snippets) < maxSnippets && slices.ContainsFunc(names, func(n string) bool { return strings.Contains(l, n) }) {
			snippets = append(snippets, strings.Join(lines[max(0, i-linesBefore):min(len(lines), i+linesFrom)], "\n"))
		}
	}
	return snippets
}

// module returns a file of a view, read and parsed once for each content.
func (x *Index) module(ctx context.Context, v *disclosure.View, name string) (*module, error) {
	id := x.moduleNames(v).ids[name]
	if id == "" {
		return nil, fmt.Errorf("file %q: %w", name, disclosure.ErrHidden)
	}
	if m, ok := x.modules.Get(id); ok {
		return m, nil
	}
	source, err := v.Read(ctx, name)
	if err != nil {
		return nil, err
	}
	m := newModule(name, source)
	x.modules.Put(id, m, int64(2*len(source)+1000))
	return m, nil
}

// moduleNames returns the names of a view's modules.
func (x *Index) moduleNames(v *disclosure.View) *modules {
	if m, ok := x.names.Get(v.Key()); ok {
		return m
	}
	m := newModules(v.Blobs())
	x.names.Put(v.Key(), m, 1)
	return m
}
