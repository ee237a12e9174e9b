package syntax

import "strings"

// scriptWalker collects the outline of a file of JavaScript or TypeScript.
type scriptWalker struct {
	walker
}

func scriptOutline(t *flat) *Outline {
	w := scriptWalker{walker{t, &Outline{}}}
	t.walk(module, w.visit)
	w.out.withoutImports()
	return w.out
}

// visit records what a node is.
func (w *scriptWalker) visit(i int, s scope) (scope, bool) {
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
	case "statement_block", "program", "switch_case", "switch_default":
		if n.field != "value" {
			s.statement = i
			w.line(i, s)
		}
	default:
		if w.isBranch(i) {
			s.statement = i
			w.line(i, s)
		}
	}
	if ofDefinition && n.field == "body" && n.kind != "statement_block" && n.kind != "class_body" {
		s.statement = i // of x => y
	}
	switch n.kind {
	case "program":
		s.body = true
	case "statement_block", "class_body":
		s.body = ofDefinition
	case "export_statement", "lexical_declaration", "variable_declaration", "variable_declarator", "expression_statement",
		"assignment_expression", "public_field_definition", "field_definition", "arguments":
		s.body = s.direct // a function in there is as direct as this
	case "switch_case":
		w.label(s, i)
	case "function_declaration", "generator_function_declaration", "method_definition",
		"class_declaration", "abstract_class_declaration", "interface_declaration", "type_alias_declaration", "enum_declaration":
		return w.declaration(i, s), true
	case "arrow_function", "function_expression", "function", "generator_function", "class":
		if inner, ok := w.expression(i, s); ok {
			return inner, true
		}
	case "call_expression":
		s.body = s.direct
		w.call(i, s)
	case "new_expression":
		w.creation(i, s)
	case "import_statement":
		w.imports(i, s)
		return s, false
	case "comment", "string", "number", "identifier", "property_identifier":
		return s, false
	}
	if n.kind == "export_statement" && w.field(i, "source") >= 0 {
		w.reexport(i, s)
	}
	return s, true
}

// line records the line of a statement.
func (w *scriptWalker) line(i int, s scope) {
	switch w.kind(i) {
	case "if_statement", "for_statement", "for_in_statement", "while_statement", "switch_statement", "with_statement":
		w.compound(s, i)
	case "comment", "empty_statement", "statement_block", "try_statement", "do_statement", "labeled_statement", "import_statement",
		"function_declaration", "generator_function_declaration", "function_signature", "class_declaration",
		"abstract_class_declaration", "interface_declaration", "type_alias_declaration", "enum_declaration":
	default:
		if first := w.first(i); w.kind(first) == "string" { // "use strict"
			return
		}
		w.addStatement(s, i)
	}
}

// declaration records a function, method or type that has its own name.
func (w *scriptWalker) declaration(i int, s scope) scope {
	n := &w.nodes[i]
	d := Definition{Name: clip(w.bytes(w.field(i, "name"))), Start: n.start, End: n.end}
	switch n.kind {
	case "method_definition":
		d.Exported = w.isPublic(i, d.Name)
	case "function_declaration", "generator_function_declaration":
		d.Exported = w.kind(n.parent) == "export_statement"
	default:
		d.Class = true
		d.Exported = w.kind(n.parent) == "export_statement"
	}
	d.Body = w.span(w.field(i, "body"))
	above := w.above(i, &d)
	return w.define(d, s, above)
}

// above returns where what precedes a definition begins: its decorators and
// "export". The decorators are taken out of the definition.
func (w *scriptWalker) above(i int, d *Definition) int {
	above := w.nodes[i].start
	for c := w.first(i); c >= 0 && w.kind(c) == "decorator"; c = w.next(c) {
		d.DecoratorLine = lineOf(w.lines, above)
		if after := w.next(c); after >= 0 {
			d.Start = w.nodes[after].start
		}
	}
	for p := w.nodes[i].prev; p >= 0 && w.kind(p) == "decorator"; p = w.nodes[p].prev {
		above = w.nodes[p].start
		d.DecoratorLine = lineOf(w.lines, above)
	}
	if parent := w.nodes[i].parent; w.kind(parent) == "export_statement" {
		above = w.nodes[parent].start
		if w.kind(w.first(parent)) == "decorator" {
			d.DecoratorLine = lineOf(w.lines, above)
		}
	}
	return above
}

// isPublic tells whether a member of a class is meant for others.
func (w *scriptWalker) isPublic(i int, name string) bool {
	if strings.HasPrefix(name, "#") || strings.HasPrefix(name, "_") {
		return false
	}
	modifier := w.text(w.child(i, "accessibility_modifier"))
	return modifier != "private" && modifier != "protected"
}

