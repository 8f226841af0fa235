"""Every sentence labelled *measured here*, with the cells and the numbers that it rests on.

A label is followed by a comment that a reader does not see and that names code cells of the same
chapter: `**Measured here**<!-- by steps, rates -->`. `looplab build` writes docs/measured.md, the
table of all of them, from the notebooks as they were run.
"""

import json
import re
from pathlib import Path
from typing import NamedTuple

LABEL = re.compile(
    r"\*\*(?:C\d+, m|M)easured here[^*]*\*\*[:.,]?(?:\s*<!-- by (?P<cells>[\w ,-]+?) -->)?"
)
# Decimals, percentages and powers of ten: what a measurement gives. Counts stand in words.
NUMBER = re.compile(
    r"(?<![\w.])(?P<number>\d*\.\d+(?:e-?\d+)?|\d+e-?\d+|\d+(?=\s?%))(?P<percent>\s?%)?"
)
# Numbers that nothing measures: papers, formulas, links, code, and exercises such as 01.1.
PAPER = re.compile(r"arXiv\s+\d+\.\d+|\$[^$]*\$|\]\([^)]*\)|`[^`]*`|\b0\d\.\d\b")
LONGEST = 220  # characters of a cell's output that the table shows


class Claim(NamedTuple):
    """One labelled paragraph."""

    chapter: str  # "03"
    cell: str  # id of the text cell
    text: str  # the paragraph, on one line, without its comments
    cells: tuple[str, ...]  # ids of the code cells that it rests on; () where it names none
    shown: tuple[str, ...]  # what they printed, and the alt texts of their pictures


def claims(notebook: Path) -> list[Claim]:
    """The claims of one built notebook, in their order."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = {cell["id"]: _shown(cell) for cell in cells if cell["cell_type"] == "code"}
    found = []
    for cell in cells:
        if cell["cell_type"] == "code":
            continue
        for paragraph in re.split(r"\n\s*\n", "".join(cell["source"])):
            if labels := list(LABEL.finditer(paragraph)):
                names = [name for label in labels for name in (label["cells"] or "").split(",")]
                names = tuple(name.strip() for name in names if name.strip())
                text = " ".join(re.sub(r"<!--.*?-->", "", paragraph).split())
                shown = tuple(outputs.get(name, "") for name in names)
                found.append(Claim(notebook.name.partition("_")[0], cell["id"], text, names, shown))
    return found


def unfounded(claim: Claim) -> list[str]:
    """What is wrong with a claim: no cell, one that shows nothing, a number that none shows.

    >>> bare = Claim("03", "text", "**Measured here.** It is .25.", (), ())
    >>> unfounded(bare)
    ['names no cell']
    >>> unfounded(bare._replace(cells=("rates",), shown=("0.2514 and 0.31",)))
    []
    >>> unfounded(bare._replace(cells=("rates",), shown=("0.31",)))
    ['.25 is not among what rates shows']
    """
    if not claim.cells:
        return ["names no cell"]
    pairs = zip(claim.cells, claim.shown, strict=True)
    wrong = [f"{name} shows nothing" for name, shown in pairs if not shown]
    there = [float(match["number"]) for match in NUMBER.finditer(" ".join(claim.shown))]
    there += [float(n) for n in re.findall(r"(?<![\w.])\d+(?![\w.])", " ".join(claim.shown))]
    for match in NUMBER.finditer(PAPER.sub(" ", claim.text)):
        if not any(_rounds_to(value, match) for value in there):
            told = match[0].strip()
            wrong.append(f"{told} is not among what {', '.join(claim.cells)} shows")
    return wrong


def table(notebooks: list[Path]) -> str:
    """All claims as Markdown."""
    lines = [
        "# Measured here",
        "",
        "Each sentence of the course that says so, the cells that measure it, and what they showed",
        "when the chapters were last built. Written by `looplab build`.",
    ]
    for notebook in notebooks:
        if not (found := claims(notebook)):
            continue
        lines += ["", f"## {notebook.stem.replace('_', ' ')}", ""]
        lines += ["| the sentence | measured by | what it showed |", "|---|---|---|"]
        for claim in found:
            shown = "<br>".join(_short(text) for text in claim.shown)
            names = "<br>".join(f"`{name}`" for name in claim.cells)
            lines.append(f"| {claim.text.replace('|', chr(92) + '|')} | {names} | {shown} |")
    return "\n".join(lines) + "\n"


def _shown(cell: dict) -> str:
    """What a code cell printed, and the alt texts of its pictures."""
    told = []
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            told.append("".join(output["text"]))
        elif "data" in output:
            told.append("".join(output["data"].get("text/plain", "")))
    return " ".join(" ".join(told).split())


def _rounds_to(value: float, told: re.Match) -> bool:
    """Whether the number in a sentence is this value, rounded as the sentence rounds."""
    number = told["number"]
    digits = len(number.partition("e")[0].partition(".")[2])
    unit = 10.0**-digits * (10.0 ** int(number.partition("e")[2] or 0))
    values = (value, 100 * value) if told["percent"] else (value,)
    return any(abs(each - float(number)) <= 0.51 * unit for each in values)


def _short(text: str) -> str:
    text = text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " …"
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
