"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path

from liverseg.errors import UsageError

# No run takes so long between its first file and its last.
LEFTOVER_AFTER_S = 3600.0
_REASONS = {
    errno.ENOENT: "the folder is gone",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than this system or disk allows",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EISDIR: "a folder of that name is in the way",
    errno.EEXIST: "a file of that name is in the way",
}


def plain_reason(error: OSError) -> str:
    """Why a file operation failed, in words a user can act on; one line."""
    cause: BaseException | None = error
    # Libraries wrap the system's error (pydicom in one with a whole traceback as its text).
    while isinstance(cause, OSError) and cause.errno is None and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, OSError) and cause.errno is not None:
        return _REASONS.get(cause.errno, cause.strerror or str(cause))
    return (str(error).splitlines() or [type(error).__name__])[0]


def cannot_write(path: Path, error: OSError) -> UsageError:
    """What is raised of a file that could not be written."""
    return UsageError(
        f"cannot write {path}: {plain_reason(error)}; choose another output folder or make room"
    )


@contextmanager
def kept_on_failure(path: Path) -> Iterator[None]:
    """Put a file back that was removed inside of the block, when the block ends with any exception."""
    before = path.read_bytes() if path.is_file() else None
    try:
        yield
    except BaseException:
        if before is not None and not path.exists():
            path.write_bytes(before)
        raise


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to, and rename it to ``path`` when all went well.

    The temporary name ends like the real one, so that libraries which choose the format by the extension
    choose the right one. Its content is on the disk before the rename, so that not even a power cut
    leaves a half file under the real name. On any exception, a cancel included, the temporary file is
    removed and what was there under the real name stays.

    Raises:
        UsageError: the file could not be written (no space, no permission, a folder in the way).
    """
    temporary = path.with_name(f".{secrets.token_hex(4)}.part.{path.name}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        # After the rename there is nothing left under the temporary name.
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path, filenames: Set[str], after_s: float = LEFTOVER_AFTER_S) -> None:
    """Remove the temporary files of these names that a killed run left in a folder.

    Args:
        after_s: younger ones stay, for another run may be writing them; 0 where only one can.
    """
    old = time.time() - after_s
    for path in folder.glob(".????????.part.*"):
        if path.name.split(".part.", 1)[1] not in filenames:
            continue
        # The other run may rename it at this very moment.
        with suppress(FileNotFoundError):
            if path.stat().st_mtime <= old:
                path.unlink()


def make_folder(folder: Path) -> None:
    """Create a folder and its parents.

    Raises:
        UsageError: a file is in the way, or there is no permission.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder; choose another output folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot make the folder {folder}: {plain_reason(error)}; choose another output folder"
        ) from error
