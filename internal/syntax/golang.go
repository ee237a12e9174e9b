package syntax

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// goWalker collects the outline of a file of Go. The statement of its scopes
// is the offset where one begins, and its flat tree has no nodes.
type goWalker struct {
	walker
	levels  []goLevel
	broken  []int           // offsets of errors, in order
	testing map[string]bool // names of parameters that are a *testing.T or the like
	suites  map[string]bool // names of receivers of the methods of test suites
}

// goLevel is a node that the walk is in.
type goLevel struct {
	scope
	list  []ast.Stmt // the statements of a block
	index int        // of the next one
}

// goOutline reads source by the parser of the standard library, which gives
// up on nesting that is too deep.
func goOutline(source []byte) *Outline {
	files := token.NewFileSet()
	mode := parser.ParseComments | parser.AllErrors | parser.SkipObjectResolution
	file, err := parser.ParseFile(files, "", source, mode)
	w := goWalker{
		walker:  walker{&flat{source: source, lines: lineStarts(source)}, &Outline{}},
		testing: map[string]bool{}, suites: map[string]bool{},
	}
	var list scanner.ErrorList
	if errors.As(err, &list) {
		for _, e := range list {
			w.broken = append(w.broken, e.Pos.Offset)
		}
		slices.Sort(w.broken)
		last := 0
		for _, offset := range w.broken {
			if line := lineOf(w.lines, offset); line != last {
				w.out.Errors, last = w.out.Errors+1, line
			}
		}
	}
	if file == nil {
		return w.out
	}
	if file.Name != nil {
		w.out.Package = file.Name.Name
	}
	for _, group := range file.Comments {
		for _, c := range group.List {
			w.comments = append(w.comments, w.comment(w.offset(c.Pos())))
		}
	}
	w.parameters(file)
	w.levels = []goLevel{{scope: module}}
	ast.Inspect(file, w.visit)
	return w.out
}

// comment returns the extent of a comment. The parser's text of one lacks the
// carriage returns.
func (w *goWalker) comment(start int) Span {
	_, to := lineExtent(w.source, w.lines, lineOf(w.lines, start))
	if bytes.HasPrefix(w.source[start:], []byte("/*")) {
		if n := bytes.Index(w.source[start+2:], []byte("*/")); n >= 0 {
			return Span{start, start + 2 + n + 2}
		}
		return Span{start, len(w.source)}
	}
	return Span{start, start + len(bytes.TrimRight(w.source[start:to], "\r"))}
}

// offset returns the offset of a position, and 0 for none.
func (w *goWalker) offset(p token.Pos) int { return min(max(0, int(p)-1), len(w.source)) }

func (w *goWalker) extent(n ast.Node) Span {
	start, end := w.offset(n.Pos()), w.offset(n.End())
	return Span{start, max(start, end)}
}

// hasError tells whether the parser met with an error in an extent, or before
// the end of the line that it ends on.
func (w *goWalker) hasError(s Span) bool {
	_, to := lineExtent(w.source, w.lines, lineOf(w.lines, s.End))
	i := sort.SearchInts(w.broken, s.Start)
	return i < len(w.broken) && w.broken[i] <= to
}

// parameters collects what tests call their *testing.T, and suites themselves.
func (w *goWalker) parameters(file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv != nil && strings.Contains(receiverName(n), "Suite") {
				for _, name := range n.Recv.List[0].Names {
					w.suites[name.Name] = true
				}
			}
		case *ast.FuncType:
			for _, field := range n.Params.List {
				if isTesting(field.Type, "T", "B", "F", "TB") {
					for _, name := range field.Names {
						w.testing[name.Name] = true
					}
				}
			}
		}
		return true
	})
}

// isTesting tells whether a type is one of the package testing.
func isTesting(t ast.Expr, names ...string) bool {
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	selector, ok := t.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := selector.X.(*ast.Ident)
	return ok && x.Name == "testing" && slices.Contains(names, selector.Sel.Name)
}

// receiverName returns the name of the type that a method belongs to, or "".
func receiverName(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return ""
	}
	t := f.Recv.List[0].Type
	for range 8 {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.ParenExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		}
	}
	return ""
}

