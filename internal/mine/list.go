package mine

import (
	"fmt"
	"os"
	"strings"

	"github.com/code2lora/code2lora/internal/dataset"
)

// ReadList reads a list of repositories: a line for each, with fields separated
// by tabs. The first is owner/name. Of the others, one that is "train",
// "validation" or "test" has to be the split that the name gives; the first one
// that is a commit id is the commit to mine; the rest is for other readers.
// Lines that start with # are comments.
func ReadList(path string) ([]Source, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []Source
	seen := map[string]int{}
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimRight(line, "\r")
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		s, err := parseListed(line)
		if err != nil {
			return nil, fmt.Errorf("%s line %d: %w", path, i+1, err)
		}
		if at := seen[strings.ToLower(s.Name)]; at > 0 {
			return nil, fmt.Errorf("%s line %d: %s is listed in line %d already", path, i+1, s.Name, at)
		}
		seen[strings.ToLower(s.Name)] = i + 1
		list = append(list, s)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s lists no repositories", path)
	}
	return list, nil
}

func parseListed(line string) (Source, error) {
	fields := strings.Split(line, "\t")
	s := Source{Name: strings.TrimSpace(fields[0])}
	owner, name, ok := strings.Cut(s.Name, "/")
	if !ok || owner == "" || name == "" || strings.ContainsAny(s.Name, " \\") || strings.HasPrefix(owner, ".") || strings.HasPrefix(name, ".") || strings.Contains(name, "/") {
		return s, fmt.Errorf("repository is %q, want owner/name", s.Name)
	}
	for _, f := range fields[1:] {
		f = strings.TrimSpace(f)
		switch split := dataset.Split(f); split {
		case dataset.Train, dataset.Validation, dataset.Test:
			if want := dataset.SplitOf(s.Name); split != want {
				return s, fmt.Errorf("%s is listed as %q, but the split rule makes it %q", s.Name, split, want)
			}
		default:
			if s.Commit == "" && isCommit(f) {
				s.Commit = f
			}
		}
	}
	return s, nil
}

// isCommit tells whether a field is a full commit id.
func isCommit(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}
