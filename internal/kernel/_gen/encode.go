package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// evex describes an instruction on three 512-bit registers that Go's assembler
// does not know: EVEX.512.<prefix>.0F38.W0 <opcode> /r.
type evex struct {
	prefix byte // the field pp: 0xf3 is 2, 0xf2 is 3
	opcode byte
	adds   bool // the last operand is read too
}

// unknown are the instructions of AVX512_BF16 that the generator uses; see
// the Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
var unknown = map[string]evex{
	"VCVTNE2PS2BF16": {3, 0x72, false},
	"VDPBF16PS":      {2, 0x52, true},
}

// raw adds an unknown instruction, with operands in Go's order: the
// destination comes last. It stands in the generated file by its name until
// encodeFile, since registers have no numbers before.
func raw(name string, src2, src1, dst reg.VecVirtual) {
	in := []operand.Op{src2, src1}
	if unknown[name].adds {
		in = append(in, dst)
	}
	build.Instruction(&ir.Instruction{
		Opcode:   name,
		Operands: []operand.Op{src2, src1, dst},
		Inputs:   in,
		Outputs:  []operand.Op{dst},
	})
}

// encode returns the six bytes of e on registers Zn, in Go's order.
func (e evex) encode(src2, src1, dst int) [6]byte {
	// not moves the inverse of bit from of a register's number to bit to.
	not := func(r, from, to int) byte { return byte(^r>>from&1) << to }
	return [6]byte{
		0x62,
		not(dst, 3, 7) | not(src2, 4, 6) | not(src2, 3, 5) | not(dst, 4, 4) | 2, // R X B R', map 0F38
		byte(^src1&15)<<3 | 1<<2 | e.prefix,                                     // W0 vvvv, a fixed bit
		2<<5 | not(src1, 4, 3),                                                  // 512 bits, V', no mask
		e.opcode,
		3<<6 | byte(dst&7)<<3 | byte(src2&7), // registers only
	}
}

// directives returns the lines of assembly for e.
func (e evex) directives(src2, src1, dst int) string {
	b := e.encode(src2, src1, dst)
	return fmt.Sprintf("LONG $0x%02x%02x%02x%02x; WORD $0x%02x%02x", b[3], b[2], b[1], b[0], b[5], b[4])
}

var instruction = regexp.MustCompile(`(?m)^\t([A-Z0-9]+) +Z(\d+), Z(\d+), Z(\d+)$`)

// encodeText replaces each unknown instruction in assembly by its bytes, and
// keeps it as a comment.
func encodeText(text []byte) []byte {
	return instruction.ReplaceAllFunc(text, func(line []byte) []byte {
		m := instruction.FindSubmatch(line)
		e, ok := unknown[string(m[1])]
		if !ok {
			return line
		}
		var r [3]int
		for i := range r {
			r[i], _ = strconv.Atoi(string(m[2+i])) // digits, so no error
		}
		return fmt.Appendf(nil, "\t%s // %s Z%d, Z%d, Z%d", e.directives(r[0], r[1], r[2]), m[1], r[0], r[1], r[2])
	})
}

func encodeFile(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return os.WriteFile(name, encodeText(text), 0o644)
}
