package main

import "testing"

// TestEncode compares with what the GNU assembler makes of the same
// instructions. Every bit of every register number is set in some of them, and
// clear in others.
func TestEncode(t *testing.T) {
	for _, c := range []struct {
		name            string
		src2, src1, dst int
		want            [6]byte
	}{
		{"VDPBF16PS", 3, 2, 1, [6]byte{0x62, 0xf2, 0x6e, 0x48, 0x52, 0xcb}},
		{"VDPBF16PS", 0, 0, 0, [6]byte{0x62, 0xf2, 0x7e, 0x48, 0x52, 0xc0}},
		{"VDPBF16PS", 31, 31, 31, [6]byte{0x62, 0x02, 0x06, 0x40, 0x52, 0xff}},
		{"VDPBF16PS", 8, 16, 24, [6]byte{0x62, 0x42, 0x7e, 0x40, 0x52, 0xc0}},
		{"VDPBF16PS", 24, 8, 16, [6]byte{0x62, 0x82, 0x3e, 0x48, 0x52, 0xc0}},
		{"VDPBF16PS", 16, 24, 8, [6]byte{0x62, 0x32, 0x3e, 0x40, 0x52, 0xc0}},
		{"VDPBF16PS", 7, 15, 23, [6]byte{0x62, 0xe2, 0x06, 0x48, 0x52, 0xff}},
		{"VCVTNE2PS2BF16", 0, 1, 2, [6]byte{0x62, 0xf2, 0x77, 0x48, 0x72, 0xd0}},
		{"VCVTNE2PS2BF16", 29, 14, 19, [6]byte{0x62, 0x82, 0x0f, 0x48, 0x72, 0xdd}},
		{"VCVTNE2PS2BF16", 10, 21, 5, [6]byte{0x62, 0xd2, 0x57, 0x40, 0x72, 0xea}},
	} {
		if got := unknown[c.name].encode(c.src2, c.src1, c.dst); got != c.want {
			t.Errorf("%s Z%d, Z%d, Z%d: got % x, want % x", c.name, c.src2, c.src1, c.dst, got, c.want)
		}
	}
}

func TestEncodeText(t *testing.T) {
	in := "\tVADDPS    Z3, Z2, Z1\n\tVDPBF16PS   Z3, Z2, Z1\n\tRET\n"
	want := "\tVADDPS    Z3, Z2, Z1\n\tLONG $0x486ef262; WORD $0xcb52 // VDPBF16PS Z3, Z2, Z1\n\tRET\n"
	if got := string(encodeText([]byte(in))); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
