package adapter

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/code2lora/code2lora/internal/store"
)

// ownFiles are the files of adapter folders. A folder with any other file is
// not replaced.
var ownFiles = []string{nativeWeights, sidecarName, peftConfig, peftWeights}

// writeFolder calls write with a new folder and puts that in the place of dir.
// The old folder is there, whole, until the new one is complete and synced.
// On Linux the two change places in one step; elsewhere a crash between two
// renames leaves the old folder beside its place, as ".NAME.old-*".
func writeFolder(dir string, write func(tmp string) error) (err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real // replace what a link points to, not the link
	}
	if err := checkReplaceable(dir); err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return err
	}
	removeStale(dir)
	tmp := sibling(dir, tmpInfix)
	if err := os.Mkdir(tmp, 0o777); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(tmp) // the first error is the one to report
		}
	}()
	if err := write(tmp); err != nil {
		return err
	}
	return replaceFolder(tmp, dir)
}

const (
	tmpInfix = ".tmp-"
	oldInfix = ".old-"
	staleAge = time.Hour
)

func sibling(dir, infix string) string {
	return filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+infix+strconv.FormatUint(rand.Uint64(), 36))
}

// checkReplaceable reports a path that is neither free nor an adapter folder:
// replacing it would destroy what somebody else keeps there.
func checkReplaceable(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() || !slices.Contains(ownFiles, e.Name()) {
			return fmt.Errorf("folder %s has %q, which is no part of an adapter: choose a new or empty folder", dir, e.Name())
		}
	}
	return nil
}

// removeStale removes unfinished folders that a killed process left behind.
func removeStale(dir string) {
	entries, err := os.ReadDir(filepath.Dir(dir))
	if err != nil {
		return // only housekeeping
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), "."+filepath.Base(dir)+tmpInfix) {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > staleAge {
			os.RemoveAll(filepath.Join(filepath.Dir(dir), e.Name()))
		}
	}
}

// replaceFolder moves tmp to dir and removes what was there.
func replaceFolder(tmp, dir string) error {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return store.Rename(tmp, dir)
	}
	if err := exchange(tmp, dir); err == nil {
		return os.RemoveAll(tmp)
	}
	old := sibling(dir, oldInfix)
	if err := os.Rename(dir, old); err != nil {
		return err
	}
	if err := store.Rename(tmp, dir); err != nil {
		return errors.Join(err, os.Rename(old, dir))
	}
	return os.RemoveAll(old)
}
