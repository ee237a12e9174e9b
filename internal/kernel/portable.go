package kernel

import (
	"os"
	"runtime"

	"golang.org/x/sys/cpu"
)

// Portable returns why the portable kernels are in use, which are many times
// slower than those in assembly, or "" if they are not.
func Portable() string {
	return portable(active, os.Getenv("CODE2LORA_KERNEL"), runtime.GOARCH, cpu.X86.HasAVX2 && cpu.X86.HasFMA)
}

// portable is Portable for an implementation, the value of CODE2LORA_KERNEL,
// an architecture, and whether the CPU can run kernels for AVX2.
func portable(o *ops, name, arch string, avx2 bool) string {
	switch {
	case o != &generic:
		return ""
	case name == generic.name:
		return "CODE2LORA_KERNEL=" + name
	case arch != "amd64":
		return "there is no assembly for " + arch
	case !avx2:
		return "this processor has no AVX2 and FMA"
	}
	return "the program was built without assembly"
}
