"""Names of students in the paths of files: the part that tells the files from each other."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from looplab.course.build import sources

# How a repository of GitHub Classroom begins: assignment-1-ada, ps1-ada.
SLUG = re.compile(
    r"(?:[a-z]+[-_])*?"
    r"(?:assignment|homework|hw|ps|pset|lab|exercises?|project|week|chapter|looplab)"
    r"[-_]?\d*[-_](?=.)",
    re.I,
)
# Names of folders and files that name no student.
GENERIC = re.compile(
    r"(?:\d{1,2}[a-z]?|(?:assignment|homework|hw|ps|pset|problem ?set|lab|exercise|week|chapter|"
    r"group|class|section|sec|tutorial|course|submission|submitted|solution|answer|notebook|attempt|part|"
    r"upload|download|file|final|version|v|copy|work|untitled|extracted)e?s?"
    r"(?:[ _.-]*\d+[a-z]?|[ _.-]+[a-z])?)",
    re.I,
)
AGAIN = re.compile(r"(?:[ _-]*\(\d+\)|[-_ ]+copy\d*|[-_ ]+\d)+$", re.I)  # as systems name copies


@dataclass(frozen=True)
class Clue:
    """What is known of one hand-in before anybody is named."""

    place: Path
    root: Path
    chapter: str = ""
    said: str = ""  # by a line `# student: NAME` in the notebook


def differing(clues: Sequence[Clue]) -> list[str]:
    """The part of each path that tells the files of a chapter from each other.

    >>> files = [Path("/c/ada/ps1/03.ipynb"), Path("/c/ben/ps1/03.ipynb")]
    >>> differing([Clue(file, Path("/c"), "03") for file in files])
    ['ada', 'ben']
    >>> differing([Clue(Path("/classroom/00_welcome - Ada L.ipynb"), Path("/classroom"), "00")])
    ['Ada L']
    """
    if not clues:
        return []
    base = common({clue.root for clue in clues})
    rests = trimmed([rest_of(clue.place.stem) for clue in clues])
    rests = ["" if GENERIC.fullmatch(rest) else rest for rest in rests]
    found = [_named_parts(clue, base, rest) for clue, rest in zip(clues, rests, strict=True)]
    scores: Counter = Counter()
    for key in {key for parts in found for key in parts}:
        told = {
            (clue.chapter, parts[key])
            for clue, parts in zip(clues, found, strict=True)
            if key in parts
        }
        scores[key] = len(told)
    # The level at which most files of a chapter differ; of equal ones the outermost folder.
    best = min(scores, key=lambda key: (-scores[key], key), default=None)
    flat = all(clue.place.parent == base for clue in clues)
    one_student = flat and (len(clues) == 1 or not any(rest_of(c.place.stem) for c in clues))
    named = [
        parts.get(best) or _otherwise(clue, parts, base, one_student)
        for clue, parts in zip(clues, found, strict=True)
    ]
    if best in (None, FILE):
        return named
    repositories = all(
        "chapters" in clue.place.relative_to(base).parts[best + 1 :]
        for clue, parts in zip(clues, found, strict=True)
        if best in parts
    )
    short = without_slug({parts[best] for parts in found if best in parts}, repositories)
    return [short.get(name, name) for name in named]


FILE = 1_000_000  # where a file's own name stands among the levels of its path: last


def _named_parts(clue: Clue, base: Path, rest: str) -> dict[int, str]:
    """Level -> what stands there, of those that may name a student."""
    folders = map(_folder, clue.place.parent.relative_to(base).parts)
    found = {level: part for level, part in enumerate(folders) if may_name(part)}
    return found | ({FILE: rest} if rest else {})


def _folder(part: str) -> str:
    """What a folder is called; an archive is one, and called by what it holds."""
    return rest_of(part[:-4]) if part.lower().endswith(".zip") else part


def _otherwise(clue: Clue, parts: dict[int, str], base: Path, one_student: bool) -> str:
    """A name for a file that lacks the part that names the others."""
    if FILE in parts:
        return parts[FILE]
    if parts:
        return parts[max(parts)]
    if clue.place.parent != base:  # of a folder that would not do among others
        return _folder(clue.place.parent.name)
    above = (folder.name for folder in (base, *base.parents) if may_name(folder.name))
    return (next(above, "") if one_student else "") or clue.place.stem


def may_name(part: str) -> bool:
    """False for what names no student: "ps1", "chapters", "03".

    >>> [may_name(part) for part in ("ada", "ps1", "group b", "03_watch")]
    [True, False, False, False]
    """
    return bool(part) and not GENERIC.fullmatch(part) and bool(rest_of(part))


def rest_of(stem: str) -> str:
    """What a file is called beside its chapter: "" for a chapter's own name.

    >>> rest_of("00_welcome - Ada L"), rest_of("03_watch_fixed_points_form (1)"), rest_of("ada")
    ('Ada L', '', 'ada')
    >>> rest_of("ada_03_watch"), rest_of("03-Watch-copy"), rest_of("03_ada")
    ('ada', '', 'ada')
    """
    rest = AGAIN.sub("", stem).strip()
    for number, words in slugs():
        # The chapter's words may be cut short: 03_watch.
        short = "".join(rf"(?:[\W_]*{word}" for word in words) + ")?" * len(words)
        whole = rf"{number}(?![0-9a-z]){short}(?![^\W_])"
        rest = re.sub(
            rf"^{whole}|(?<=[\W_]){number}[\W_]*{words[0]}(?![^\W_]).*$", "", rest, flags=re.I
        )
        rest = re.sub(r"[\W_]*".join(words) if len(words) > 1 else r"(?!)", "", rest, flags=re.I)
    return rest.strip(" _-.,+")


@cache
def slugs() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Number and words of every chapter's name, of earlier editions too."""
    stems = {source.stem for source in sources()} | {"05_what_makes_a_fixed_point"}
    return tuple(
        (number, tuple(words.split("_")))
        for number, _, words in (stem.partition("_") for stem in sorted(stems))
    )


