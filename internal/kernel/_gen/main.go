// Command _gen writes the assembly of package kernel. It is a module of its
// own, so that users of the package don't depend on the generator; generate.sh
// in the package's folder runs it.
package main

import (
	"flag"
	"fmt"
	"os"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	part := flag.String("part", "", "what to generate: gemm, bf16, half, codes, quant or vector")
	encode := flag.String("encode", "", "instead, encode the instructions in `file` that Go's assembler doesn't know")
	flag.Parse()
	if *encode != "" {
		if err := encodeFile(*encode); err != nil {
			fmt.Fprintf(os.Stderr, "_gen: %v\n", err)
			os.Exit(1)
		}
		return
	}
	ConstraintExpr("!noasm")
	switch *part {
	case "gemm":
		gemm()
	case "bf16":
		pairs()
	case "half":
		half()
	case "codes":
		codes()
	case "quant":
		quant()
	case "vector":
		vector()
	default:
		fmt.Fprintf(os.Stderr, "_gen: -part is %q, want gemm, bf16, half, codes, quant or vector\n", *part)
		os.Exit(2)
	}
	Generate()
}
