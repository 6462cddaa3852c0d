"""Disks whose power can be cut: an ext4 filesystem of its own, in a file, that keeps only what was written to it.

The cut is EXT4_IOC_SHUTDOWN without a flush of the journal, as the kernel's own tests of power loss cut it: from that
moment nothing reaches the disk, and what waits in the page cache is gone with the unmount.
https://git.kernel.org/pub/scm/fs/xfs/xfstests-dev.git/tree/src/godown.c
It is kinder than a disk that loses its own cache: what was handed to the disk counts as written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SIZE = "2G"  # sparse
SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32), fs/ext4/ext4.h
WITHOUT_FLUSH = struct.pack("I", 2)
TOOLS = ("mkfs.ext4", "mount", "umount", "truncate")


def why_not() -> str:
    """Why no disk can be had here; empty when one can."""
    if sys.platform != "linux":
        return "a power cut needs Linux (ext4 on a loop device)"
    if os.geteuid() != 0:
        return "a power cut needs root (to mount a filesystem of its own)"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"a power cut needs {', '.join(missing)}" if missing else ""


class Disk:
    """A mounted filesystem; what is under `root` survives a cut as far as it was written."""

    def __init__(self, folder: Path, name: str) -> None:
        self.root = folder / name
        self._image = folder / f"{name}.ext4"

    def cut(self) -> None:
        """The power is off: nothing more reaches the disk."""
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, WITHOUT_FLUSH)
        finally:
            os.close(descriptor)

    def power_on(self) -> None:
        """What reached the disk is there again. Nobody may have a file of it open."""
        self._unmount()
        self._mount()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.root))

    def _unmount(self) -> None:
        _run("umount", str(self.root))


@contextlib.contextmanager
def disk(folder: Path, name: str) -> Iterator[Disk]:
    """A fresh disk, until the block ends."""
    made = Disk(folder, name)
    made.root.mkdir(parents=True)
    _run("truncate", "-s", SIZE, str(made._image))
    _run("mkfs.ext4", "-q", "-F", str(made._image))
    made._mount()
    try:
        yield made
    finally:
        made._unmount()
        made._image.unlink()


def _run(*command: str) -> None:
    # In a session of its own: a Ctrl-C that ends the run must not end what tidies up after it.
    subprocess.run(command, check=True, capture_output=True, text=True, start_new_session=True)
