"""The list that a Gradescope export has of its folders: whose each submission is."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from looplab.course.grading.students import Student


class _Loader(yaml.SafeLoader):
    """Plain values only; of Ruby's own kinds, such as times, nothing."""


_Loader.add_multi_constructor("!", lambda loader, tag, node: None)


def submitters(metadata: Mapping[Path, Path]) -> dict[Path, tuple[Student, ...]]:
    """Folder -> its students, from files of metadata (place -> file); damaged ones say nothing.

    >>> submitters({})
    {}
    """
    found = {}
    for place, file in metadata.items():
        try:
            told = yaml.load(file.read_text(encoding="utf-8"), _Loader)
        except (OSError, ValueError, yaml.YAMLError):
            continue
        for folder, about in told.items() if isinstance(told, dict) else ():
            students = about.get(":submitters") if isinstance(about, dict) else None
            named = [one for one in students or () if isinstance(one, dict) and one.get(":name")]
            if named:
                found[place.parent / str(folder)] = tuple(map(_student, named))
    return found


def _student(about: dict) -> Student:
    name, id, email = (str(about.get(key) or "").strip() for key in (":name", ":sid", ":email"))
    return Student(name, id, email)
