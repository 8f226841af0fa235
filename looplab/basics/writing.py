"""Files that appear whole or not at all, so that a stopped program leaves none half written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def in_one_stroke(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; when the block ends well, that file takes its place.

    Whoever reads `path` meanwhile sees the old file, or none. Raises what the block raises, and
    OSError where the file cannot be put in its place; then `path` is as it was.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with in_one_stroke(Path(folder, "new.txt")) as partial:
    ...         _ = partial.write_text("all of it")
    ...     [file.name for file in Path(folder).iterdir()]
    ['new.txt']
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        with suppress(OSError):  # what went wrong before is the error to be seen
            partial.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file in one stroke, as UTF-8; OSError where it cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text(Path(folder, "new.txt"), "ann ⊗ bob")
    ...     Path(folder, "new.txt").read_text(encoding="utf-8")
    'ann ⊗ bob'
    """
    with in_one_stroke(path) as partial:
        partial.write_text(text, encoding="utf-8")


def remove_torn(path: Path) -> None:
    """Remove what processes that were killed while they wrote `path` have left beside it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, ".new.txt.123.partial").write_text("al")
    ...     remove_torn(Path(folder, "new.txt"))
    ...     list(Path(folder).iterdir())
    []
    """
    for torn in path.parent.glob(f".{path.name}.*.partial"):
        torn.unlink(missing_ok=True)
