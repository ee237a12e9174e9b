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
	part := flag.String("part", "", "what to generate: gemm or vector")
	flag.Parse()
	ConstraintExpr("!noasm")
	switch *part {
	case "gemm":
		gemm()
	case "vector":
		vector()
	default:
		fmt.Fprintf(os.Stderr, "_gen: -part is %q, want gemm or vector\n", *part)
		os.Exit(2)
	}
	Generate()
}
