package kernel

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"testing"
)

// TestMicroBFloat16 runs every micro-kernel on operands of exactly the needed
// size at every place.
func TestMicroBFloat16(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	eachBF16(t, func(t *testing.T) {
		o := active.bf16
		for rows := 1; rows <= o.mr; rows++ {
			for count := 1; count <= o.np(rows); count++ {
				for pi, p := range places() {
					for _, k := range []int{1, 2, 3, 4, 5, 7, 8, 9, 13} {
						testMicroBFloat16(t, r, o, p, tileShape{1 + (k+pi)%3, rows, count}, k, (k+pi)%4 < 2)
					}
				}
			}
		}
	})
}

// testMicroBFloat16 is for k pairs.
func testMicroBFloat16(t *testing.T, r *rand.Rand, o *ops, p place, s tileShape, k int, add bool) {
	t.Helper()
	m, n := s.groups*s.rows, s.panels*panelWidth
	lda, ldc, ps := k+3, n+5, k*panelWidth+16
	x, w := random(r, m*2*k), random(r, 2*k*n)
	a, okA := p.make(t, (m-1)*lda+k)
	b, okB := p.make(t, (s.panels-1)*ps+k*panelWidth)
	c, okC := p.make(t, (m-1)*ldc+n)
	fill(r, c)
	for i := range m {
		for j := range k {
			a[i*lda+j] = pair(x[i*2*k+2*j], x[i*2*k+2*j+1])
		}
	}
	for j := range n {
		for i := range k {
			b[j/panelWidth*ps+i*panelWidth+j%panelWidth] = pair(w[2*i*n+j], w[(2*i+1)*n+j])
		}
	}
	before, start := append([]float32(nil), c...), make([]float32, m*n)
	if add {
		for i := range m {
			copy(start[i*n:][:n], c[i*ldc:])
		}
	}
	o.micro(c, ldc, view{a, lda, 1}, panels{b, panelWidth, ps}, s, k, add)
	what := fmt.Sprintf("%s %+v k=%d add=%v at %s", o.name, s, k, add, p.name)
	got := make([]float32, 0, m*n)
	for i := range m {
		got = append(got, c[i*ldc:][:n]...)
		if i+1 < m {
			same(t, what+", between the rows of C", c[i*ldc+n:(i+1)*ldc], before[i*ldc+n:(i+1)*ldc])
		}
	}
	want, bound := pairProduct64(start, x, 2*k, 1, w, n, 1, m, n, 2*k)
	compare(t, what, got, want, bound)
	if !okA() || !okB() || !okC() {
		t.Fatalf("%s: wrote outside its operands", what)
	}
}

// TestEncodings decodes the instructions that the generator encoded itself,
// and compares them with what it noted beside them.
func TestEncodings(t *testing.T) {
	text, err := os.ReadFile("bf16_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`^\tLONG \$0x([0-9a-f]{8}); WORD \$0x([0-9a-f]{4}) // (.*)$`)
	names := map[[2]byte]string{{2, 0x52}: "VDPBF16PS", {3, 0x72}: "VCVTNE2PS2BF16"} // by prefix and opcode
	count := 0
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if !bytes.Contains(lines.Bytes(), []byte("LONG")) {
			continue
		}
		m := line.FindStringSubmatch(lines.Text())
		if m == nil {
			t.Fatalf("%q is not an encoded instruction with its name", lines.Text())
		}
		var lo, hi uint32
		if _, err := fmt.Sscanf(m[1]+" "+m[2], "%x %x", &lo, &hi); err != nil {
			t.Fatal(err)
		}
		p0, p1, p2 := lo>>8, lo>>16, lo>>24
		modrm := hi >> 8
		bit := func(v uint32, from, to int) uint32 { return ^v >> from & 1 << to } // stored inverted
		dst := modrm>>3&7 | bit(p0, 7, 3) | bit(p0, 4, 4)
		src1 := ^p1>>3&15 | bit(p2, 3, 4)
		src2 := modrm&7 | bit(p0, 5, 3) | bit(p0, 6, 4)
		// EVEX, map 0F38, W0, 512 bits without mask or broadcast, registers.
		if lo&0xff != 0x62 || p0&0xf != 2 || p1&0x84 != 4 || p2&^8 != 0x40 || modrm>>6 != 3 {
			t.Errorf("%q: not of the form EVEX.512.0F38.W0 on registers", lines.Text())
		}
		name := names[[2]byte{byte(p1 & 3), byte(hi)}]
		if got := fmt.Sprintf("%s Z%d, Z%d, Z%d", name, src2, src1, dst); got != m[3] {
			t.Errorf("%q is encoded as %q", m[3], got)
		}
		count++
	}
	// Four unrolled steps and one for the rest, of 12 tile heights and 1 and
	// 2 panels; and two conversions, each with its rest.
	if want := 5*(1+2)*(12*13/2) + 4; count != want {
		t.Errorf("%d encoded instructions, want %d", count, want)
	}
}
