"""Files of a record are untrusted: their size is capped, links are not followed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from triton_kernels.errors import TokenmillError


def file_bytes(path: Path, most_bytes: int) -> bytes:
    """The file's content. Links, pipes, devices and files over the cap are refused."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise TokenmillError(f"{path}: is not a regular file")
            if status.st_size > most_bytes:
                raise TokenmillError(f"{path}: is over {most_bytes >> 20} MiB, which no run of tokenmill is")
            return file.read(most_bytes + 1)
    except OSError as e:
        why = "is a link, which records never hold" if e.errno == errno.ELOOP else f"cannot be read ({e.strerror})"
        raise TokenmillError(f"{path}: {why}") from e
