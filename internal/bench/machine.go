package bench

import (
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/kernel"
)

// Machine is what figures depend on.
type Machine struct {
	Processor    string   `json:"processor"`
	Instructions []string `json:"instructions"` // those of [instructions] that it has
	Threads      int      `json:"threads"`
	Kernel       string   `json:"kernel"`     // implementation in use
	Precisions   []string `json:"precisions"` // that it can do
	OS           string   `json:"os"`
	Arch         string   `json:"arch"`
}

// instructions are the sets that matter to products, by the names that Linux
// gives them.
var instructions = []string{"avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni",
	"avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8", "asimd", "asimddp", "bf16", "i8mm", "sve", "sve2"}

// ThisMachine describes the machine. What its system doesn't tell is left out.
func ThisMachine() Machine {
	m := Machine{Threads: kernel.Threads(), Kernel: kernel.Implementation(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		info = nil // not Linux
	}
	m.Processor, m.Instructions = parseCPUInfo(string(info))
	for _, p := range Precisions() {
		m.Precisions = append(m.Precisions, p.String())
	}
	return m
}

// parseCPUInfo reads the first processor of a /proc/cpuinfo. Virtual machines
// often hide the model's name, so family and model are added to it.
func parseCPUInfo(text string) (processor string, sets []string) {
	first, _, _ := strings.Cut(text, "\n\n")
	fields := map[string]string{}
	for line := range strings.Lines(first) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	for _, name := range []string{"model name", "Model", "CPU part"} {
		if processor == "" {
			processor = fields[name]
		}
	}
	if processor == "" {
		processor = "unknown"
	}
	if f, m := fields["cpu family"], fields["model"]; f != "" && m != "" {
		processor += " (family " + f + ", model " + m + ")"
	}
	has := strings.Fields(fields["flags"] + " " + fields["Features"]) // x86, arm64
	sets = []string{}
	for _, s := range instructions {
		if slices.Contains(has, s) {
			sets = append(sets, s)
		}
	}
	return processor, sets
}
