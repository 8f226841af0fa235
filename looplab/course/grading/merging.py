"""What an earlier run said and this one does not: it is kept, and what is replaced is told."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from looplab.course.grading.points import Rubric, total
from looplab.course.grading.saved import Entry


def kept_of(saved: Iterable[Entry], now: Sequence[Entry], folders: Sequence[Path]) -> list[Entry]:
    """Entries of an earlier report that stay beside those of now.

    Gone are the ones that are graded now, whose file has moved, and whose file is no longer in a
    folder (or archive) that was named.
    """
    places = {one.place for one in now}
    digests = {(one.sha256, one.place.name) for one in now if one.sha256}

    def stays(one: Entry) -> bool:
        moved = (one.sha256, one.place.name) in digests and not _is_there(one.place)
        return one.place not in places and not moved and not _below(one.place, folders)

    return [one for one in saved if stays(one)]


def kept_rows(
    rows: Iterable[tuple[Path, Mapping[str, str]]], now: Sequence[Entry], folders: Sequence[Path]
) -> list[Mapping[str, str]]:
    """Rows of an earlier gradebook, each with its file's place, that stay beside the entries."""
    places = {one.place for one in now}
    return [row for place, row in rows if place not in places and not _below(place, folders)]


def told_of(
    saved: Iterable[Entry], now: Sequence[Entry], kept: Sequence, rubric: Rubric
) -> list[str]:
    """Which marks are replaced, what is gone, and how many submissions are kept: lines."""
    before = {one.place: one for one in saved}
    told = []
    for one in now:
        old = before.get(one.place)
        if old and (old.sha256 != one.sha256 or old.report.rows != one.report.rows):
            marks = ", now ".join(_marks(each, rubric) for each in (old, one))
            told.append(f"replaced: {one.report.file} ({one.whose.name}): {marks}")
    there = {one.place for one in (*now, *kept) if isinstance(one, Entry)}
    if gone := sorted(one.report.file for one in before.values() if one.place not in there):
        told.append(f"no longer there, and taken out: {', '.join(gone)}")
    return told + _told_of_kept(kept)


def told_of_rows(
    rows: Iterable[tuple[Path, Mapping[str, str]]], now: Sequence[Entry], kept: Sequence, rubric
) -> list[str]:
    """As `told_of`, of the rows of a gradebook where there is no report."""
    before = dict(rows)
    told = []
    for one in now:
        old = before.get(one.place)
        marks = f"{old['points']} of {old['out of']}" if old else ""
        if old and marks != (new := _marks(one, rubric)):
            told.append(f"replaced: {one.report.file} ({one.whose.name}): {marks}, now {new}")
    return told + _told_of_kept(kept)


def in_order(now: Sequence[Entry], kept: Sequence[Entry], saved: Sequence[Entry]) -> list[Entry]:
    """All entries; where some are kept in the order of the earlier report, new ones behind."""
    if not kept:
        return list(now)
    order = {one.place: number for number, one in enumerate(saved)}
    return sorted([*kept, *now], key=lambda one: order.get(one.place, len(order)))


def _told_of_kept(kept: Sequence) -> list[str]:
    many = "s" if len(kept) > 1 else ""
    return [f"kept: {len(kept)} submission{many} graded earlier"] if kept else []


def _marks(one: Entry, rubric: Rubric) -> str:
    if one.report.problem:
        return "not graded"
    got, most = total(one.report, rubric)
    return f"{got:g} of {most:g}"


def _is_there(place: Path) -> bool:
    """True for a file, or one in an archive that is there."""
    return place.exists() or any(folder.is_file() for folder in place.parents)


def _below(place: Path, folders: Sequence[Path]) -> bool:
    return any(folder in place.parents for folder in folders)
