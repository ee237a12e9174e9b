package syntax

import (
	"go/ast"
	"go/token"
	"strings"
)

// testify gives, for the functions of testify's assert and require, how many
// arguments they have without the *testing.T and the message. The target is
// the last one of these. Each is also there with an f at the end.
var testify = map[string]int{
	"Equal": 2, "NotEqual": 2, "EqualValues": 2, "NotEqualValues": 2, "Exactly": 2, "JSONEq": 2, "YAMLEq": 2, "ElementsMatch": 2,
	"Contains": 2, "NotContains": 2, "Subset": 2, "NotSubset": 2, "Len": 2, "InDelta": 2, "InEpsilon": 2, "Greater": 2,
	"GreaterOrEqual": 2, "Less": 2, "LessOrEqual": 2, "Same": 2, "NotSame": 2, "IsType": 2, "Regexp": 2, "NotRegexp": 2, "Implements": 2,
	"ErrorIs": 2, "NotErrorIs": 2, "ErrorAs": 2, "ErrorContains": 2, "EqualError": 2, "WithinDuration": 2,
	"True": 1, "False": 1, "Nil": 1, "NotNil": 1, "Error": 1, "NoError": 1, "Empty": 1, "NotEmpty": 1, "Zero": 1, "NotZero": 1,
	"FileExists": 1, "DirExists": 1, "Positive": 1, "Negative": 1,
}

// predicates are the functions that tests call in the condition of an if. The
// target is their second argument.
var predicates = map[string]bool{
	"reflect.DeepEqual": true, "cmp.Equal": true, "bytes.Equal": true, "slices.Equal": true, "maps.Equal": true, "proto.Equal": true,
	"strings.Contains": true, "strings.HasPrefix": true, "strings.HasSuffix": true, "strings.EqualFold": true, "bytes.Contains": true,
	"slices.Contains": true, "errors.Is": true,
}

// goSite adds a site for an assertion at a node, whose target is an
// expression, or nil.
func (w *goWalker) goSite(kind string, n ast.Node, target ast.Expr, broken bool, s scope) {
	at := w.extent(n)
	site := Site{Kind: kind, Start: at.Start, End: at.Start, From: at.Start, Line: lineOf(w.lines, at.Start), Function: s.function, Class: s.class}
	switch {
	case broken:
		site.Flaw = Broken
	case target == nil:
		site.Flaw = NoArgument
	default:
		to := w.extent(target)
		if site.Start, site.End = to.Start, to.End; to.End == to.Start {
			site.Flaw = Broken
		}
	}
	w.out.Sites = append(w.out.Sites, site)
}

// assertion records a call if it is an assertion:
//
//	assert.Equal(t, want, got)   got; likewise require, and methods of suites
//	cmp.Diff(want, got)          got
//	c.Assert(got, Equals, want)  want; of gocheck and quicktest
func (w *goWalker) assertion(c *ast.CallExpr, name string, broken bool, s scope) {
	selector, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return
	}
	receiver := ""
	switch x := selector.X.(type) {
	case *ast.Ident:
		receiver = x.Name
	case *ast.CallExpr: // s.Require().Equal()
		if f, ok := x.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "Require" || f.Sel.Name == "Assert") {
			receiver = strings.ToLower(f.Sel.Name)
		}
	}
	values, known := testify[name]
	if short, ok := strings.CutSuffix(name, "f"); ok && !known {
		if values, known = testify[short]; known {
			name = short
		}
	}
	at := -1
	switch {
	case receiver == "cmp" && name == "Diff" && len(c.Args) >= 2:
		w.goSite("cmp.Diff", c, c.Args[1], broken, s)
		return
	case (name == "Assert" || name == "Check") && len(c.Args) >= 3 && isChecker(c.Args[1]):
		w.goSite(name, c, c.Args[2], broken, s)
		return
	case known && (receiver == "assert" || receiver == "require"):
		at = values - 1
		if len(c.Args) > 0 && w.isTestingArg(c.Args[0]) {
			at++
		}
	case known && w.suites[receiver]:
		receiver, at = "suite", values-1
	default:
		return
	}
	var target ast.Expr
	if at < len(c.Args) && (!c.Ellipsis.IsValid() || at < len(c.Args)-1) {
		target = c.Args[at]
	}
	w.goSite(receiver+"."+name, c, target, broken, s)
}

