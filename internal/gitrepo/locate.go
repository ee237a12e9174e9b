package gitrepo

import (
	"os"
	"path/filepath"
	"strings"
)

// Locate returns where to open a repository known as owner/name: the local
// clone in a folder of mirrors, called owner+name, owner/name or name, with or
// without .git, or else its URL. mirrors may be "".
func Locate(mirrors, name string) string {
	if mirrors != "" {
		owner, short, _ := strings.Cut(name, "/")
		for _, dir := range []string{owner + "+" + short, name, short} {
			for _, suffix := range []string{"", ".git"} {
				for _, inner := range []string{"repo", ""} {
					path := filepath.Join(mirrors, dir+suffix, inner)
					if isClone(path) {
						return path
					}
				}
			}
		}
	}
	return "https://github.com/" + name
}

// isClone reports whether a folder looks like a clone.
func isClone(path string) bool {
	for _, marker := range []string{"HEAD", ".git"} {
		if _, err := os.Stat(filepath.Join(path, marker)); err == nil {
			return true
		}
	}
	return false
}

// IsRemote tells whether what a user calls a repository is on another machine,
// so that [Open] makes a clone of it.
func IsRemote(spec string) bool {
	u, ok := parseRemote(spec)
	return ok && !u.local()
}
