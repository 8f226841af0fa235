"""Make both editions of a chapter from its one source.

    looplab build [NN ...]          write chapters/NN_slug.ipynb and chapters/solved/NN_slug.ipynb
    looplab build --check [NN ...]  change nothing; fail where a notebook differs from its source

The format of chapters/source/NN_slug.py is described in docs/writing-a-chapter.md.
"""

import argparse
import hashlib
import os
import re
import textwrap
from pathlib import Path

import nbformat

from looplab.basics.address import ADDRESS, REPOSITORY
from looplab.course import measured

ROOT = Path(__file__).resolve().parents[2]
MAX_BYTES = 400_000
CELL_SECONDS = 180
EDITIONS = ("unsolved", "solved")
ROLES = ("given", "answer", "check")
MARKS = re.compile(
    r"^(?P<indent> *)# --- solution\n(?P<solution>.*?)^ *# --- stub\n(?P<stub>.*?)^ *# --- end\n?",
    re.M | re.S,
)
CHAPTERS = "<!-- chapters -->"  # in a text cell: a table of all chapters but the first
LEFT = re.compile(r"^ *# --- (solution|stub|end)\b", re.M)
# In front of every chapter's imports. Colab opens a notebook without the course around it.
SET_UP = """\
import importlib.util, os, subprocess, sys

if importlib.util.find_spec("looplab") is None:  # as on Colab; elsewhere this does nothing
    course = os.path.abspath("{root}" if os.path.exists("{root}/colab.py") else "looplab-course")
    if not os.path.exists(course):
        fetch = "git clone --quiet --depth=1 {address}"
        subprocess.run([*fetch.split(), course], check=True)
    sys.path.insert(0, course)
    import colab  # installs what little is missing, and changes into chapters/
{model}from looplab import doctor

doctor.glance()  # says something only where something is off

"""
# One line more where a chapter's header says `language_model: true`.
WITH_MODEL = "    colab.language_model()  # 93 MB; without it this chapter shows recorded numbers\n"


