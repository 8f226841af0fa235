"""What was handed in: every file in the folders of a class, notebooks under any name, archives.

A file that cannot be graded is a hand-in too, with the reason: nothing vanishes. What editors,
systems and platforms leave behind is none, nor are the files that the grader wrote.
"""

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from looplab.course.build import ROOT
from looplab.course.grading.archives import Archives
from looplab.course.grading.glance import Glance, glance_at
from looplab.course.grading.submission import LARGEST_FILE

FOLDERS = {
    *("__MACOSX", "__pycache__", "node_modules", "venv", ".venv", ".ipynb_checkpoints"),
    *(".git", ".github", ".vscode", ".idea", ".cache", ".config", ".local", ".ipython"),
    *(".jupyter", ".pytest_cache", ".Trash", ".virtual_documents", ".mypy_cache", ".ruff_cache"),
}
FILES = {"thumbs.db", "desktop.ini", "icon\r", "ehthumbs.db"}
ENDINGS = (".pyc", ".swp", ".swo", ".tmp", ".bak", ".partial", ".lock", "~")
METADATA = "submission_metadata.yml"  # Gradescope's
PLATFORM = {METADATA, "timestamp.txt", "gradebook.db", "nbgrader_config.py"}
HOUSE = ("readme", "license", "requirements", "environment.y", "pyproject.toml", "contributing")
# Why a file of another kind is not graded.
KINDS = {
    ".html .htm .mhtml": "it is a web page, perhaps made from a notebook",
    ".py .r .jl .m": "it is a script",
    ".url .webloc .desktop .lnk .gdoc": "it is a shortcut to a file elsewhere",
    ".pdf .doc .docx .odt .rtf .md .tex": "it is a text",
    ".tar .gz .tgz .bz2 .xz .7z .rar": "of archives only .zip is opened",
    ".png .jpg .jpeg .gif .svg .heic": "it is a picture",
}
NEEDED = "the notebook itself (.ipynb) is needed"


@dataclass(frozen=True)
class HandIn:
    """One file: where it lies (archives count as folders), what to read of it, or the problem."""

    place: Path  # absolute
    root: Path  # the folder that was named, or the one of a file that was
    file: Path | None
    problem: str = ""
    when: float = 0.0  # its last change, seconds since 1970
    seen: Glance = Glance()


@dataclass(frozen=True)
class Found:
    """`metadata` are files in which a platform says whose the hand-ins are: place -> file."""

    hand_ins: tuple[HandIn, ...]
    metadata: dict[Path, Path]


def find(
    paths: Iterable[Path],
    scratch: Path,
    ours: Iterable[Path] = (),
    is_ours: Callable[[Path], bool] = lambda file: False,
) -> Found:
    """Everything handed in, folders searched all the way down, archives unpacked into `scratch`.

    `ours` are files and folders of the teacher's, such as the report, and so is every file in a
    folder of which `is_ours` is true. A file that was named and is missing stays, to be reported.
    Links inside of folders are not followed: one could lead to the solved chapter.
    """
    search = _Search(Archives(scratch), {absolute(path) for path in ours}, is_ours)
    found: dict[Path, HandIn] = {}
    for path in map(absolute, paths):
        # A folder may be called x.ipynb, and an archive may be named as one.
        hand_ins = search.folder(path) if path.is_dir() else search.named(path)
        for one in hand_ins:
            found.setdefault(one.place, one)
    for place, why in _of_the_course(found.values()).items():
        if why:
            found[place] = replace(found[place], file=None, problem=why)
        else:
            del found[place]
    return Found(tuple(found.values()), search.metadata)


def absolute(path: Path) -> Path:
    """A path however it was typed: links on the way to it followed, those that it is itself not.

    >>> absolute(Path("a/../b")) == absolute(Path("b"))
    True
    """
    path = Path(os.path.abspath(path.expanduser()))
    return path.parent.resolve() / path.name if path.name else path


