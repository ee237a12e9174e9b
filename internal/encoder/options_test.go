package encoder_test

import (
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/encoder"
)

// TestID checks that every option is in the id, and comes back.
func TestID(t *testing.T) {
	seen := map[string]string{}
	check := func(name string, o encoder.Options) {
		t.Helper()
		id := o.ID()
		if other, ok := seen[id]; ok {
			t.Errorf("%s: same id as %s: %q", name, other, id)
		}
		seen[id] = name
		got, err := encoder.ParseID(id)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got != o {
			t.Errorf("%s: got %+v back, want %+v", name, got, o)
		}
	}
	for name, change := range map[string]func(*encoder.Options){
		"none":       func(*encoder.Options) {},
		"base":       func(o *encoder.Options) { o.Base = "c0ffee" },
		"no base":    func(o *encoder.Options) { o.Base = "" },
		"layer":      func(o *encoder.Options) { o.Layer++ },
		"chunk":      func(o *encoder.Options) { o.Chunk++ },
		"overlap":    func(o *encoder.Options) { o.Overlap++ },
		"min":        func(o *encoder.Options) { o.Min++ },
		"max chunks": func(o *encoder.Options) { o.MaxChunks++ },
		"max files":  func(o *encoder.Options) { o.MaxFiles++ },
		"lexicon":    func(o *encoder.Options) { o.Lexicon = true },
		"tests":      func(o *encoder.Options) { o.Tests = true },
		"second":     func(o *encoder.Options) { o.Second = true },
		"cross":      func(o *encoder.Options) { o.Cross = 8 },
	} {
		o := hiddenOptions()
		change(&o)
		check(name, o)
	}
	for name, change := range map[string]func(*encoder.Options){
		"lexical":           func(*encoder.Options) {},
		"lexical dim":       func(o *encoder.Options) { o.Dim++ },
		"lexical max files": func(o *encoder.Options) { o.MaxFiles++ },
		"lexical second":    func(o *encoder.Options) { o.Second = true },
		"lexical cross":     func(o *encoder.Options) { o.Cross = 1 },
		"lexical tests":     func(o *encoder.Options) { o.Tests = true },
	} {
		o := encoder.DefaultOptions(encoder.KindLexical)
		change(&o)
		check(name, o)
	}
	for name, change := range map[string]func(*encoder.Options){
		"description":       func(*encoder.Options) {},
		"description base":  func(o *encoder.Options) { o.Base = "b179" },
		"description layer": func(o *encoder.Options) { o.Layer++ },
		"description chunk": func(o *encoder.Options) { o.Chunk++ },
	} {
		o := encoder.DefaultOptions(encoder.KindDescription)
		change(&o)
		check(name, o)
	}
	if o := encoder.DefaultOptions(""); o.Kind != encoder.KindHidden || o.Validate() != nil {
		t.Errorf("default options %+v: want valid ones of the hidden kind", o)
	}
}

func TestParseIDErrors(t *testing.T) {
	o := hiddenOptions()
	good := o.ID()
	for name, tt := range map[string]struct{ id, want string }{
		"empty":          {"", "empty"},
		"blank":          {"  ", "empty"},
		"no version":     {"hidden layer=1", "version 1"},
		"other version":  {strings.Replace(good, "/1", "/2", 1), "version 1"},
		"other kind":     {strings.Replace(good, "hidden", "bert", 1), `kind "bert"`},
		"unknown option": {good + " depth=3", "option depth: unknown"},
		"no value":       {good + " layer", "option layer"},
		"no number":      {strings.Replace(good, "layer=2", "layer=x", 1), "option layer"},
		"no truth":       {strings.Replace(good, "tests=false", "tests=perhaps", 1), "option tests"},
		"out of range":   {strings.Replace(good, "chunk=32", "chunk=0", 1), "chunk 0"},
		"missing":        {"hidden/1 base=b179 layer=2", "chunk 0"},
		"no second":      {good + " second_moments=some", "option second_moments"},
		"negative cross": {good + " cross_moments=-1", "cross_moments -1: want 0"},
		"no moments":     {"description/1 base=b179 layer=8 chunk=256 cross_moments=8", "no such option"},
		"lexicon":        {"lexical/1 dim=64 max_files=0 tests=false lexicon=true", "only the encoder hidden has one"},
	} {
		if _, err := encoder.ParseID(tt.id); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

// FuzzParseID checks that an id that is accepted names valid options, whose own
// id is a fixed point.
func FuzzParseID(f *testing.F) {
	o, l := hiddenOptions(), encoder.DefaultOptions(encoder.KindLexical)
	f.Add(o.ID())
	f.Add(l.ID())
	f.Add("lexical/1 dim=16 dim=+17 base==")
	f.Fuzz(func(t *testing.T, id string) {
		o, err := encoder.ParseID(id)
		if err != nil {
			return
		}
		if err := o.Validate(); err != nil {
			t.Errorf("%q: %v", id, err)
		}
		again, err := encoder.ParseID(o.ID())
		if err != nil || again.ID() != o.ID() {
			t.Errorf("%q became %q and then %q (%v)", id, o.ID(), again.ID(), err)
		}
	})
}
