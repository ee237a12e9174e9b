package kernel

import "golang.org/x/sys/unix"

func adviseHuge(data []byte) { _ = unix.Madvise(data, unix.MADV_HUGEPAGE) }