class SourceError(ValueError):
    """Something in a chapter's source that a builder cannot make a notebook of."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="looplab build", description=__doc__.split("\n")[0])
    parser.add_argument("chapters", nargs="*", help="numbers such as 03; default: all")
    parser.add_argument("--check", action="store_true", help="change nothing, report differences")
    parser.add_argument("--force", action="store_true", help="overwrite even edited answers")
    given = parser.parse_args(arguments)
    found = [find(number) for number in given.chapters] if given.chapters else sources()
    wrong = []
    for source in found:
        for edition in EDITIONS:
            path = target(source, edition)
            fresh = make(source, edition)
            if given.check:
                wrong += differences(fresh, path)
                continue
            if edition == "unsolved" and not given.force:
                refuse_edited(path)
            print(f"running {path.relative_to(ROOT)} ...", flush=True)
            execute(fresh, path.parent)
            write(normalise(fresh), path)
    if given.check:
        wrong += stale()
        print("\n".join(wrong) or f"{len(found)} chapters are what their sources say")
        return bool(wrong)
    refresh()
    return 0


def sources() -> list[Path]:
    """All sources in the order of the chapters; of one in two halves, 05 comes before 05b."""
    found = (ROOT / "chapters" / "source").glob("[0-9][0-9]*_*.py")
    return sorted(source for source in found if re.match(r"\d\d[a-z]?_", source.name))


def number(source: Path) -> str:
    """How a chapter is called, from the name of its source or notebook.

    >>> number(Path("03_watch_fixed_points_form.py")), number(Path("05b_fast_slow_or_never.ipynb"))
    ('03', '05b')
    """
    return source.name.partition("_")[0]


def find(wanted: str) -> Path:
    for source in sources():
        if number(source) == wanted:
            return source
    known = ", ".join(map(number, sources()))
    raise SystemExit(f"no chapter {wanted!r}: known are {known}")


def target(source: Path, edition: str) -> Path:
    folder = ROOT / "chapters"
    return (folder if edition == "unsolved" else folder / "solved") / f"{source.stem}.ipynb"


def make(source: Path, edition: str) -> nbformat.NotebookNode:
    """One edition of a chapter, not run yet. Raises SourceError naming the cell."""
    import jupytext

    read = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent")
    about = {**header(source), "edition": edition}
    cells, seen, answered, checked = [], set(), set(), set()
    for number, cell in enumerate(read.cells):
        said = dict(cell.metadata)
        name = said.get("id")
        where = f"{source.name}, cell {name or number}"
        if not name or not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,60}", name) or name in seen:
            raise SourceError(f"{where}: every cell needs an id of its own in a-z, 0-9 and -")
        seen.add(name)
        role, ex, tags = said.get("role", "given"), said.get("ex"), list(said.get("tags", []))
        for key, value, known in (
            ("edition", said.get("edition", edition), EDITIONS),
            ("role", role, ROLES),
        ):
            if value not in known:
                raise SourceError(f"{where}: {key}={value!r} is none of {', '.join(known)}")
        if (role == "given") != (ex is None):
            raise SourceError(f"{where}: answer and check cells, and only they, have an ex")
        if said.get("edition", edition) != edition:
            continue
        text = cell.source
        if cell.cell_type == "markdown":
            text = prose(text, source, edition, first=not cells)
            fresh = nbformat.v4.new_markdown_cell(text)
        else:
            if text.rstrip().endswith(";"):
                raise SourceError(f"{where}: ends in ';', which nbval does not honour")
            if role == "answer":
                if not text.startswith(f"# exercise {ex}\n"):
                    raise SourceError(f"{where}: an answer cell starts with '# exercise {ex}'")
                text = one_edition(text, edition, where)
                answered.add(ex)
            if name == "set-up":
                with_model = about.get("language_model", False)
                text = set_up(target(source, edition).parent, with_model) + text
            if role == "check":
                tags.append("nbval-check-output")
                checked.add(ex)
            fresh = nbformat.v4.new_code_cell(text)
            fresh.metadata["looplab"] = {"role": role} | ({"ex": ex} if ex else {})
        if tags:
            fresh.metadata["tags"] = tags
        fresh.id = name
        cells.append(fresh)
    if "set-up" not in seen:
        raise SourceError(f"{source.name}: the cell with the imports has to be called set-up")
    if answered != checked:
        raise SourceError(
            f"{source.name}: exercises {sorted(answered ^ checked)} lack an answer or a check cell"
        )
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "looplab": {**about, "answers": fingerprint(notebook)},
        }
    )
    return notebook


def header(source: Path) -> dict:
    """What a source says of its chapter. Raises SourceError if something is missing."""
    import jupytext

    text = source.read_text(encoding="utf-8").partition("\n# %%")[0]
    about = jupytext.reads(text, fmt="py:percent").metadata.get("looplab")
    if not about or not {"chapter", "title", "minutes", "needs", "learn"} <= set(about):
        raise SourceError(f"{source.name}: the header needs chapter, title, minutes, needs, learn")
    return dict(about)


def one_edition(text: str, edition: str, where: str) -> str:
    """The answer cell with its solution or with its stub."""

    def choose(match):
        if LEFT.search(match["solution"]) or LEFT.search(match["stub"]):
            return match[0]  # a mark inside another's part: one was forgotten
        if edition == "solved":
            return match["solution"]
        lines = textwrap.dedent(match["stub"]).splitlines()
        if not all(line.startswith("#") for line in lines):
            raise SourceError(f"{where}: stub lines are comments, '# return todo()'")
        return "".join(f"{match['indent']}{re.sub('^# ?', '', line)}\n" for line in lines)

    chosen, count = MARKS.subn(choose, text + "\n")
    if not count:
        raise SourceError(f"{where}: no '# --- solution', '# --- stub', '# --- end' lines")
    if LEFT.search(chosen):
        raise SourceError(f"{where}: a '# --- solution', '# --- stub' or '# --- end' is missing")
    return chosen.rstrip("\n")


def prose(text: str, source: Path, edition: str, first: bool) -> str:
    """Markdown with what is made here: badges under the title, links to solutions, the chapters."""
    if edition == "solved":
        text = text.replace("](solved/", "](")
    if CHAPTERS in text:
        text = text.replace(CHAPTERS, chapter_list())
    if first:
        title, _, rest = text.partition("\n")
        text = f"{title}\n\n{badges(source, edition)}\n{rest}"
    return text


def set_up(folder: Path, with_model: bool) -> str:
    """What finds or fetches the course, for notebooks in this folder."""
    root = Path(os.path.relpath(ROOT, folder)).as_posix()
    model = WITH_MODEL if with_model else ""
    return SET_UP.format(root=root, address=ADDRESS, model=model)


def badges(source: Path, edition: str = "unsolved") -> str:
    path = target(source, edition).relative_to(ROOT).as_posix()
    colab = f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/{path}"
    binder = f"https://mybinder.org/v2/gh/{REPOSITORY}/main?urlpath=lab/tree/{path}"
    return (
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab}) "
        f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({binder})"
    )


def execute(notebook, folder: Path):
    """Run every cell in a fresh kernel in `folder`."""
    from nbclient import NotebookClient

    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the same numbers on every machine
    NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--log-level=40"],  # not that it talks over TCP
        resources={"metadata": {"path": str(folder)}},
    ).execute()


def normalise(notebook):
    """Counts from 1, and nothing that differs from run to run or that only a live page can use."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}  # the run adds this Python's version
    count = 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        kept = []
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                continue  # progress bars and warnings of the machine at hand
            if "data" in output:
                output.data.pop("application/vnd.jupyter.widget-view+json", None)
            if output.output_type == "execute_result":
                output.execution_count = count
            if output.output_type == "stream" and kept and kept[-1].output_type == "stream":
                kept[-1].text += output.text  # a slow cell's prints arrive in pieces
                continue
            kept.append(output)
        cell.outputs = kept
    return notebook


