package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/method"
)

// parseMethods reads the methods and levels of a command.
func parseMethods(command string, methods, levels []string) ([]method.Spec, []disclosure.Level, error) {
	var specs []method.Spec
	for _, text := range methods {
		texts, err := method.Expand(text)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %s: %w", errUsage, command, err)
		}
		for _, text := range texts {
			s, err := method.ParseSpec(text)
			if err == nil {
				err = s.Check()
			}
			if err != nil {
				return nil, nil, fmt.Errorf("%w: %s: %w", errUsage, command, err)
			}
			specs = append(specs, s)
		}
	}
	all := as[disclosure.Level](levels)
	for _, l := range all {
		if !slices.Contains(disclosure.Levels, l) {
			return nil, nil, fmt.Errorf("%w: %s: --level %q: want production or tree", errUsage, command, l)
		}
	}
	return specs, all, nil
}

// plan says what is run at which level, and tells of methods that are not run at
// a level that was asked for.
func (a *app) plan(specs []method.Spec, levels []disclosure.Level) []method.Planned {
	all := method.Plan(specs, levels)
	for _, s := range specs {
		for _, l := range levels {
			if !slices.ContainsFunc(all, func(p method.Planned) bool {
				return p.Level == l && slices.ContainsFunc(p.Specs, func(o method.Spec) bool { return o.String() == s.String() })
			}) {
				a.note("note: %s was fitted to tests of the repositories: it runs at the level %s, not %s", s, disclosure.Tree, l)
			}
		}
	}
	return all
}

// commandLine is how the program was started, without the folder that it is in.
func commandLine() []string {
	args := slices.Clone(os.Args)
	if len(args) > 0 {
		args[0] = filepath.Base(args[0])
	}
	return args
}

// checkpointDigest identifies the hypernetwork or the adapters of a method: the
// SHA-256 of a file, or that of the names and digests of files in a folder. It is
// "" for a method without any.
func checkpointDigest(base *base, s method.Spec) (string, error) {
	var all []string
	for _, p := range s.Parts {
		var sum string
		var err error
		switch p.Name {
		case "evo":
			if p.Settings["file"] == "" {
				continue // an error of the method's own
			}
			if sum, err = digestOfPath(p.Settings["file"]); err != nil {
				err = unusable(fmt.Errorf("method %s: %w", p, err))
			}
		case "checkpoint", "additive":
			path := p.Settings["file"]
			if path == "" {
				_, sum, err = unpackCheckpoint(base)
			} else {
				sum, err = digestOfPath(path)
			}
		case "adapter", "own-adapter":
			if p.Settings["dir"] == "" {
				continue // an error of the method's own
			}
			if sum, err = digestOfPath(p.Settings["dir"]); err != nil {
				err = unusable(fmt.Errorf("method %s: %w", p, err))
			}
		default:
			continue
		}
		if err != nil {
			return "", err
		}
		all = append(all, sum)
	}
	if len(all) < 2 {
		return strings.Join(all, ""), nil
	}
	sum := sha256.Sum256([]byte(strings.Join(all, "+")))
	return hex.EncodeToString(sum[:]), nil
}

// digestOfPath is the SHA-256 of a file. Of a folder it is that of the names and
// digests of its files, and of those in the folders OWNER+NAME below it.
func digestOfPath(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if !info.IsDir() {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		_, err = io.Copy(h, f)
		return hex.EncodeToString(h.Sum(nil)), err
	}
	entries, err := os.ReadDir(path) // sorted
	for _, e := range entries {
		if err != nil {
			break
		}
		var sum string
		if e.Type().IsRegular() && e.Name() != "lock" || e.IsDir() && strings.Contains(e.Name(), "+") {
			sum, err = digestOfPath(filepath.Join(path, e.Name()))
			fmt.Fprintf(h, "%s\x00%s\n", e.Name(), sum)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), err
}
