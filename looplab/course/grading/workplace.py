"""The folder of one run: what a learner left in it is weighed and removed, whatever it is."""

import contextlib
import os
import stat
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

BLOCK = 4096  # bytes that the smallest file takes
PATIENCE = 60.0  # seconds for removing a folder


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A fresh folder with an empty `work` in it, removed at the end.

    The notebook runs in `work`; what lies beside it is the grader's, out of the way of an `rm *`.
    """
    # No "looplab" in this name: errors are told with the innermost line outside of the library.
    folder = Path(tempfile.mkdtemp(prefix="grading-"))
    try:
        (folder / "work").mkdir()
        yield folder
    finally:
        with contextlib.suppress(OSError):  # on Windows one may still be open
            remove(folder)


def remove(folder: Path) -> None:
    """Remove a folder and all in it, however deep and whatever it forbids; no link is followed.

    Not `shutil.rmtree`, which recurses. Raises OSError where something stays for a minute.
    """
    end = time.monotonic() + PATIENCE
    os.chmod(folder, 0o700)
    while names := os.listdir(folder):
        if time.monotonic() > end:
            break
        for path in (folder / name for name in names):
            if not _is_folder(path):
                path.unlink()
                continue
            # What is deep comes up, a level each time, so that no path grows long.
            os.chmod(path, 0o700)
            for inner in path.iterdir():
                if _is_folder(inner):
                    os.chmod(inner, 0o700)  # without, it must not be moved
                inner.rename(folder / uuid.uuid4().hex)
            path.rmdir()
    folder.rmdir()


def outweighs(folder: Path, most: int) -> bool:
    """True where what is in a folder takes more than `most` bytes; no link is followed.

    >>> with workplace() as folder:
    ...     _ = (folder / "work" / "x").write_bytes(bytes(10_000))
    ...     outweighs(folder, 1_000), outweighs(folder, 100_000)
    (True, False)
    """
    total, waiting = 0, [os.fspath(folder)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                about = entry.stat(follow_symlinks=False)
                total += max(BLOCK, 512 * getattr(about, "st_blocks", about.st_size // 512))
                if total > most:
                    return True
                if stat.S_ISDIR(about.st_mode):
                    waiting.append(entry.path)
    return False


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)
