"""A file in memory without a copy and without a file descriptor.

Python's own mmap keeps a descriptor for as long as it lives, and torch's maps in a way that the
kernel counts as used memory, so that it refuses files larger than the machine's. Private pages
that are not reserved have neither trouble: a thousand files may be mapped under the usual limit
of descriptors, and a 14 GB file on an 8 GB machine. A write into such a tensor never reaches
the file.
"""

import ctypes
import errno
import mmap
import os
import sys
import weakref
from functools import cache
from pathlib import Path
from typing import Any

import torch

from weightscape.errors import BadCheckpoint

_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x40 if sys.platform == "darwin" else 0x4000)
_DONTNEED = getattr(mmap, "MADV_DONTNEED", 4)
_POPULATE_READ = 22
_HWPOISON = 133
_PREFAULT_LIMIT = 64 << 20
"""Bytes; more is left to be read when touched, so that a huge tensor is not pulled in at once."""


def map_file(path: Path, size: int) -> torch.Tensor:
    """Map a file as a 1-D uint8 tensor; it is unmapped when the last view of it is gone.

    Raises BadCheckpoint if the file is no longer `size` bytes long: pages beyond its end would
    kill the process when touched.
    """
    if size == 0:
        return torch.empty(0, dtype=torch.uint8)
    if os.name != "posix":
        return torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            now = os.fstat(descriptor).st_size
            if now != size:
                raise BadCheckpoint(
                    f"has changed from {size:,} to {now:,} bytes since it was opened", file=path
                )
            address = _map(descriptor, size)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise BadCheckpoint(f"cannot be mapped: {error.strerror}", file=path) from None
    buffer = (ctypes.c_char * size).from_address(address)
    unmap = weakref.finalize(buffer, _libc().munmap, address, size)
    # tensors may outlive the interpreter's shutdown hooks; the kernel unmaps at exit anyway
    unmap.atexit = False
    return torch.frombuffer(buffer, dtype=torch.uint8)


def prefault(mapped: torch.Tensor, start: int, end: int) -> bool:
    """Read a byte range into memory now; tell False if its pages are gone or cannot be read.

    Touching such a page would kill the process by SIGBUS; this is told of it instead. Ranges
    above 64 MB, and kernels that cannot do this (Linux before 5.14, others), are believed.
    """
    if sys.platform != "linux" or not 0 < end - start <= _PREFAULT_LIMIT:
        return True
    address = mapped.data_ptr()
    first = (address + start) // mmap.PAGESIZE * mmap.PAGESIZE
    if _libc().madvise(first, address + end - first, _POPULATE_READ) == 0:
        return True
    return ctypes.get_errno() not in (errno.EFAULT, _HWPOISON)


def drop_pages(mapped: torch.Tensor, start: int, end: int) -> None:
    """Let the kernel forget the pages of a byte range; they are read again when touched."""
    if os.name != "posix" or end <= start:
        return
    address = mapped.data_ptr()
    first = (address + start) // mmap.PAGESIZE * mmap.PAGESIZE
    _libc().madvise(first, address + end - first, _DONTNEED)


def _map(descriptor: int, size: int) -> int:
    flags = mmap.MAP_PRIVATE | _NORESERVE
    address = _libc().mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, descriptor, 0)
    if address is None or address == ctypes.c_void_p(-1).value:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(address)


@cache
def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    libc.mmap.restype = pointer
    libc.mmap.argtypes = [pointer, size, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64]
    libc.munmap.argtypes = [pointer, size]
    libc.madvise.argtypes = [pointer, size, ctypes.c_int]
    return libc
