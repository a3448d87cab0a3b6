"""Single files on their way into a sandbox or out of it, by way of a staging folder of the environment's own."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from gym_queue.errors import Forbidden, GymQueueError, NotSupported, PathNotFound

FILE_MODE = 0o644
NAME_BYTES = 255
"""Most that a file's name has on the file systems of sandboxes."""
SHOWN = 200
"""Characters of a caller's path that an error repeats."""
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def staging(work_dir: Path) -> Iterator[Path]:
    """Make a folder in an environment's own one, and remove it with what is in it."""
    folder = make_staging(work_dir)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_staging(work_dir: Path) -> Path:
    """Return a new folder for what is on its way; whoever asked removes it."""
    return Path(tempfile.mkdtemp(prefix="transfer-", dir=work_dir))


def split_target(path: str) -> tuple[str, str]:
    """Return the folder inside and the file's name that a path inside asks for.

    Raises:
        NotSupported: It names a folder.
        PathNotFound: No file can have it.
    """
    name = PurePosixPath(path).name
    if not name or name == ".." or path == "~" or path.endswith(("/", "/.")):
        raise _not_a_file(path)
    if "\0" in path or len(os.fsencode(name)) > NAME_BYTES:
        raise PathNotFound(f"{path[:SHOWN]!r} is no path that a file can have: choose another")
    return str(PurePosixPath(path).parent), name


def put_file(copy_in: Callable[[Path, str], None], staged: Path, path: str) -> None:
    """Copy a file into a sandbox; missing folders are made, and a file or link that is there is replaced.

    Args:
        copy_in: Copies what a folder of this host holds into a folder inside.
        staged: A folder that holds the file alone, under the name it is to have.
        path: Where it is to be, inside.

    Raises:
        NotSupported: There is a folder.
        PathNotFound, Forbidden: It cannot be there.
    """
    try:
        copy_in(staged, split_target(path)[0])
    except OSError as error:
        raise _explain(error, path) from error


def get_file(copy_out: Callable[[str, Path], None], path: str, target: Path) -> None:
    """Copy a file out of a sandbox, readable by us.

    Args:
        copy_out: Copies a file inside to a path of this host.
        path: The file, inside.
        target: Where to; nothing is there yet.

    Raises:
        NotSupported: It is a folder.
        PathNotFound, Forbidden: It is not there, or not to be read.
    """
    try:
        copy_out(path, target)
        if target.is_symlink():
            raise Forbidden(f"{path[:SHOWN]!r} is a link: name what it leads to")
        if target.is_dir():
            raise _not_a_file(path)
        target.chmod(0o600)
    except OSError as error:
        raise _explain(error, path) from error


def _not_a_file(path: str) -> NotSupported:
    return NotSupported(
        f"{path[:SHOWN]!r} names a folder, and only single files are sent: name a file, or pack the folder inside first"
    )


def _explain(error: OSError, path: str) -> GymQueueError:
    if error.errno == errno.EISDIR:
        return _not_a_file(path)
    kind = Forbidden if error.errno in _REFUSED else PathNotFound
    return kind(f"{path[:SHOWN]!r} is no file's path here: {error.strerror or error}; name another")