def write(notebook, path: Path):
    text = nbformat.writes(notebook) + "\n"
    if len(text.encode()) > MAX_BYTES:
        raise SystemExit(f"{path.name} has {len(text) // 1000} KB, more than {MAX_BYTES // 1000}")
    nbformat.validate(notebook)
    path.write_text(text, encoding="utf-8")


def fingerprint(notebook) -> str:
    """Of the answer cells, so that a learner's work is recognised."""
    answers = [
        cell.source
        for cell in notebook.cells
        if cell.metadata.get("looplab", {}).get("role") == "answer"
    ]
    return hashlib.sha256("\n\0".join(answers).encode()).hexdigest()[:16]


def refuse_edited(path: Path):
    if not path.exists():
        return
    there = nbformat.read(path, as_version=4)
    if fingerprint(there) != there.metadata.get("looplab", {}).get("answers"):
        raise SystemExit(
            f"{path.relative_to(ROOT)} holds answers that somebody wrote: save them elsewhere, "
            "or build with --force to overwrite them"
        )


def differences(fresh, path: Path) -> list[str]:
    """What stands in the notebook otherwise than its source says; outputs are not looked at."""
    name = path.relative_to(ROOT).as_posix()
    if not path.exists():
        return [f"{name}: missing, run looplab build"]
    there = nbformat.read(path, as_version=4)
    wrong = []
    if there.metadata != fresh.metadata:
        wrong.append(f"{name}: metadata")
    if [cell.id for cell in there.cells] != [cell.id for cell in fresh.cells]:
        wrong.append(f"{name}: cells were added, removed or moved")
    for old, new in zip(there.cells, fresh.cells, strict=False):
        if (old.source, old.metadata) != (new.source, new.metadata):
            wrong.append(f"{name}, cell {new.id}: not what the source says")
    return wrong


TABLE = re.compile(r"(?<=<!-- chapters:begin -->\n).*?(?=<!-- chapters:end -->)", re.S)
ABODE = re.compile(r"(?<=^repository-code: ).*$", re.M)


def chapter_table() -> str:
    """The README's table of chapters, from the headers of the sources."""
    rows = [
        "| chapter | minutes | needs | you will be able to | open |\n|---|---|---|---|---|\n",
    ]
    for source in sources():
        about = header(source)
        link = f"[{about['chapter']} {about['title']}](chapters/{source.stem}.ipynb)"
        rows.append(
            f"| {link} | {about['minutes']} | {about['needs']} | {about['learn']} | "
            f"{badges(source)} |\n"
        )
    return "".join(rows)


def chapter_list() -> str:
    """The chapters after the first, for a reader of the first."""
    rows = ["| chapter | you will be able to | minutes |\n|---|---|---|"]
    for source in sources()[1:]:
        about = header(source)
        link = f"[{about['chapter']} {about['title']}]({source.stem}.ipynb)"
        rows.append(f"| {link} | {about['learn']} | {about['minutes']} |")
    return "\n".join(rows)


def refreshed() -> dict[Path, str]:
    """The written files of which a part is made here, as they should be."""
    made = {}
    for name, part, text in (
        ("README.md", TABLE, chapter_table()),
        ("CITATION.cff", ABODE, ADDRESS),
    ):
        path = ROOT / name
        made[path], count = part.subn(lambda m, text=text: text, path.read_text(encoding="utf-8"))
        if not count:
            raise SourceError(f"{name}: no place for what looplab build writes ({part.pattern})")
    solved = [target(source, "solved") for source in sources()]
    made[ROOT / "docs" / "measured.md"] = measured.table([path for path in solved if path.exists()])
    return made


def stale() -> list[str]:
    return [
        f"{path.name}: not what looplab build makes of it"
        for path, text in refreshed().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def refresh():
    for path, text in refreshed().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