// expression records a function or class that is an expression, if it has a
// name from what it is assigned to, or is the body of a test.
func (w *scriptWalker) expression(i int, s scope) (scope, bool) {
	n, parent := &w.nodes[i], w.nodes[i].parent
	d := Definition{Class: n.kind == "class", Start: n.start, End: n.end}
	outer := i // the node of the whole definition
	switch w.kind(parent) {
	case "variable_declarator":
		outer = parent
		if name := w.field(parent, "name"); w.kind(name) == "identifier" {
			d.Name = w.text(name)
		}
		if declaration := w.nodes[parent].parent; w.nodes[parent].prev < 0 || !w.nodes[w.nodes[parent].prev].named && w.kind(w.nodes[parent].prev) != "," {
			outer = declaration
			d.Exported = w.kind(w.nodes[declaration].parent) == "export_statement"
		}
	case "pair":
		outer, d.Name = parent, unquote(clip(w.bytes(w.field(parent, "key"))))
	case "assignment_expression":
		left := w.field(parent, "left")
		if left == i {
			return s, false
		}
		outer = parent
		if text := w.bytes(left); w.kind(left) == "member_expression" {
			d.Name = w.text(w.field(left, "property"))
			d.Exported = strings.HasPrefix(string(text[:min(len(text), 16)]), "exports.") || strings.HasPrefix(string(text[:min(len(text), 16)]), "module.exports")
		} else {
			d.Name = clip(text)
		}
	case "public_field_definition", "field_definition":
		outer = parent
		name := w.field(parent, "name")
		if name < 0 {
			name = w.field(parent, "property")
		}
		d.Name = clip(w.bytes(name))
		d.Exported = w.isPublic(parent, d.Name)
	case "export_statement":
		outer, d.Name, d.Exported = i, "default", true
	case "arguments":
		call := w.nodes[parent].parent
		title, ok := w.testTitle(call)
		if !ok {
			break
		}
		outer, d.Name, d.Test = call, title, true
	}
	if own := w.text(w.field(i, "name")); outer == i && own != "" {
		d.Name = own
	}
	if d.Name == "" && !d.Test {
		return s, false
	}
	d.Start = w.nodes[outer].start
	if d.Test {
		d.End = w.nodes[outer].end
	}
	d.Body = w.span(w.field(i, "body"))
	above := w.above(outer, &d)
	return w.define(d, s, above), true
}

// unquote returns a string without its quotation marks, and other text as it is.
func unquote(text string) string {
	if n := len(text); n >= 2 && text[0] == text[n-1] && strings.IndexByte("\"'`", text[0]) >= 0 {
		return text[1 : n-1]
	}
	return text
}

// notTests are what it and test also have as methods.
var notTests = map[string]bool{
	"describe": true, "step": true, "use": true, "extend": true, "beforeEach": true, "afterEach": true, "beforeAll": true, "afterAll": true,
}

// testTitle returns the title of a test, if a call is one: it(), test() and
// their like, also it.only(), test.each(table)(), t.test().
func (w *scriptWalker) testTitle(call int) (string, bool) {
	if w.kind(call) != "call_expression" {
		return "", false
	}
	callee := w.field(call, "function")
	ok := false
	for range 6 {
		switch w.kind(callee) {
		case "call_expression":
			callee = w.field(callee, "function")
			continue
		case "member_expression":
			property := w.text(w.field(callee, "property"))
			if notTests[property] {
				return "", false
			}
			ok = ok || property == "test" || property == "it"
			callee = w.field(callee, "object")
			continue
		case "identifier":
			switch w.text(callee) {
			case "it", "test", "specify", "fit", "xit", "xtest":
				ok = true
			}
		}
		break
	}
	if !ok {
		return "", false
	}
	title := w.withoutComments(w.field(call, "arguments"), 0)
	switch w.kind(title) {
	case "string", "template_string":
		n := w.nodes[title]
		return clip(w.source[n.start+1 : max(n.start+1, n.end-1)]), true
	case "arrow_function", "function_expression", "function":
		return "", true
	}
	return clip(w.bytes(title)), true
}

// call records a call, that it is an assertion, and that it is an import.
func (w *scriptWalker) call(i int, s scope) {
	callee, list := w.field(i, "function"), w.field(i, "arguments")
	for w.kind(callee) == "non_null_expression" {
		callee = w.first(callee)
	}
	if callee < 0 || w.kind(list) != "arguments" {
		return
	}
	object := -1
	switch w.kind(callee) {
	case "identifier":
	case "import":
		w.require(i, s)
		return
	case "member_expression":
		if object, callee = w.field(callee, "object"), w.field(callee, "property"); object < 0 || callee < 0 {
			return
		}
	default:
		return
	}
	if object < 0 && w.text(callee) == "require" {
		w.require(i, s)
	}
	w.addCall(s, i, callee, object, w.nodes[list].end)
	w.assertion(i, callee, object, list, s)
}

// creation records the call of a constructor.
func (w *scriptWalker) creation(i int, s scope) {
	callee, list := w.field(i, "constructor"), w.field(i, "arguments")
	object := -1
	if w.kind(callee) == "member_expression" {
		object, callee = w.field(callee, "object"), w.field(callee, "property")
	}
	if callee < 0 || list < 0 || w.kind(callee) != "identifier" && object < 0 {
		return
	}
	w.addCall(s, i, callee, object, w.nodes[list].end)
}