// visit records what a node is.
func (w *goWalker) visit(n ast.Node) bool {
	if n == nil {
		w.levels = w.levels[:len(w.levels)-1]
		return true
	}
	outer := &w.levels[len(w.levels)-1]
	s := outer.scope
	s.direct, s.body = s.body, false
	if statement, ok := n.(ast.Stmt); ok && outer.index < len(outer.list) && outer.list[outer.index] == statement {
		s.statement = w.offset(n.Pos())
		w.line(s, outer.list[outer.index:])
		outer.index++
	}
	level := goLevel{}
	switch n := n.(type) {
	case *ast.File, *ast.DeclStmt:
		s.body = true
	case *ast.GenDecl:
		s.body = s.direct
		if n.Tok == token.IMPORT {
			w.imports(n)
			return false
		}
		if n.Tok == token.TYPE {
			w.types(n, s)
		}
	case *ast.FuncDecl:
		s = w.function(n, s)
	case *ast.BlockStmt:
		level.list = n.List
	case *ast.CaseClause:
		level.list = n.Body
	case *ast.CommClause:
		level.list = n.Body
	case *ast.IfStmt:
		w.ifStatement(n, s)
	case *ast.CallExpr:
		w.call(n, s)
	case *ast.BadDecl, *ast.BadExpr, *ast.BadStmt:
		return false
	}
	level.scope = s
	w.levels = append(w.levels, level)
	return true
}

// function records a function, and returns the scope inside it.
func (w *goWalker) function(f *ast.FuncDecl, s scope) scope {
	extent := w.extent(f)
	d := Definition{Name: f.Name.Name, Exported: f.Name.IsExported(), Receiver: receiverName(f), Start: extent.Start, End: extent.End}
	if f.Body != nil {
		d.Body = w.extent(f.Body)
	}
	params := f.Type.Params.NumFields()
	if rest, ok := strings.CutPrefix(d.Name, "Test"); ok {
		first, _ := utf8.DecodeRuneInString(rest)
		named := rest == "" || !unicode.IsLower(first)
		if f.Recv == nil {
			d.Test = named && params == 1 && isTesting(f.Type.Params.List[0].Type, "T")
		} else {
			d.Test = named && rest != "" && params == 0 && f.Type.Results == nil
		}
	}
	return w.define(d, s, extent.Start)
}

// types records the types of a declaration. Nothing is defined in a type.
func (w *goWalker) types(g *ast.GenDecl, s scope) {
	for _, spec := range g.Specs {
		t, ok := spec.(*ast.TypeSpec)
		if !ok || t.Name == nil {
			continue
		}
		extent := w.extent(t)
		if !g.Lparen.IsValid() {
			extent.Start = w.offset(g.Pos())
		}
		d := Definition{Name: t.Name.Name, Class: true, Exported: t.Name.IsExported(), Start: extent.Start, End: extent.End}
		var fields *ast.FieldList
		switch t := t.Type.(type) {
		case *ast.StructType:
			fields = t.Fields
		case *ast.InterfaceType:
			fields = t.Methods
		}
		if fields != nil && fields.Opening.IsValid() {
			d.Body = Span{w.offset(fields.Opening), extent.End}
		}
		w.define(d, s, extent.Start)
	}
}

// imports records what a declaration imports.
func (w *goWalker) imports(g *ast.GenDecl) {
	for _, spec := range g.Specs {
		i, ok := spec.(*ast.ImportSpec)
		if !ok || i.Path == nil {
			continue
		}
		module, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			continue // it is an error of the file, counted already
		}
		extent := w.extent(i)
		if !g.Lparen.IsValid() {
			extent.Start = w.offset(g.Pos())
		}
		ref := ImportRef{Module: module, Start: extent.Start, End: extent.End, Line: lineOf(w.lines, extent.Start), Function: None}
		if i.Name != nil {
			ref.Alias = i.Name.Name
		}
		w.out.Imports = append(w.out.Imports, ref)
	}
}

// call records a call, and that it is an assertion.
func (w *goWalker) call(c *ast.CallExpr, s scope) {
	callee := c.Fun
	switch x := callee.(type) {
	case *ast.IndexExpr: // of a generic function
		callee = x.X
	case *ast.IndexListExpr:
		callee = x.X
	}
	var name *ast.Ident
	receiver := Span{}
	switch x := callee.(type) {
	case *ast.Ident:
		name = x
	case *ast.SelectorExpr:
		name, receiver = x.Sel, w.extent(x.X)
	default:
		return
	}
	at := w.extent(c)
	end := w.offset(c.Rparen) + 1
	broken := !c.Rparen.IsValid() || end > len(w.source) || w.source[end-1] != ')' || w.hasError(at)
	w.assertion(c, name.Name, broken, s)
	if s.function == None || s.statement < 0 {
		return
	}
	site := CallSite{
		Name: name.Name, Receiver: shorten(w.source[receiver.Start:receiver.End]), Start: w.offset(name.Pos()), End: end,
		From: s.statement, Line: lineOf(w.lines, s.statement), Function: s.function, Class: s.class,
	}
	if broken {
		site.Flaw, site.End = Broken, max(site.Start, min(end, len(w.source)))
	}
	w.out.Calls = append(w.out.Calls, site)
}