class _Search:
    def __init__(self, archives: Archives, ours: set[Path], is_ours: Callable[[Path], bool]):
        self._archives, self._ours, self._is_ours = archives, ours, is_ours
        self.metadata: dict[Path, Path] = {}

    def named(self, path: Path) -> Iterator[HandIn]:
        """A file that was named itself."""
        yield from self._file(path, path.parent, path, _changed(path))

    def folder(self, root: Path) -> Iterator[HandIn]:
        refused = []
        for place, folders, names in os.walk(root, onerror=refused.append):
            here, inside = Path(place), []
            for name in sorted(folders):
                if name in FOLDERS or here / name in self._ours:
                    continue
                if (here / name).is_symlink():
                    why = "it is a link to a folder: name that folder"
                    yield HandIn(here / name, root, None, why)
                else:
                    inside.append(name)
            folders[:] = inside
            for name in sorted(names):
                file = here / name
                if not self._is_litter(file) and not (file.is_file() and self._is_ours(file)):
                    yield from self._entry(file, root)
        for error in refused:
            why = f"it cannot be opened ({error.strerror})"
            yield HandIn(Path(error.filename), root, None, why)

    def _entry(self, file: Path, root: Path) -> Iterator[HandIn]:
        if file.is_symlink():
            yield HandIn(file, root, None, "it is a link: the notebook itself is needed")
        else:
            yield from self._file(file, root, file, _changed(file))

    def _file(self, place: Path, root: Path, file: Path, when: float) -> Iterator[HandIn]:
        if place.suffix.lower() == ".zip" and zipfile.is_zipfile(file):
            yield from self._archive(place, root, file)
            return
        named_so = place.suffix.lower() == ".ipynb"
        if named_so and not _readable(file):
            yield HandIn(place, root, file, "", when)  # reading it says what is wrong
            return
        seen = glance_at(file) if _readable(file) else Glance()
        if named_so or seen.notebook or not file.exists():
            yield HandIn(place, root, file, "", when, seen)
        else:
            yield HandIn(place, root, None, why_not(place), when)

    def _archive(self, place: Path, root: Path, file: Path) -> Iterator[HandIn]:
        empty = True
        for member in self._archives.members(file):
            inside = place.joinpath(*member.path.parts)
            if set(member.path.parts[:-1]) & FOLDERS or (
                inside != place and self._is_litter(inside)
            ):
                if inside.name == METADATA and member.file:
                    self.metadata[inside] = member.file
                continue
            empty = False
            if member.file is None:
                yield HandIn(inside, root, None, member.problem, member.when)
            else:
                yield from self._file(inside, root, member.file, member.when)
        if empty:
            yield HandIn(place, root, None, "there is nothing in this archive", _changed(file))

    def _is_litter(self, file: Path, folders: Iterable[str] = ()) -> bool:
        """Left by an editor, a system or a platform, or the teacher's own."""
        name = file.name.lower()
        if name == METADATA and file.is_file():
            self.metadata[file] = file
        hidden = name.startswith((".", "~$")) and not name.endswith(".ipynb")
        left = name in FILES | PLATFORM or name.endswith(ENDINGS) or name.startswith("._")
        return hidden or left or file in self._ours or bool(FOLDERS & set(folders))


def why_not(place: Path) -> str:
    """Why a file that holds no notebook is not graded.

    >>> why_not(Path("03.html"))
    'it is a web page, perhaps made from a notebook: the notebook itself (.ipynb) is needed'
    """
    ending = place.suffix.lower()
    if "assignsubmission_onlinetext" in str(place):
        return f"it is text typed on the platform: {NEEDED}"
    if place.name.lower() == "looplab-passport.json":
        return f"it is a passport of answers: {NEEDED}"
    what = next((why for endings, why in KINDS.items() if ending in endings.split()), "")
    return f"{what or 'there is no notebook in it'}: {NEEDED}"


def _readable(file: Path) -> bool:
    try:
        return file.is_file() and file.stat().st_size <= LARGEST_FILE
    except OSError:
        return False


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _of_the_course(found: Iterable[HandIn]) -> dict[Path, str]:
    """Files of the course itself, where students handed in a whole copy of it, such as a clone.

    place -> "" for one that is nobody's work, or else why it is not graded.
    """
    places = {one.place: one for one in found}
    copies = {
        place.parent.parent
        for place in places
        if place.parent.name == "chapters" and place.suffix.lower() == ".ipynb"
    }
    told = {}
    for place, one in places.items():
        for copy in copies & set(place.parents):
            inside = place.relative_to(copy)
            own = ROOT / inside
            if inside.parts[:2] == ("chapters", "solved"):
                same = one.file and own.is_file() and one.file.read_bytes() == own.read_bytes()
                told[place] = "" if same else "it lies in chapters/solved, not in chapters"
            elif inside.parts[0] != "chapters":
                first = len(inside.parts) == 1 and inside.name.lower().startswith(HOUSE)
                if first or (own.is_file() and not one.seen.notebook):
                    told[place] = ""
    return told
