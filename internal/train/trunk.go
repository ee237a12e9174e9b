package train

import (
	"fmt"
	"path/filepath"

	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/memory"
	"github.com/code2lora/code2lora/internal/store"
)

// backend answers the requests of training and evaluation of a head: with the
// layers below its adapters read from disk, if the configuration wants that and
// there are some. The trunk is nil if not.
func (d *Deps) backend(c *Config, head hypernet.Head) (compute.Backend, *compute.Trunk, error) {
	b := d.Backend
	if b == nil {
		b = &compute.Local{Model: d.Model, Base: d.Base.SHA256}
	}
	if have := b.Info().Base; have != d.Base.SHA256 {
		return nil, nil, fmt.Errorf("backend: %w: it has SHA-256 %q, the configuration's base %q", compute.ErrBase, have, d.Base.SHA256)
	}
	if c.Train.TrunkCache == "" {
		return b, nil, nil
	}
	most, err := memory.ParseSize(c.Train.TrunkCache)
	if err != nil {
		return nil, nil, err
	}
	average, err := head.Average()
	if err != nil {
		return nil, nil, err
	}
	layer := average.LowestLayer()
	if layer == 0 {
		d.Report("train.trunk_cache: the head adapts all layers, so there is nothing to keep; head.options.first_layer could change that")
		return b, nil, nil
	}
	dir := d.Trunk
	if dir == "" {
		dir = filepath.Join(store.Root(), "trunk")
	}
	t, err := compute.NewTrunk(b, d.Model, dir, layer, most, d.Report)
	if err != nil {
		return nil, nil, err
	}
	d.Report("what enters layer %d is kept in %s, up to %s", layer, dir, memory.FormatSize(most))
	return t, t, nil
}
