package syntax

import (
	"bytes"
	"strings"
)

// javaWalker collects the outline of a file of Java.
type javaWalker struct {
	walker
	cases   map[int]bool // the classes, by their index, that extend a TestCase
	jupiter bool         // the file imports JUnit 5: messages come last
}

func javaOutline(t *flat) *Outline {
	w := javaWalker{walker: walker{t, &Outline{}}, cases: map[int]bool{}}
	t.walk(module, w.visit)
	return w.out
}

// javaTests are the annotations of tests: JUnit 4 and 5, TestNG, jqwik.
var javaTests = map[string]bool{
	"Test": true, "ParameterizedTest": true, "RepeatedTest": true, "TestFactory": true, "TestTemplate": true, "Theory": true, "Property": true,
}

// visit records what a node is.
func (w *javaWalker) visit(i int, s scope) (scope, bool) {
	n := &w.nodes[i]
	s.direct, s.body = s.body, false
	ofDefinition := s.ofDefinition
	s.ofDefinition = false
	if n.broken {
		s.broken = true
		return s, true
	}
	if !n.named {
		return s, false
	}
	switch w.kind(n.parent) {
	case "block", "constructor_body", "switch_block_statement_group":
		s.statement = i
		w.line(i, s)
	case "switch_block", "switch_rule":
		w.line(i, s)
	case "lambda_expression":
		if n.field == "body" && s.statement < 0 {
			s.statement = i // in the initial value of a field
		}
	default:
		if w.isBranch(i) {
			s.statement = i
			w.line(i, s)
		}
	}
	switch n.kind {
	case "program":
		s.body = true
	case "block", "constructor_body", "class_body", "interface_body", "enum_body", "annotation_type_body":
		s.body = ofDefinition
	case "enum_body_declarations":
		s.body = s.direct
	case "class_declaration", "interface_declaration", "enum_declaration", "record_declaration", "annotation_type_declaration",
		"method_declaration", "constructor_declaration", "compact_constructor_declaration":
		return w.definition(i, s), true
	case "package_declaration":
		for _, c := range w.named(i) {
			w.out.Package = w.text(c)
		}
		return s, false
	case "import_declaration":
		w.imports(i, s)
		return s, false
	case "method_invocation":
		name, list := w.field(i, "name"), w.field(i, "arguments")
		if name >= 0 && list >= 0 {
			w.addCall(s, i, name, w.field(i, "object"), w.nodes[list].end)
			w.assertion(i, name, list, s)
		}
	case "object_creation_expression":
		w.creation(i, s)
	case "assert_statement":
		site := w.site("assert", i, s)
		w.aimComparison(&site, w.withoutComments(i, 0))
		w.out.Sites = append(w.out.Sites, site)
	case "line_comment", "block_comment", "identifier", "string_literal", "modifiers":
		return s, false
	}
	return s, true
}

// line records the line of a statement.
func (w *javaWalker) line(i int, s scope) {
	switch w.kind(i) {
	case "if_statement", "for_statement", "enhanced_for_statement", "while_statement", "switch_expression",
		"synchronized_statement", "try_with_resources_statement":
		w.compound(s, i)
	case "switch_block_statement_group":
		w.label(s, i)
	case "switch_rule":
		if body := w.named(i); len(body) == 2 && w.source[w.nodes[body[1]].start] == '{' && w.endLine(i) > w.flat.line(i) {
			w.addLine(s, i, w.nodes[body[1]].start+1)
		} else if !bytes.HasPrefix(w.bytes(i), []byte("default")) {
			w.addStatement(s, i)
		}
	case "line_comment", "block_comment", "block", ";", "switch_label", "try_statement", "do_statement", "labeled_statement",
		"class_declaration", "interface_declaration", "enum_declaration", "record_declaration":
	default:
		if s.statement == i {
			w.addStatement(s, i)
		}
	}
}

// definition records a method or type, and returns the scope inside it.
func (w *javaWalker) definition(i int, s scope) scope {
	n := &w.nodes[i]
	d := Definition{Name: w.text(w.field(i, "name")), Start: n.start, End: n.end}
	switch n.kind {
	case "method_declaration", "constructor_declaration", "compact_constructor_declaration":
	default:
		d.Class = true
	}
	owner := w.kind(n.parent)
	d.Exported = owner == "interface_body" || owner == "annotation_type_body"
	if modifiers := w.child(i, "modifiers"); modifiers >= 0 {
		w.modifiers(modifiers, &d)
	}
	if d.Class {
		w.cases[len(w.out.Definitions)] = bytes.HasSuffix(w.bytes(w.field(i, "superclass")), []byte("TestCase"))
	} else if w.cases[s.parent] && strings.HasPrefix(d.Name, "test") && w.kind(w.field(i, "type")) == "void_type" {
		d.Test = true
	}
	d.Body = w.span(w.field(i, "body"))
	return w.define(d, s, n.start)
}

// modifiers reads the modifiers that begin a definition, and takes the
// annotations before the others out of it.
func (w *javaWalker) modifiers(i int, d *Definition) {
	head := true
	for c := w.first(i); c >= 0; c = w.next(c) {
		switch w.kind(c) {
		case "marker_annotation", "annotation":
			name := w.text(w.field(c, "name"))
			if javaTests[name[strings.LastIndexByte(name, '.')+1:]] && !d.Class {
				d.Test = true
			}
			d.DecoratorLine = w.flat.line(i)
			continue
		case "public":
			d.Exported = true
		case "private", "protected":
			d.Exported = false
		}
		if head && !strings.HasSuffix(w.kind(c), "comment") {
			d.Start, head = w.nodes[c].start, false
		}
	}
	if after := w.next(i); head && after >= 0 {
		d.Start = w.nodes[after].start
	}
}

// creation records the call of a constructor.
func (w *javaWalker) creation(i int, s scope) {
	name, list := w.field(i, "type"), w.field(i, "arguments")
	if w.kind(name) == "generic_type" {
		name = w.first(name)
	}
	receiver := -1
	if w.kind(name) == "scoped_type_identifier" { // Outer.Inner
		parts := w.named(name)
		if len(parts) < 2 {
			return
		}
		receiver, name = parts[0], parts[len(parts)-1]
	}
	if w.kind(name) == "type_identifier" && list >= 0 {
		w.addCall(s, i, name, receiver, w.nodes[list].end)
	}
}

// imports records an import.
func (w *javaWalker) imports(i int, s scope) {
	n := &w.nodes[i]
	path := w.child(i, "scoped_identifier")
	if path < 0 {
		if path = w.child(i, "identifier"); path < 0 {
			return
		}
	}
	ref := ImportRef{Module: strings.Join(strings.Fields(w.text(path)), ""), Start: n.start, End: n.end, Line: w.flat.line(i), Function: s.function}
	if strings.HasPrefix(ref.Module, "org.junit.jupiter.") {
		w.jupiter = true
	}
	name := "*"
	if w.child(i, "asterisk") < 0 {
		dot := strings.LastIndexByte(ref.Module, '.')
		name, ref.Module = ref.Module[dot+1:], ref.Module[:max(dot, 0)]
	}
	ref.Names, ref.Aliases = []string{name}, []string{""}
	w.out.Imports = append(w.out.Imports, ref)
}
