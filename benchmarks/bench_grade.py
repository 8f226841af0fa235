"""What it costs to grade a class: seconds per submission, and what that makes for a hundred.

    python benchmarks/bench_grade.py [--size 30] [--jobs 2] [--chapter 03]

Makes a class of solved, unsolved, half-solved and wrong submissions in a fresh folder and grades
it with `looplab grade`. CPU seconds are those of everything that the command started; they say what
a busy machine cannot: with two quiet cores a submission takes half of them.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from looplab.course.grading.key import role
from looplab.course.grading.marking import SOLVED

KINDS = ("solved", "half", "wrong", "unsolved", "error")


def make(folder: Path, chapter: str, size: int):
    """A class in which every kind of submission is equally frequent."""
    solved = next(SOLVED.glob(f"{chapter}_*.ipynb"))
    editions = [nbformat.read(path, 4) for path in (solved, SOLVED.parent / solved.name)]
    answers, stubs = ([c.source for c in nb.cells if role(c) == "answer"] for nb in editions)
    for number in range(size):
        kind = KINDS[number % len(KINDS)]
        made = editions[1].copy()
        cells = [cell for cell in made.cells if role(cell) == "answer"]
        for n, cell in enumerate(cells):
            name = answers[n].split("def ")[-1].split("(")[0]
            cell.source = {
                "solved": answers[n],
                "half": answers[n] if n % 2 else stubs[n],
                # One answer of each returns its first argument.
                "wrong": answers[n] if n != number % len(cells) else identity(answers[n], name),
                "unsolved": stubs[n],
                "error": answers[n] if n else answers[n] + "\n\n1 / 0  # tried something",
            }[kind]
        nbformat.write(made, folder / f"{kind}-{number:03d}.ipynb")


def identity(answer: str, name: str) -> str:
    return f"{answer.splitlines()[0]}\ndef {name}(first, *others):\n    return first"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--chapter", default="03")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name, "class"), Path(name, "report.json")
        folder.mkdir()
        make(folder, given.chapter, given.size)
        command = [sys.executable, "-m", "looplab", "grade", str(folder), "--json", str(out)]
        begin = time.monotonic()
        subprocess.run([*command, "--jobs", str(given.jobs)], check=True, stdout=subprocess.DEVNULL)
        wall = time.monotonic() - begin
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        report = json.loads(out.read_text(encoding="utf-8"))["submissions"]
    cpu = used.ru_utime + used.ru_stime
    passed = {kind: [one["passed"] for one in report if kind in one["student"]] for kind in KINDS}
    print(f"chapter {given.chapter}, {given.size} submissions, {given.jobs} at a time")
    print(
        "passed, mean: " + ", ".join(f"{k} {sum(p) / len(p):.1f}" for k, p in passed.items() if p)
    )
    print(f"per submission: {wall / given.size:.1f} s wall, {cpu / given.size:.1f} s CPU")
    print(f"a class of 100: {wall / given.size * 100 / 60:.1f} minutes as measured, ", end="")
    print(f"{cpu / given.size * 100 / 60 / given.jobs:.1f} with {given.jobs} cores of its own")


if __name__ == "__main__":
    main()
