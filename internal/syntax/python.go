package syntax

import "strings"

// pythonWalker collects the outline of a file of Python.
type pythonWalker struct {
	walker
	tests map[int]bool // the classes, by their index, whose methods test_* are tests
}

func pythonOutline(t *flat) *Outline {
	w := pythonWalker{walker{t, &Outline{}}, map[int]bool{}}
	t.walk(module, w.visit)
	return w.out
}

// visit records what a node is.
func (w *pythonWalker) visit(i int, s scope) (scope, bool) {
	n := &w.nodes[i]
	s.direct, s.body = s.body, false
	decoratorLine, ofDefinition := s.decoratorLine, s.ofDefinition
	s.decoratorLine, s.ofDefinition = 0, false
	if n.broken {
		s.broken = true
		return s, true
	}
	if !n.named {
		return s, false
	}
	if s.direct && (s.parent == None || w.out.Definitions[s.parent].Class) {
		w.statement(i, s.parent)
	}
	if k := w.kind(n.parent); k == "block" || k == "module" {
		s.statement = i
	}
	w.line(i, s)
	switch n.kind {
	case "module":
		s.body = true
	case "block":
		s.body = ofDefinition // and not of an "if"
	case "decorated_definition":
		s.decoratorLine = w.flat.line(i)
		s.body = s.direct // the definition within is as direct as this
	case "function_definition", "class_definition":
		return w.definition(i, s, decoratorLine), true
	case "assert_statement":
		w.assertStatement(i, s)
	case "call":
		w.call(i, s)
	case "import_statement", "import_from_statement", "future_import_statement":
		w.imports(i, s)
		return s, false
	case "identifier", "string", "comment", "integer", "float":
		return s, false
	}
	return s, true
}

// definition records a function or class, and returns the scope inside it.
func (w *pythonWalker) definition(i int, s scope, decoratorLine int) scope {
	n := &w.nodes[i]
	d := Definition{
		Name:  w.text(w.field(i, "name")),
		Class: n.kind == "class_definition",
		Start: n.start, End: n.end,
		Line: w.flat.line(i), EndLine: w.endLine(i),
		DecoratorLine: w.flat.line(i),
		Parent:        s.parent,
		Direct:        s.direct,
		Signature:     w.span(i),
	}
	above := n.start
	if decoratorLine > 0 {
		d.DecoratorLine = decoratorLine
		above = w.nodes[n.parent].start
	}
	d.Exported = !strings.HasPrefix(d.Name, "_")
	if colon := w.child(i, ":"); colon >= 0 {
		d.Signature.End = w.nodes[colon].end
	}
	if body := w.field(i, "body"); body >= 0 {
		d.Body = w.span(body)
		if statements := w.named(body); len(statements) > 0 && w.isString(statements[0]) {
			d.Doc = w.span(statements[0])
		}
	}
	if d.Doc.End == 0 {
		d.Doc = w.docAbove(above)
	}
	if d.Class {
		w.tests[len(w.out.Definitions)] = w.isTestClass(i, d.Name)
	} else {
		d.Test = s.parent == None && strings.HasPrefix(d.Name, "test_") ||
			w.tests[s.parent] && strings.HasPrefix(d.Name, "test")
	}
	inner := w.within(s, d.Class)
	w.out.Definitions = append(w.out.Definitions, d)
	return inner
}

// isTestClass tells whether pytest or unittest look for tests in a class. A
// class that is derived from one, in another file, is known by its name.
func (w *pythonWalker) isTestClass(i int, name string) bool {
	if isTestName(name) {
		return true
	}
	if bases := w.field(i, "superclasses"); bases >= 0 {
		for _, b := range w.named(bases) {
			text := w.text(b)
			if isTestName(text[strings.LastIndexByte(text, '.')+1:]) {
				return true
			}
		}
	}
	return false
}

