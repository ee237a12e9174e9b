// Command code2lora turns a repository into a LoRA adapter for a frozen code
// language model, and completes code with it.
//
// Run "code2lora help" for the commands. Each takes --json: one object on
// standard output; progress and notes go to standard error.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/code2lora/code2lora/internal/execute"
)

func main() {
	execute.Init()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: out, err: errOut}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	a.close()
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil { // err may be of a program that we killed, such as git
		fmt.Fprintln(errOut, "code2lora: interrupted")
		return exitInterrupted
	}
	fmt.Fprintf(errOut, "code2lora: %v\n", err)
	if h := hint(err); h != "" {
		fmt.Fprintf(errOut, "hint: %s\n", h)
	}
	return exitCode(err)
}
