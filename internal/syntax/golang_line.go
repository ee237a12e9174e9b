package syntax

import (
	"bytes"
	"go/ast"
	"go/token"
)

// line records the line of the first of some statements that follow each other.
func (w *goWalker) line(s scope, list []ast.Stmt) {
	head := w.head(list[0])
	if head < 0 || s.function == None || s.parent != s.function {
		return
	}
	at := w.extent(list[0])
	line := lineOf(w.lines, at.Start)
	from, to := lineExtent(w.source, w.lines, line)
	if head > to || len(bytes.Trim(w.source[from:at.Start], blanks)) > 0 || w.hasError(Span{at.Start, head}) {
		return
	}
	end := head
	if at.End <= to {
		end = at.End
		for _, other := range list[1:] { // on the same line
			at := w.extent(other)
			if at.Start >= to {
				break
			}
			if at.End > to {
				return
			}
			end = at.End
		}
	}
	if to, ok := w.lineEnd(end, to); ok {
		text := bytes.TrimRight(w.source[at.Start:to], blanks)
		w.out.Lines = append(w.out.Lines, LineSite{Start: at.Start, End: at.Start + len(text), Line: line, Function: s.function, Class: s.class})
	}
}

// head returns where the head of a statement ends: behind the brace or colon,
// or where the statement ends if it has none. It is negative for statements
// whose line isn't worth asking for.
func (w *goWalker) head(n ast.Stmt) int {
	var body *ast.BlockStmt
	switch n := n.(type) {
	case *ast.IfStmt:
		body = n.Body
	case *ast.ForStmt:
		body = n.Body
	case *ast.RangeStmt:
		body = n.Body
	case *ast.SwitchStmt:
		body = n.Body
	case *ast.TypeSwitchStmt:
		body = n.Body
	case *ast.SelectStmt:
		body = n.Body
	case *ast.CaseClause:
		if n.List == nil {
			return -1
		}
		return w.offset(n.Colon) + 1
	case *ast.CommClause:
		if n.Comm == nil {
			return -1
		}
		return w.offset(n.Colon) + 1
	case *ast.BlockStmt, *ast.EmptyStmt, *ast.LabeledStmt, *ast.BadStmt:
		return -1
	case *ast.DeclStmt:
		if g, ok := n.Decl.(*ast.GenDecl); !ok || g.Tok == token.TYPE {
			return -1
		}
		return w.extent(n).End
	default:
		return w.extent(n).End
	}
	if body == nil {
		return -1
	}
	return w.offset(body.Lbrace) + 1
}
