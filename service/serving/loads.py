"""How many connections each worker has, in memory that all of them share."""

import ctypes
import mmap
import os
from tempfile import TemporaryFile

Loads = ctypes.Array[ctypes.c_int]

ABSENT = 2**30
"""The connections of a worker that is not there: nobody leaves one to it."""


def shared_memory(workers: int) -> int:
    """Make room for the loads of so many workers. Return its descriptor, which stays open."""
    if hasattr(os, "memfd_create"):
        memory = os.memfd_create("loads")
    else:
        with TemporaryFile() as file:
            memory = os.dup(file.fileno())
    os.ftruncate(memory, workers * ctypes.sizeof(ctypes.c_int))
    return memory


def loads_in(memory: int) -> Loads:
    """Open the memory of this descriptor: a number for each worker."""
    loads = mmap.mmap(memory, 0)
    return (ctypes.c_int * (len(loads) // ctypes.sizeof(ctypes.c_int))).from_buffer(loads)
