"""The folder of a disk tier: who owns it, and where things are in it."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from pathlib import Path
from typing import Final

_owned: set[str] = set()
_owned_lock = threading.Lock()
#: Results as files of their own lie in so many folders.
SPREAD: Final = 256


class FolderTakenError(OSError):
    """Another tier owns the folder, in this process or in another."""


class Folder:
    """A folder that one tier owns at a time.

    The lock is of the process: the kernel drops it with the process, however that ends. A child that was forked does
    not have it.

    Args:
        path: The folder; made where there is none, for its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._name = ""

    @property
    def database(self) -> Path:
        """Where the database is."""
        return self.path / "results.db"

    @property
    def large(self) -> Path:
        """Where results are as files of their own."""
        return self.path / "large"

    def large_file(self, number: int) -> Path:
        """Where a result is as a file of its own."""
        return self.large / f"{number % SPREAD:02x}" / str(number)

    def write_large(self, number: int, record: bytes) -> None:
        """Write a result as a file of its own.

        Raises:
            OSError: It cannot be written.
        """
        path = self.large_file(number)
        try:
            file = open(path, "wb", opener=_for_its_owner)  # noqa: SIM115  # closed below
        except FileNotFoundError:
            self.large.mkdir(mode=0o700, exist_ok=True)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            file = open(path, "wb", opener=_for_its_owner)  # noqa: SIM115
        with file:
            file.write(record)

    def acquire(self) -> None:
        """Own the folder.

        Raises:
            FolderTakenError: Another tier owns it.
            OSError: It cannot be made or written to.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = os.path.realpath(self.path)
        with _owned_lock:
            if name in _owned:
                raise FolderTakenError(f"{name} is owned by another tier of this process")
            file = os.open(self.path / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                raise FolderTakenError(f"{name} is owned by another process") from None
            except OSError:
                os.close(file)
                raise
            _owned.add(name)
            self._file, self._name = file, name

    def release(self) -> None:
        """Own the folder no more."""
        with _owned_lock:
            if self._file is not None:
                _owned.discard(self._name)
                os.close(self._file)
                self._file = None

    def forget(self) -> None:
        """In a child that was forked: the parent owns the folder, and this process does not."""
        _owned.discard(self._name)
        self._file = None

    def prepare(self) -> None:
        """Make the database's file, for its owner alone."""
        os.close(os.open(self.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def empty(self) -> None:
        """Remove all results."""
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{self.database}{suffix}").unlink(missing_ok=True)
        shutil.rmtree(self.large, ignore_errors=True)


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
