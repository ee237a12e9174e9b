package mine

import (
	"github.com/code2lora/code2lora/internal/dataset"
)

// The reasons for which tasks, files, commits and repositories are left out,
// beside those of packages dataset and gitrepo. docs/benchmark.md lists them.
const (
	reasonCommonName   = dataset.Reason("callee has a common name")
	reasonNotOfRepo    = dataset.Reason("callee isn't defined in another file of production code")
	reasonTrivialLine  = dataset.Reason("line is too short, too long or without a name")
	reasonMoved        = dataset.Reason("moved from elsewhere in the commit")
	reasonOverCommit   = dataset.Reason("over the commit's cap")
	reasonOverCFile    = dataset.Reason("over the file's cap in the commit")
	reasonNear         = dataset.Reason("nearly equal to a task of another split")
	reasonVendoredCopy = dataset.Reason("file of another repository")
	reasonTwice        = dataset.Reason("same place in another track")
	reasonDate         = dataset.Reason("commit outside of the dates")
	reasonConversion   = dataset.Reason("file is not UTF-8, but declares another encoding")
	reasonMissing      = dataset.Reason("object is missing from the repository")
	reasonUnanswerable = dataset.Reason("target doesn't end where a strict answer does")
	reasonEmptyTarget  = dataset.Reason("target is empty")
	reasonComma        = dataset.Reason("target begins with a comma")
	reasonBracket      = dataset.Reason("target is a bracket")
	reasonMalformed    = dataset.Reason("prefix ends in a bracket and a comma")
	reasonShort        = dataset.Reason("target is trivial")
	reasonOverClass    = dataset.Reason("over the class's share of the repository's cap")
)

// counter counts by reason.
type counter map[string]int

func (c counter) add(r dataset.Reason, n int) {
	if n != 0 {
		c[string(r)] += n
	}
}

func (c counter) addAll(o counter) {
	for r, n := range o {
		c[r] += n
	}
}
