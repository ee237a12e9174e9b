package main

import (
	"errors"
	"io/fs"

	"github.com/code2lora/code2lora/internal/adapt"
	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/catalog"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/follow"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/memory"
	"github.com/code2lora/code2lora/internal/state"
	"github.com/code2lora/code2lora/internal/train"
)

// Exit codes. docs/commands.md repeats this table.
const (
	exitOK          = 0
	exitFailure     = 1   // anything not below, such as too little memory
	exitUsage       = 2   // wrong flags or arguments
	exitInput       = 3   // a file, repository or checkpoint is missing or cannot be used
	exitBase        = 4   // the base model is unknown, not here, or not the adapter's
	exitSplit       = 5   // a test repository was about to be trained on
	exitInterrupted = 130 // Ctrl-C
)

// errUsage marks errors in flags and arguments.
var errUsage = errors.New("usage")

// errNoCheckpoint is returned when a base has no hypernetwork checkpoint.
var errNoCheckpoint = errors.New("no hypernetwork checkpoint")

// exitCode maps an error to the code of the table above.
func exitCode(err error) int {
	is := func(targets ...error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
	var shortage *memory.Shortage
	switch {
	case errors.As(err, &shortage): // not the fault of the file that needs the memory
		return exitFailure
	case is(errUsage, gitrepo.ErrFilter, memory.ErrSize):
		return exitUsage
	case is(adapter.ErrBaseModel, catalog.ErrUnknown, catalog.ErrOffline, errNoCheckpoint, errNoModels):
		return exitBase
	case is(dataset.ErrTestRepository):
		return exitSplit
	case is(fs.ErrNotExist, errInput, adapt.ErrNoSource, encoder.ErrNothing, catalog.ErrMismatch, hypernet.ErrEncoder,
		gitrepo.ErrEmpty, gitrepo.ErrRef, gitrepo.ErrMissingObject, gitrepo.ErrNotGit, gitrepo.ErrNetwork, gitrepo.ErrArchive,
		follow.ErrFrom, follow.ErrNoStates, state.ErrCorrupt, train.ErrSettings):
		return exitInput
	default:
		return exitFailure
	}
}

// errInput marks unusable input that no package has an error value for.
var errInput = errors.New("unusable input")

// unusable marks an error as one of unusable input. Its message stays as it is.
func unusable(err error) error { return inputError{err} }

type inputError struct{ error }

func (e inputError) Unwrap() []error { return []error{e.error, errInput} }

// hint says what to do about an error, where that is not plain.
func hint(err error) string {
	switch {
	case errors.Is(err, adapter.ErrBaseModel):
		return `"code2lora inspect" shows which base an adapter was made for; give it with --base`
	case errors.Is(err, catalog.ErrUnknown):
		return `"code2lora models" lists the base models`
	case errors.Is(err, errNoModels):
		return `"code2lora pull NAME" gets one; --base also takes a GGUF file`
	case errors.Is(err, adapt.ErrNoSource):
		return "the checkpoint reads Python sources outside of tests"
	case errors.Is(err, gitrepo.ErrEmpty):
		return "commit something first, or give the folder without its .git"
	}
	return ""
}
