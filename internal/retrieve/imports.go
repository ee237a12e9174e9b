package retrieve

import (
	"path"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/encoder"
)

// importing is one module that a statement imports, or imports names from.
type importing struct {
	module string // "" in "from . import x"
	level  int    // leading dots
	from   bool
	alias  string // of "import module as alias"
	names  []importedName
}

// importedName is a name of "from module import name as local".
type importedName struct{ name, local string }

// parseImport reads an import statement; anything else gives none. One that is
// cut off gives what is there.
func parseImport(s *statement) []importing {
	p := importParser{tokens: s.tokens}
	switch {
	case p.take("import"):
		var all []importing
		for {
			i := importing{module: p.dotted()}
			if i.module == "" {
				return all
			}
			if p.take("as") {
				i.alias = p.name()
			}
			all = append(all, i)
			if !p.take(",") {
				return all
			}
		}
	case p.take("from"):
		i := importing{from: true}
		for p.take(".") {
			i.level++
		}
		if !p.at("import") {
			i.module = p.dotted()
		}
		if !p.take("import") || i.module == "" && i.level == 0 {
			return nil
		}
		p.take("(")
		for {
			n := importedName{name: p.name()}
			if n.name == "" && p.take("*") {
				n.name = "*"
			}
			if n.name == "" {
				break
			}
			n.local = n.name
			if p.take("as") {
				n.local = p.name()
			}
			i.names = append(i.names, n)
			if !p.take(",") {
				break
			}
		}
		return []importing{i}
	}
	return nil
}

type importParser struct{ tokens []token }

func (p *importParser) at(text string) bool { return len(p.tokens) > 0 && p.tokens[0].text == text }

func (p *importParser) take(text string) bool {
	if !p.at(text) {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

// name takes an identifier, or returns "".
func (p *importParser) name() string {
	if len(p.tokens) == 0 {
		return ""
	}
	t := p.tokens[0].text
	if !isNameByte(t[0]) || isDigit(t[0]) {
		return ""
	}
	p.tokens = p.tokens[1:]
	return t
}

// dotted takes a.b.c, or returns "".
func (p *importParser) dotted() string {
	var parts []string
	for {
		n := p.name()
		if n == "" {
			break
		}
		if parts = append(parts, n); !p.take(".") {
			break
		}
	}
	return strings.Join(parts, ".")
}

// scope is what a function may use, by the text that is known.
type scope struct {
	imports []importing
	tokens  []token // of the function, without its imports; nil if there is none
	text    string  // everything that is known
}

// newScope finds the function around an offset, and the imports that it sees:
// its own and those outside of functions.
func newScope(text string, offset int) scope {
	statements := scan(text)
	around := functionsAround(statements)
	first, last, ok := enclosing(statements, around, offset)
	s := scope{text: text}
	for i := range statements {
		inside := ok && first <= i && i < last
		found := parseImport(&statements[i])
		if len(found) > 0 && (inside || around[i] < 0) {
			s.imports = append(s.imports, found...)
		}
		if inside && len(found) == 0 {
			s.tokens = append(s.tokens, statements[i].tokens...)
		}
	}
	return s
}

// uses tells whether a name occurs in the function; without one, anywhere in the
// text, as in the paper's code.
func (s *scope) uses(name string) bool {
	if s.tokens == nil {
		return name != "" && strings.Contains(s.text, name)
	}
	return slices.ContainsFunc(s.tokens, func(t token) bool { return t.text == name })
}

// attributes returns the names x of all "dotted.x" in the function, in order.
func (s *scope) attributes(dotted string) []string {
	want := strings.Split(dotted, ".")
	var found []string
next:
	for i := range s.tokens {
		if i > 0 && s.tokens[i-1].text == "." {
			continue
		}
		j := i
		for _, w := range want {
			if j+1 >= len(s.tokens) || s.tokens[j].text != w || s.tokens[j+1].text != "." {
				continue next
			}
			j += 2
		}
		if j < len(s.tokens) && isNameByte(s.tokens[j].text[0]) && !slices.Contains(found, s.tokens[j].text) {
			found = append(found, s.tokens[j].text)
		}
	}
	return found
}

// sourceRoots are the names of directories from which modules are imported
// without their name.
var sourceRoots = map[string]bool{"src": true, "lib": true, "app": true, "python": true, "py": true}

// modules maps the dotted names of a view's Python modules to their paths.
type modules struct {
	byName map[string]string
	ids    map[string]string // of blobs, by path
}

// newModules indexes files: each from the root, and from each source root: a
// directory named in sourceRoots, or one at the top that is no package but has
// one directly in it.
func newModules(files []encoder.Blob) *modules {
	m := &modules{byName: map[string]string{}, ids: map[string]string{}}
	hasPackage := map[string]bool{}
	for _, f := range files {
		m.ids[f.Path] = f.ID
		if name := dotted(f.Path); name != "" {
			m.byName[name] = f.Path
		}
		if top, rest, ok := strings.Cut(f.Path, "/"); ok && strings.Count(rest, "/") == 1 && strings.HasSuffix(rest, "/__init__.py") {
			hasPackage[top] = true
		}
	}
	for _, f := range files {
		top, rest, ok := strings.Cut(f.Path, "/")
		if ok && (sourceRoots[top] || hasPackage[top] && m.ids[top+"/__init__.py"] == "") {
			if name := dotted(rest); name != "" {
				m.byName[name] = f.Path
			}
		}
	}
	return m
}

// dotted is the name by which a file is imported; "" if it can't be.
func dotted(file string) string {
	name, ok := strings.CutSuffix(file, ".py")
	if !ok {
		return ""
	}
	if name == "__init__" {
		return ""
	}
	return strings.ReplaceAll(strings.TrimSuffix(name, "/__init__"), "/", ".")
}

// absolute returns the dotted name that an import means in a file; "" if it leads
// out of the repository.
func (i *importing) absolute(file string) string {
	if i.level == 0 {
		return i.module
	}
	parts := strings.Split(file, "/")
	if i.level > len(parts) {
		return ""
	}
	parts = parts[:len(parts)-i.level]
	if i.module != "" {
		parts = append(parts, i.module)
	}
	return strings.Join(parts, ".")
}

// find returns the path of the module that an import in a file names, or "".
// "conftest" is the nearest one upward, as pytest finds it.
func (m *modules) find(i *importing, file string) string {
	name := i.absolute(file)
	if name == "" {
		return ""
	}
	if p, ok := m.byName[name]; ok {
		return p
	}
	if i.level == 0 && name == "conftest" {
		for dir := path.Dir(file); ; dir = path.Dir(dir) {
			if p := path.Join(dir, "conftest.py"); m.ids[p] != "" {
				return p
			}
			if dir == "." || dir == "/" {
				return ""
			}
		}
	}
	return ""
}
