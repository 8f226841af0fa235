"""Archives that are handed in, opened without trusting them: names, sizes, links, nesting."""

import contextlib
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from looplab.course.grading.submission import LARGEST_FILE

MEMBERS = 20_000  # files in one archive
ARCHIVE = 500_000_000  # bytes of an archive within another
ALTOGETHER = 4_000_000_000  # bytes written for a class
RATIO = 200  # bytes that one byte may unfold to; notebooks stay below 100
NESTED = 1  # an archive within an archive, as platforms pack what students packed


@dataclass(frozen=True)
class Member:
    """A file of an archive: its path there, and the copy of it, or the problem with it."""

    path: PurePosixPath
    file: Path | None
    problem: str = ""
    when: float = 0.0  # seconds since 1970


class Archives:
    """Unpacks archives into one folder, each file under a number: no name in them is trusted."""

    def __init__(self, folder: Path):
        self._folder, self._written, self._count = folder, 0, 0

    def members(self, archive: Path, depth: int = 0) -> Iterator[Member]:
        """Files of a .zip, those of archives within it too; what is wrong is a member as well."""
        whole = PurePosixPath()
        try:
            with zipfile.ZipFile(archive) as opened:
                listed = [one for one in opened.infolist() if not one.is_dir()]
                if len(listed) > MEMBERS:
                    yield Member(whole, None, f"it holds {len(listed)} files, more than {MEMBERS}")
                    return
                for one in listed:
                    yield from self._member(opened, one, depth)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            yield Member(whole, None, f"the archive cannot be opened ({error})")

    def _member(self, opened, one: zipfile.ZipInfo, depth: int) -> Iterator[Member]:
        path = PurePosixPath(one.filename.replace("\\", "/"))
        when = 0.0
        with contextlib.suppress(ValueError, OverflowError, OSError):
            when = datetime(*one.date_time).timestamp()
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            inside = PurePosixPath(*(part for part in path.parts if part not in ("/", "..")))
            yield Member(inside, None, "its path leads out of the archive", when)
        elif stat.S_ISLNK(one.external_attr >> 16):
            yield Member(path, None, "it is a link: the file itself is needed", when)
        elif path.suffix.lower() == ".zip":
            yield from self._nested(opened, one, path, depth, when)
        else:
            yield Member(path, *self._copy(opened, one, LARGEST_FILE), when)

    def _nested(self, opened, one, path, depth, when) -> Iterator[Member]:
        if depth >= NESTED:
            yield Member(path, None, "it is an archive in an archive in an archive", when)
            return
        copy, problem = self._copy(opened, one, ARCHIVE)
        if copy is None:
            yield Member(path, None, problem, when)
            return
        for member in self.members(copy, depth + 1):
            yield Member(path / member.path, member.file, member.problem, member.when)
        copy.unlink()

    def _copy(self, opened, one: zipfile.ZipInfo, most: int) -> tuple[Path | None, str]:
        """A numbered file with the member's bytes, read no further than allowed."""
        if one.flag_bits & 1:
            return None, "it is encrypted"
        # What an archive says of its sizes may be a lie: what comes out is counted as well.
        most = min(most, max(1_000_000, RATIO * one.compress_size), ALTOGETHER - self._written)
        if one.file_size > most:
            return None, f"it unfolds to {one.file_size / 1e6:.0f} MB, too much for what it is"
        self._count += 1
        copy = self._folder / f"{self._count:06d}{PurePosixPath(one.filename).suffix[:10]}"
        size = 0
        try:
            with opened.open(one) as source, open(copy, "wb") as target:
                while piece := source.read(2**20):
                    size += len(piece)
                    self._written += len(piece)
                    if size > most:
                        raise ValueError("it unfolds to more than it says")
                    target.write(piece)
        except Exception as error:  # zlib, lzma and bz2 have errors of their own for damage
            copy.unlink(missing_ok=True)
            return None, f"it cannot be unpacked ({error})"
        return copy, ""
