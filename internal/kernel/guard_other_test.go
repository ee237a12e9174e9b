//go:build !unix

package kernel

func pagePlaces() []place { return nil }