// isChecker tells whether an argument is what gocheck compares by: Equals, or
// qt.Equals.
func isChecker(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.Ident:
		return x.IsExported()
	case *ast.SelectorExpr:
		return x.Sel.IsExported()
	}
	return false
}

// isTestingArg tells whether an argument is a *testing.T: t, or s.T().
func (w *goWalker) isTestingArg(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.Ident:
		return w.testing[x.Name] || x.Name == "t"
	case *ast.CallExpr:
		switch f := x.Fun.(type) {
		case *ast.SelectorExpr:
			return f.Sel.Name == "T"
		case *ast.Ident:
			return f.Name == "GinkgoT"
		}
	}
	return false
}

// ifStatement records an if that fails a test, as an assertion of what it
// compares with:
//
//	if got := f(); got != want { t.Error() }    want
//	if !reflect.DeepEqual(got, want) {...}      want; the others as in predicates
//	if err != nil || got != want {...}          want
//
// A comparison of an error with nil is none, since it has only one answer, nor
// is that of what cmp.Diff returns, which is an assertion itself.
func (w *goWalker) ifStatement(n *ast.IfStmt, s scope) {
	if n.Body == nil || !w.fails(n.Body) || isDiff(n.Init) {
		return
	}
	kind := ""
	var target ast.Expr
	for e := n.Cond; e != nil; {
		part := e
		e = nil
		if b, ok := part.(*ast.BinaryExpr); ok && b.Op == token.LOR {
			e, part = b.X, b.Y
		}
		k, t := asserted(part)
		if t == nil {
			continue
		}
		if target != nil {
			return // of two comparisons; there is no single target
		}
		kind, target = k, t
	}
	if target != nil {
		w.goSite(kind, n, target, w.hasError(Span{w.offset(n.Pos()), w.offset(n.Body.Lbrace)}), s)
	}
}

// isDiff tells whether a statement is diff := cmp.Diff(want, got).
func isDiff(n ast.Stmt) bool {
	a, ok := n.(*ast.AssignStmt)
	if !ok || len(a.Rhs) != 1 {
		return false
	}
	c, ok := a.Rhs[0].(*ast.CallExpr)
	if !ok {
		return false
	}
	f, ok := c.Fun.(*ast.SelectorExpr)
	return ok && f.Sel.Name == "Diff"
}

// asserted returns what a condition compares with, and the kind of assertion.
func asserted(e ast.Expr) (kind string, target ast.Expr) {
	for range 8 {
		switch x := e.(type) {
		case *ast.ParenExpr:
			e = x.X
			continue
		case *ast.UnaryExpr:
			if x.Op == token.NOT {
				e = x.X
				continue
			}
		}
		break
	}
	switch x := e.(type) {
	case *ast.BinaryExpr:
		switch x.Op {
		case token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ:
			right, ok := x.Y.(*ast.Ident)
			if left, isIdent := x.X.(*ast.Ident); ok && isIdent && right.Name == "nil" && strings.HasSuffix(strings.ToLower(left.Name), "err") {
				return "", nil
			}
			return "if", x.Y
		}
	case *ast.CallExpr:
		f, ok := x.Fun.(*ast.SelectorExpr)
		if !ok || len(x.Args) < 2 {
			return "", nil
		}
		if p, ok := f.X.(*ast.Ident); ok && predicates[p.Name+"."+f.Sel.Name] {
			return p.Name + "." + f.Sel.Name, x.Args[1]
		}
	}
	return "", nil
}

// fails tells whether a block has a call of t.Error, t.Fatal or their like.
func (w *goWalker) fails(b *ast.BlockStmt) bool {
	for _, statement := range b.List {
		e, ok := statement.(*ast.ExprStmt)
		if !ok {
			continue
		}
		c, ok := e.X.(*ast.CallExpr)
		if !ok {
			continue
		}
		f, ok := c.Fun.(*ast.SelectorExpr)
		if !ok {
			continue
		}
		switch f.Sel.Name {
		case "Error", "Errorf", "Fatal", "Fatalf", "Fail", "FailNow":
			if x, ok := f.X.(*ast.Ident); ok && w.testing[x.Name] {
				return true
			}
		}
	}
	return false
}
