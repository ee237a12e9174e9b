package kernel

import "testing"

func TestPortable(t *testing.T) {
	other := ops{name: "avx2"}
	for _, tt := range []struct {
		ops        *ops
		name, arch string
		avx2       bool
		want       string
	}{
		{&other, "", "amd64", true, ""},
		{&other, "generic", "amd64", true, ""},
		{&generic, "generic", "amd64", true, "CODE2LORA_KERNEL=generic"},
		{&generic, "", "amd64", false, "this processor has no AVX2 and FMA"},
		{&generic, "avx2", "amd64", false, "this processor has no AVX2 and FMA"},
		{&generic, "", "amd64", true, "the program was built without assembly"},
		{&generic, "", "arm64", false, "there is no assembly for arm64"},
	} {
		if got := portable(tt.ops, tt.name, tt.arch, tt.avx2); got != tt.want {
			t.Errorf("%s, CODE2LORA_KERNEL=%q, %s, AVX2 %t: got %q, want %q", tt.ops.name, tt.name, tt.arch, tt.avx2, got, tt.want)
		}
	}
	if got := Portable() != ""; got != (Implementation() == "generic") {
		t.Errorf("Portable() is %q with implementation %s", Portable(), Implementation())
	}
}
