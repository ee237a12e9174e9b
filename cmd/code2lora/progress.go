package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/code2lora/code2lora/internal/encoder"
)

// bar shows progress on standard error: a line that is rewritten on a
// terminal, a line every few seconds elsewhere. Nothing is shown when quiet.
type bar struct {
	w        io.Writer
	terminal bool
	quiet    bool
	last     time.Time
	shown    bool
}

func (a *app) bar() *bar {
	b := &bar{w: a.err, quiet: a.quiet, last: time.Now()}
	if f, ok := a.err.(*os.File); ok {
		b.terminal = term.IsTerminal(int(f.Fd()))
	}
	return b
}

// show rewrites the line, at most ten times a second on a terminal and every
// five seconds elsewhere.
func (b *bar) show(format string, args ...any) {
	every := 5 * time.Second
	if b.terminal {
		every = 100 * time.Millisecond
	}
	if b.quiet || time.Since(b.last) < every {
		return
	}
	b.last = time.Now()
	b.line(format, args...)
}

// reading shows how much of a repository has been read.
func (b *bar) reading(p encoder.Progress) {
	b.show("reading %d of %d files, %d of about %d tokens", p.Files, p.TotalFiles, p.Tokens, p.EstimatedTokens)
}

// line shows a line regardless of time.
func (b *bar) line(format string, args ...any) {
	if b.quiet {
		return
	}
	if b.terminal {
		fmt.Fprintf(b.w, "\r\x1b[K"+format, args...)
		b.shown = true
		return
	}
	fmt.Fprintf(b.w, format+"\n", args...)
}

// done ends the line.
func (b *bar) done() {
	if b.shown {
		fmt.Fprint(b.w, "\r\x1b[K")
		b.shown = false
	}
}

// bytes is a progress function for downloads.
func (b *bar) bytes(done, total int64, note string) {
	b.show("%s: %.0f of %.0f MB", note, float64(done)/1e6, float64(total)/1e6)
}
