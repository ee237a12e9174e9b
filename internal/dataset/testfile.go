package dataset

import (
	"path"
	"strings"

	"github.com/code2lora/code2lora/internal/gitrepo"
)

// IsTestFile tells by its path whether a Python file is a test of the
// repository itself. It is the same rule by which test files are left out when a
// repository is read for an encoder: a file that is asked about must never be
// one that was read. That is why there is no second rule by content, as the
// paper's code has one.
func IsTestFile(file string) bool {
	return strings.HasSuffix(file, ".py") && gitrepo.IsTestPath(file) && !gitrepo.IsVendoredPath(file)
}

// cleanPath is the form of a path in tasks: relative, with slashes.
func cleanPath(p string) string {
	return strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(p, `\`, "/")), "/")
}