// isTestName tells whether a name begins or ends as those of test classes do.
func isTestName(name string) bool {
	return strings.HasPrefix(name, "Test") || strings.HasSuffix(name, "Test") ||
		strings.HasSuffix(name, "Tests") || strings.HasSuffix(name, "TestCase")
}

// isString tells whether a statement is a constant string, as docstrings are.
func (w *pythonWalker) isString(i int) bool {
	if w.kind(i) != "expression_statement" {
		return false
	}
	first := w.first(i)
	return w.next(first) < 0 && (w.kind(first) == "string" || w.kind(first) == "concatenated_string")
}

// statement records a statement of the module or of a class.
func (w *pythonWalker) statement(i, parent int) {
	n := &w.nodes[i]
	s := Statement{
		Kind:  Other,
		Start: n.start, End: n.end,
		Line: w.flat.line(i), EndLine: w.endLine(i),
		Parent: parent,
	}
	switch n.kind {
	case "comment", "decorator":
		return
	case "import_statement", "import_from_statement", "future_import_statement":
		s.Kind = Import
	case "function_definition", "class_definition":
		if last := len(w.out.Statements) - 1; last >= 0 && s.End == w.out.Statements[last].End {
			return // the definition of a decorated_definition, recorded already
		}
		s.Kind = Defines
	case "decorated_definition":
		s.Kind = Defines
	case "expression_statement":
		s.Kind = Expression
		first, count := -1, 0
		for c := w.first(i); c >= 0; c = w.next(c) {
			if w.nodes[c].named {
				if count == 0 {
					first = c
				}
				count++
			}
		}
		if count == 1 {
			switch w.kind(first) {
			case "assignment", "augmented_assignment":
				s.Kind = Assignment
			case "string", "concatenated_string":
				s.Kind = String
			}
		}
	}
	w.out.Statements = append(w.out.Statements, s)
}

// line records the line of a statement.
func (w *pythonWalker) line(i int, s scope) {
	n := &w.nodes[i]
	switch n.kind {
	case "if_statement", "for_statement", "while_statement", "with_statement", "match_statement",
		"elif_clause", "except_clause", "except_group_clause", "case_clause":
		if colon := w.child(i, ":"); colon >= 0 {
			head := colon
			if b := w.next(colon); w.kind(b) == "block" && w.endLine(b) == w.flat.line(colon) {
				head = b // if x: y
			}
			w.addLine(s, i, w.nodes[head].end)
		}
	case "comment", "try_statement", "decorated_definition", "function_definition", "class_definition",
		"pass_statement", "import_statement", "import_from_statement", "future_import_statement":
	default:
		if s.statement == i && !w.isString(i) && string(w.bytes(i)) != "..." {
			w.addStatement(s, i)
		}
	}
}

// imports records the modules of an import statement.
func (w *pythonWalker) imports(i int, s scope) {
	n := &w.nodes[i]
	ref := ImportRef{Start: n.start, End: n.end, Line: w.flat.line(i), Function: s.function}
	if n.kind != "import_statement" {
		ref.Module = "__future__"
		if module := w.field(i, "module_name"); module >= 0 {
			path := strings.Join(strings.Fields(w.text(module)), "")
			ref.Module = strings.TrimLeft(path, ".")
			ref.Level = len(path) - len(ref.Module)
		}
	}
	for c := w.first(i); c >= 0; c = w.next(c) {
		name, alias := c, ""
		switch {
		case w.kind(c) == "wildcard_import":
		case w.nodes[c].field != "name":
			continue
		case w.kind(c) == "aliased_import":
			name, alias = w.field(c, "name"), w.text(w.field(c, "alias"))
		}
		if n.kind == "import_statement" {
			ref.Module, ref.Alias = w.text(name), alias
			w.out.Imports = append(w.out.Imports, ref)
			continue
		}
		ref.Names, ref.Aliases = append(ref.Names, w.text(name)), append(ref.Aliases, alias)
	}
	if n.kind != "import_statement" {
		w.out.Imports = append(w.out.Imports, ref)
	}
}
