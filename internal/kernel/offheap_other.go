//go:build !unix

package kernel

func reserve(n int) (data []byte, free func()) { return alignedBytes(n), func() {} }