def trimmed(names: Sequence[str]) -> list[str]:
    """Names without the words and numbers at either end that all of them share.

    >>> trimmed(["hw1-ada", "hw1-ben", ""]), trimmed(["ada", "ada"])
    (['ada', 'ben', ''], ['ada', 'ada'])
    """
    there = [name for name in names if name]
    for ends in (r"^([^\W_]+)[\W_]+(?=.)", r"(?<=.)[\W_]+([^\W_]+)$"):
        while len(set(there)) > 1:
            found = [re.search(ends, name) for name in there]
            words = {one and one[1].casefold() for one in found}
            if len(words) != 1 or None in words or not GENERIC.fullmatch(words.pop()):
                break
            there = [re.sub(ends, "", name) for name in there]
    left = iter(there)
    return [next(left) if name else "" for name in names]


def without_slug(names: set[str], repositories: bool) -> dict[str, str]:
    """Names of folders without the assignment's, which all have in front.

    >>> without_slug({"ps1-ada", "ps1-al"}, False), without_slug({"smith-al", "smith-ed"}, False)
    ({'ps1-ada': 'ada', 'ps1-al': 'al'}, {'smith-al': 'smith-al', 'smith-ed': 'smith-ed'})
    """
    if all(map(SLUG.match, names)):
        return {name: SLUG.sub("", name, count=1) for name in sorted(names)}
    shared = re.match(r"(?:.*[-_])?", os.path.commonprefix(sorted(names)))[0]
    cut = len(shared) if repositories and len(names) > 1 else 0
    return {name: name[cut:] for name in sorted(names)}


def common(folders: Iterable[Path]) -> Path:
    """The innermost folder that holds all of these.

    >>> common([Path("/c/ada"), Path("/c/ben")])
    PosixPath('/c')
    """
    first, *others = folders
    while not all(first == one or first in one.parents for one in others):
        if first == first.parent:
            break
        first = first.parent
    return first
