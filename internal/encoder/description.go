package encoder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// description encodes what a repository says about itself: one text, of which
// it takes the mean of the hidden states.
type description struct {
	opt       Options
	model     *model.Model
	tokenizer *tokenizer.Tokenizer
}

// ID implements [Encoder].
func (d *description) ID() string { return d.opt.ID() }

// Encode implements [Encoder]. The representation has one vector,
// [embedding.Description].
func (d *description) Encode(ctx context.Context, src Source, report func(Progress)) (*embedding.Representation, error) {
	text, files, err := Describe(ctx, src)
	if err != nil {
		return nil, err
	}
	ids := d.tokenizer.Encode(text)
	ids = ids[:min(len(ids), d.opt.Chunk)]
	if len(ids) == 0 {
		return nil, fmt.Errorf("%w: the base's vocabulary lacks the bytes of the description", ErrNothing)
	}
	states, err := d.model.Hidden(ctx, [][]int32{ids}, d.opt.Layer)
	if err != nil {
		return nil, err
	}
	D := d.model.HiddenSize
	v := make([]float32, D)
	for j := range v {
		var sum float64
		for t := range ids {
			sum += float64(states[0][t*D+j])
		}
		v[j] = float32(sum / float64(len(ids)))
	}
	if report != nil {
		report(Progress{Files: files, TotalFiles: files, Tokens: len(ids), EstimatedTokens: len(ids)})
	}
	digest := sha256.Sum256([]byte(text))
	return &embedding.Representation{Encoder: d.ID(), Input: hex.EncodeToString(digest[:]), Files: files, Tokens: len(ids),
		Tensors: map[string]embedding.Tensor{embedding.Description: {Shape: []int{D}, Data: v}}}, nil
}

const (
	maxReadme   = 2000 // bytes of the README that are read: its first paragraphs
	maxPackages = 12   // names listed
)

// readmeExtensions are those of the files that a description may be read from.
var readmeExtensions = []string{".md", ".rst", ".txt"}

// Describe writes a text about a repository: its name without the owner (where
// src has a method Name), its top-level packages and modules, and the first
// paragraphs of its README. It returns the text and the number of files read, 0
// or 1. A source with neither packages nor a README has [ErrNothing] to say.
func Describe(ctx context.Context, src Source) (text string, files int, err error) {
	blobs := src.Blobs()
	packages := topLevel(blobs)
	var b strings.Builder
	if named, ok := src.(interface{ Name() string }); ok {
		fmt.Fprintf(&b, "Repository: %s\n", path.Base(named.Name()))
	}
	if len(packages) > 0 {
		fmt.Fprintf(&b, "Packages: %s\n", strings.Join(packages, ", "))
	}
	if readme, ok := findReadme(blobs); ok {
		err := src.Each(ctx, []Blob{readme}, func(_ Blob, content []byte) error {
			files++
			b.WriteString("\n" + paragraphs(string(content)))
			return nil
		})
		if err != nil {
			return "", 0, err
		}
	}
	if len(packages) == 0 && files == 0 {
		return "", 0, fmt.Errorf("%w: neither a README (%s) nor packages", ErrNothing, strings.Join(readmeExtensions, ", "))
	}
	return b.String(), files, nil
}

// IsReadme reports whether a description may be read from a file: a README at the
// root.
func IsReadme(name string) bool {
	return slices.ContainsFunc(readmeExtensions, func(ext string) bool { return strings.EqualFold(name, "readme"+ext) })
}

// findReadme returns the README at the root, of several the first by extension.
func findReadme(blobs []Blob) (Blob, bool) {
	for _, ext := range readmeExtensions {
		for _, b := range blobs {
			if strings.EqualFold(b.Path, "readme"+ext) {
				return b, true
			}
		}
	}
	return Blob{}, false
}

// topLevel returns the names that the repository's code is imported by: modules
// and folders of modules at its root or in src/, without those that hold tests,
// examples or documentation.
func topLevel(blobs []Blob) []string {
	var names []string
	for _, b := range blobs {
		p := strings.TrimPrefix(b.Path, "src/")
		if path.Ext(p) != ".py" {
			continue
		}
		name, _, inFolder := strings.Cut(p, "/")
		if !inFolder {
			name = strings.TrimSuffix(name, ".py")
		}
		if name != "" && name[0] != '.' && !asides[strings.ToLower(name)] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names[:min(len(names), maxPackages)]
}

var asides = map[string]bool{
	"setup": true, "conftest": true, "__init__": true, "__main__": true, "conf": true, "noxfile": true, "tasks": true,
	"test": true, "tests": true, "testing": true, "doc": true, "docs": true, "example": true, "examples": true,
	"script": true, "scripts": true, "tools": true, "benchmark": true, "benchmarks": true, "bench": true, "ci": true,
}

// markup is what says nothing about a repository: HTML tags and comments, images
// and badges, the targets of links, directives, rules and lines of underscores.
var markup = regexp.MustCompile(`(?s)<!--.*?-->|<[^>]{0,400}>` +
	`|!\[[^\]]*\]\([^)]*\)|!\[[^\]]*\]\[[^\]]*\]` +
	`|(?m-s:^\s*\.\. .*$|^\s+:[a-z-]+:.*$|^\[[^\]]+\]:.*$|^[=\-~^*#_ ]{3,}$)|\|[A-Za-z0-9 _-]+\|`)

var (
	links      = regexp.MustCompile(`\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])`)
	blankLines = regexp.MustCompile(`\s*\n\s*\n\s*`)
)

// paragraphs returns the beginning of a README, without markup, in whole
// paragraphs as far as that is possible.
func paragraphs(readme string) string {
	readme = readme[:min(len(readme), 1<<16)]
	readme = strings.ToValidUTF8(strings.ReplaceAll(readme, "\r\n", "\n"), "")
	readme = markup.ReplaceAllString(readme, "")
	readme = links.ReplaceAllString(readme, "$1")
	readme = strings.TrimSpace(blankLines.ReplaceAllString(readme, "\n\n"))
	if len(readme) <= maxReadme {
		return readme
	}
	readme = strings.ToValidUTF8(readme[:maxReadme], "")
	if at := strings.LastIndex(readme, "\n\n"); at > 0 {
		readme = readme[:at]
	}
	return readme
}
