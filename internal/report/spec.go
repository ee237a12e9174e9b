package report

import (
	"slices"
	"strings"
)

// spec is a method's name, NAME[:KEY=VALUE,...][+NAME[:KEY=VALUE,...]], as far
// as a report needs to understand it.
type spec struct {
	text  string
	parts []part
}

type part struct {
	text, name string
	settings   map[string]string
}

// The methods that have an adapter and no context. All others are the opposite.
const (
	baseName       = "base"
	sharedName     = "adapter"
	ownName        = "own-adapter"
	checkpointName = "checkpoint"
	evoName        = "evo"                   // a recurrence that follows the commits
	additiveName   = "additive"              // sums that follow the commits
	pastCutName    = "dependencies-past-cut" // reads the answer
)

// The adapters of a checkpoint: the repository's own, and the controls.
var whose = []string{"own", "average", "stranger", "nearest", "shuffled"}

func parseSpec(text string) spec {
	s := spec{text: text}
	for one := range strings.SplitSeq(text, "+") {
		name, settings, _ := strings.Cut(one, ":")
		p := part{text: one, name: name, settings: map[string]string{}}
		for setting := range strings.SplitSeq(settings, ",") {
			if key, value, ok := strings.Cut(setting, "="); ok {
				p.settings[key] = value
			}
		}
		s.parts = append(s.parts, p)
	}
	return s
}

// kind numbers what makes adapters of repositories, in the order of tables: a
// checkpoint that reads the anchor, one that reads the commit before the task, and
// what follows the commits; -1 for anything else.
func (p part) kind() int {
	switch {
	case p.name == checkpointName && p.settings["at"] == "anchor":
		return 0
	case p.name == checkpointName:
		return 1
	}
	if i := slices.Index([]string{evoName, additiveName}, p.name); i >= 0 {
		return 2 + i
	}
	return -1
}

// generated is the kind of a repository's own generated adapter with nothing
// beside it, -1 of anything else.
func (s spec) generated() int {
	if !s.adapter() {
		return -1
	}
	return s.parts[0].kind()
}

// stale reports whether a method is the adapter of the anchor, which every later
// commit gets.
func (s spec) stale() bool { return s.generated() == 0 }

// which says whose adapter of a checkpoint or of single repositories a part is, ""
// if it is of none.
func (p part) which() string {
	if p.kind() < 0 && p.name != ownName {
		return ""
	}
	if w := p.settings["which"]; w != "" {
		return w
	}
	return whose[0]
}

// without returns what a part has in common with those that differ in a setting.
func (p part) without(key string) string {
	var all []string
	for k, v := range p.settings {
		if k != key {
			all = append(all, k+"="+v)
		}
	}
	slices.Sort(all)
	return p.name + ":" + strings.Join(all, ",")
}

func (p part) adapts() bool {
	return p.name == sharedName || p.name == ownName || p.kind() >= 0
}

func (s spec) base() bool     { return len(s.parts) == 1 && s.parts[0].name == baseName }
func (s spec) combined() bool { return len(s.parts) > 1 }

// control reports whether an adapter is not meant for the repository.
func (s spec) control() bool {
	return slices.ContainsFunc(s.parts, func(p part) bool { w := p.which(); return w != "" && w != whose[0] })
}

// adapter reports whether the method is an adapter and nothing else.
func (s spec) adapter() bool { return !s.combined() && s.parts[0].adapts() && !s.control() }

// context reports whether the method is a context and nothing else.
func (s spec) context() bool { return !s.combined() && !s.base() && !s.parts[0].adapts() }

// readsAnswer reports whether a method looks where the answer is.
func (s spec) readsAnswer() bool {
	return slices.ContainsFunc(s.parts, func(p part) bool { return p.name == pastCutName })
}

// treeLevel is the level of what has read the tests of a repository.
const treeLevel = "tree"

// readsTests reports whether a method has been fitted to tests of the repository,
// whatever it sees when it is asked.
func (s spec) readsTests() bool {
	return slices.ContainsFunc(s.parts, func(p part) bool { return p.name == ownName })
}

// levelless reports whether a method reads nothing of a repository, so that its
// answers are the same at each level of disclosure.
func (s spec) levelless() bool {
	return !slices.ContainsFunc(s.parts, func(p part) bool {
		return p.name != baseName && p.name != sharedName && p.which() != "average"
	})
}

// order is where a method stands in tables: base, contexts, adapters, the
// controls behind their own, combinations.
func (s spec) order() int {
	switch {
	case s.base():
		return 0
	case s.combined():
		return 40
	case s.context():
		return 1
	}
	if s.parts[0].name == ownName {
		return 3
	}
	if w := slices.Index(whose, s.parts[0].which()); w >= 0 {
		return 4 + len(whose)*s.parts[0].kind() + w
	}
	return 2
}
