package syntax

// imports records what an import statement imports.
func (w *scriptWalker) imports(i int, s scope) {
	ref := w.importRef(i, s)
	source := w.field(i, "source")
	if clause := w.child(i, "import_require_clause"); clause >= 0 { // import x = require("y")
		source, ref.Alias = w.field(clause, "source"), w.text(w.child(clause, "identifier"))
	}
	if source < 0 {
		return
	}
	ref.Module = unquote(w.text(source))
	for _, c := range w.named(w.child(i, "import_clause")) {
		switch w.kind(c) {
		case "identifier":
			ref.Names, ref.Aliases = append(ref.Names, "default"), append(ref.Aliases, w.text(c))
		case "namespace_import":
			ref.Alias = w.text(w.child(c, "identifier"))
		case "named_imports":
			w.specifiers(&ref, c)
		}
	}
	w.out.Imports = append(w.out.Imports, ref)
}

func (w *scriptWalker) importRef(i int, s scope) ImportRef {
	n := &w.nodes[i]
	return ImportRef{Start: n.start, End: n.end, Line: w.walker.line(i), Function: s.function}
}

// specifiers adds the names in the braces of an import or export.
func (w *scriptWalker) specifiers(ref *ImportRef, list int) {
	for _, c := range w.named(list) {
		if name := w.field(c, "name"); name >= 0 {
			ref.Names = append(ref.Names, unquote(w.text(name)))
			ref.Aliases = append(ref.Aliases, w.text(w.field(c, "alias")))
		}
	}
}

// reexport records export {a} from "b" and export * from "b".
func (w *scriptWalker) reexport(i int, s scope) {
	ref := w.importRef(i, s)
	ref.Module = unquote(w.text(w.field(i, "source")))
	if clause := w.child(i, "export_clause"); clause >= 0 {
		w.specifiers(&ref, clause)
	} else {
		ref.Names, ref.Aliases = []string{"*"}, []string{""}
	}
	w.out.Imports = append(w.out.Imports, ref)
}

// require records require("m") and import("m"), with what it is assigned to.
func (w *scriptWalker) require(call int, s scope) {
	args := w.named(w.field(call, "arguments"))
	if len(args) == 0 || w.kind(args[0]) != "string" {
		return
	}
	outer := w.nodes[call].parent
	if w.kind(outer) == "await_expression" {
		outer = w.nodes[outer].parent
	}
	member := ""
	if w.kind(outer) == "member_expression" { // require("m").x
		member = w.text(w.field(outer, "property"))
		outer = w.nodes[outer].parent
	}
	ref := w.importRef(call, s)
	if w.kind(outer) == "variable_declarator" {
		ref = w.importRef(w.nodes[outer].parent, s)
	}
	ref.Module = unquote(w.text(args[0]))
	name := w.field(outer, "name")
	switch {
	case w.kind(outer) != "variable_declarator":
		name = -1
	case w.kind(name) == "object_pattern":
		for _, c := range w.named(name) {
			switch w.kind(c) {
			case "shorthand_property_identifier_pattern":
				ref.Names, ref.Aliases = append(ref.Names, w.text(c)), append(ref.Aliases, "")
			case "pair_pattern":
				ref.Names = append(ref.Names, w.text(w.field(c, "key")))
				ref.Aliases = append(ref.Aliases, w.text(w.field(c, "value")))
			}
		}
		w.out.Imports = append(w.out.Imports, ref)
		return
	}
	alias := ""
	if w.kind(name) == "identifier" {
		alias = w.text(name)
	}
	if member == "" {
		ref.Alias = alias
	} else {
		ref.Names, ref.Aliases = []string{member}, []string{alias}
	}
	w.out.Imports = append(w.out.Imports, ref)
}
