package follow

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// hookMark is in every hook of ours. The SHA-256 of all that follows the line of
// it is behind digestMark.
const (
	hookMark   = "#!/bin/sh\n# Installed by \"code2lora hooks install\"; \"code2lora hooks remove\" restores what was here.\n"
	digestMark = "# As installed, the rest has SHA-256 "
)

// ours tells whether a hook begins like one of ours.
func ours(hook []byte) bool { return bytes.HasPrefix(hook, []byte(hookMark)) }

// unchanged tells whether a hook of ours is as it was installed.
func unchanged(hook []byte) bool {
	rest, ok := bytes.CutPrefix(hook, []byte(hookMark+digestMark))
	sum, body, cut := bytes.Cut(rest, []byte("\n"))
	return ok && cut && string(sum) == hexSum(body)
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// runHow is how a hook that was there is run.
type runHow int

const (
	runNothing runHow = iota // there is none
	runProgram               // by its own name
	runSourced               // within ours, so that $0 is as git gives it
)

var (
	// plainSh is the first line of a script that sh reads without options.
	plainSh = regexp.MustCompile(`^#![ \t]*(/usr)?/bin/(sh|env[ \t]+sh)[ \t]*\r?$`)
	// ownFolder is what finds the folder of a script, which stays the same.
	ownFolder = regexp.MustCompile(`dirname( --)? "?\$\{?0\}?"?|\$\{0%/\*\}`)
	// ownName is what finds the name of a script, in the languages of hooks.
	ownName = regexp.MustCompile(`\$\{?0\b|BASH_SOURCE|PROGRAM_NAME|argv\[ ?0 ?\]|process\.argv|__file__|__FILE__|__filename`)
)

// howToRun tells how a hook is run that will have another name, or why it
// can't be: many are one program that goes by the name it is called by.
func howToRun(path string) (runHow, error) {
	refuse := func(why string) (runHow, error) {
		return 0, fmt.Errorf("%s: %w: %s; call \"code2lora update . --background\" from it yourself", path, ErrForeignHook, why)
	}
	info, err := os.Stat(path)
	if err != nil {
		if _, lerr := os.Lstat(path); lerr == nil {
			return refuse("it is a link that leads to nothing")
		}
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return refuse("it is no file")
	}
	link, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(data, []byte("#!")) {
		return refuse("it is no script, so it can't be told whether it goes by the name that it is called by")
	}
	linked := link.Mode()&os.ModeSymlink != 0
	first, _, _ := bytes.Cut(data, []byte("\n"))
	switch {
	case linked && ownName.Match(data):
		return refuse("it is a link to a script that looks at its own name")
	case plainSh.Match(first):
		return runSourced, nil
	case ownName.Match(ownFolder.ReplaceAll(data, nil)):
		return refuse("it looks at its own name, which would be another one")
	}
	return runProgram, nil
}

// maxLog is the size of a log, in bytes, at which it is begun anew.
const maxLog = 1 << 20

// hookScript returns a hook for sh. All but the hook that was there before
// happens in the background, away from the terminal.
func hookScript(how runHow, command []string, log string) string {
	quoted := make([]string, len(command))
	for i, word := range command {
		quoted[i] = quote(word)
	}
	first := `"$0` + before + `" "$@"`
	if how == runSourced {
		first = `( . "$0` + before + `" )`
	}
	if how != runNothing {
		first = fmt.Sprintf("if [ -x \"$0%s\" ]; then\n\t%s\n\tstatus=$?\nfi\n", before, first)
	} else {
		first = ""
	}
	body := fmt.Sprintf(`status=0
%s(
	log=%s
	mkdir -p %s
	(: >>"$log") || log=/dev/null
	if [ -f "$log" ] && [ "$(wc -c <"$log")" -gt %d ]; then : >"$log"; fi
	exec </dev/null >>"$log" 2>&1
	trap '' HUP INT
	nice -n 10 %s
) </dev/null >/dev/null 2>&1 &
exit $status
`, first, quote(log), quote(filepath.Dir(log)), maxLog, strings.Join(quoted, " "))
	return hookMark + digestMark + hexSum([]byte(body)) + "\n" + body
}

// quote makes a word of sh.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
