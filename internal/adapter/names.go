package adapter

import (
	"fmt"
	"strconv"
	"strings"
)

// ggufModules has the names of the projections in GGUF files.
var ggufModules = [NumModules]string{"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}

// hfName returns the path of a linear layer in a Hugging Face checkpoint, such
// as "model.layers.3.self_attn.q_proj".
func hfName(layer int, m Module) string {
	block := "self_attn"
	if m >= GateProj {
		block = "mlp"
	}
	return fmt.Sprintf("model.layers.%d.%s.%s", layer, block, m)
}

// ggufName returns the name of a linear layer's weight in a GGUF file, such as
// "blk.3.attn_q.weight".
func ggufName(layer int, m Module) string {
	return fmt.Sprintf("blk.%d.%s.weight", layer, ggufModules[m])
}

// site is a linear layer.
type site struct {
	layer  int
	module Module
}

// sites maps the name of every linear layer of a model to its site.
func sites(d Dims, name func(layer int, m Module) string) map[string]site {
	all := make(map[string]site, d.NumHiddenLayers*int(NumModules))
	for l := range d.NumHiddenLayers {
		for m := range NumModules {
			all[name(l, m)] = site{l, m}
		}
	}
	return all
}

// findFactor returns what a tensor is, by its name: the factor A or B of one of
// sites. The prefix may be missing.
func findFactor(sites map[string]site, name, prefix, suffixA, suffixB string) (at site, isA bool, err error) {
	place, isA, ok := cutFactor(strings.TrimPrefix(name, prefix), suffixA, suffixB)
	at, known := sites[place]
	if !ok || !known {
		layers := len(sites) / int(NumModules)
		return site{}, false, fmt.Errorf("unknown tensor %q: want factors of the seven projections of %d layers", name, layers)
	}
	return at, isA, nil
}

// parseLayer reads a layer's number, as [strconv.Itoa] writes it.
func parseLayer(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && strconv.Itoa(n) == s
}

// factorA and factorB are the suffixes of a pair in PEFT and native files.
const (
	factorA = ".lora_A"
	factorB = ".lora_B"
)

// cutFactor takes the first of the two suffixes off a name that fits.
func cutFactor(name, suffixA, suffixB string) (place string, isA, ok bool) {
	if place, ok = strings.CutSuffix(name, suffixA); ok {
		return place, true, true
	}
	place, ok = strings.CutSuffix(name, suffixB)
	return place, false, ok
}
