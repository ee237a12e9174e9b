package method

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Spec is a method as people write it:
//
//	NAME[:KEY=VALUE,...][+NAME[:KEY=VALUE,...]]
//
// as in "base", "bm25:k=3,unit=function", "checkpoint:file=x.safetensors,which=own",
// or "adapter:dir=out/lora+bm25:k=3". What stands after the plus gives the
// context, what stands before it the adapter.
type Spec struct {
	Parts []Part
}

// Part is one of the methods that a Spec combines.
type Part struct {
	Name     string
	Settings map[string]string
}

// ParseSpec reads a spec. It knows nothing of names and settings.
func ParseSpec(text string) (Spec, error) {
	var s Spec
	for part := range strings.SplitSeq(text, "+") {
		name, settings, more := strings.Cut(strings.TrimSpace(part), ":")
		if name == "" {
			return Spec{}, fmt.Errorf("method %q: a name is missing", text)
		}
		p := Part{Name: name, Settings: map[string]string{}}
		if more {
			for setting := range strings.SplitSeq(settings, ",") {
				key, value, ok := strings.Cut(setting, "=")
				if key = strings.TrimSpace(key); !ok || key == "" {
					return Spec{}, fmt.Errorf("method %q: setting %q: want KEY=VALUE", text, setting)
				}
				if _, twice := p.Settings[key]; twice {
					return Spec{}, fmt.Errorf("method %q: %s is set twice", text, key)
				}
				p.Settings[key] = strings.TrimSpace(value)
			}
		}
		s.Parts = append(s.Parts, p)
	}
	if len(s.Parts) > 2 {
		return Spec{}, fmt.Errorf("method %q: at most two methods can be combined, one for the adapter and one for the context", text)
	}
	return s, nil
}

// String writes the spec with its settings in order.
func (s Spec) String() string {
	var parts []string
	for _, p := range s.Parts {
		parts = append(parts, p.String())
	}
	return strings.Join(parts, "+")
}

// String writes the part with its settings in order.
func (p Part) String() string {
	var settings []string
	for k, v := range p.Settings {
		settings = append(settings, k+"="+v)
	}
	slices.Sort(settings)
	if len(settings) == 0 {
		return p.Name
	}
	return p.Name + ":" + strings.Join(settings, ",")
}

// Expand returns the specs that a text with alternatives stands for:
// "bm25:k={1,3}" is "bm25:k=1" and "bm25:k=3", and with more braces all
// combinations are meant.
func Expand(text string) ([]string, error) {
	open := strings.IndexByte(text, '{')
	if open < 0 {
		if strings.IndexByte(text, '}') >= 0 {
			return nil, fmt.Errorf("method %q: a brace is closed that was not opened", text)
		}
		return []string{text}, nil
	}
	end := strings.IndexByte(text[open:], '}')
	if end < 0 {
		return nil, fmt.Errorf("method %q: a brace is not closed", text)
	}
	var all []string
	for alternative := range strings.SplitSeq(text[open+1:open+end], ",") {
		rest, err := Expand(text[:open] + strings.TrimSpace(alternative) + text[open+end+1:])
		if err != nil {
			return nil, err
		}
		all = append(all, rest...)
	}
	return all, nil
}

// settings reads the settings of a part, and knows in the end which of them
// nobody asked for.
type settings struct {
	part Part
	read map[string]bool
	err  error
}

func (p Part) reader() *settings { return &settings{part: p, read: map[string]bool{}} }

func (s *settings) text(key, otherwise string) string {
	s.read[key] = true
	if v, ok := s.part.Settings[key]; ok {
		return v
	}
	return otherwise
}

func (s *settings) number(key string, otherwise, least int) int {
	text := s.text(key, strconv.Itoa(otherwise))
	n, err := strconv.Atoi(text)
	if (err != nil || n < least) && s.err == nil {
		s.err = fmt.Errorf("method %s: %s=%s: want a number of at least %d", s.part.Name, key, text, least)
	}
	return n
}

func (s *settings) oneOf(key, otherwise string, choices ...string) string {
	v := s.text(key, otherwise)
	if !slices.Contains(choices, v) && s.err == nil {
		s.err = fmt.Errorf("method %s: %s=%s: want one of %s", s.part.Name, key, v, strings.Join(choices, ", "))
	}
	return v
}

// yes is a setting that is "yes" or "no".
func (s *settings) yes(key string, otherwise bool) bool {
	text := "no"
	if otherwise {
		text = "yes"
	}
	return s.oneOf(key, text, "yes", "no") == "yes"
}

// required is text that must be there.
func (s *settings) required(key, what string) string {
	v := s.text(key, "")
	if v == "" && s.err == nil {
		s.err = fmt.Errorf("method %s: %s is missing: %s", s.part.Name, key, what)
	}
	return v
}

// SettingError is an error in the settings of a spec.
type SettingError struct{ error }

func (s *settings) done() error {
	if s.err != nil {
		return SettingError{s.err}
	}
	for k := range s.part.Settings {
		if !s.read[k] {
			known := make([]string, 0, len(s.read))
			for r := range s.read {
				known = append(known, r)
			}
			slices.Sort(known)
			return SettingError{fmt.Errorf("method %s has no setting %q: it has %s", s.part.Name, k, strings.Join(known, ", "))}
		}
	}
	return nil
}
