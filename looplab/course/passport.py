"""A learner's answers in one small file: no account, and nothing to lose when a session ends.

    passport.save()       writes looplab-passport.json here, and shows a link to download it
    passport.restore()    in a later session: writes the chapters anew, with the answers in them

A passport holds what was checked: each answer's source and whether it passed; and the models that
the learner trained, the latest of each name. Saving into a file that exists adds to it, and two
passports are joined by restoring both; no answer is ever dropped.
"""

import base64
import contextlib
import functools
import html
import json
import re
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from looplab.basics.writing import write_text
from looplab.course.reading.gather import last_word
from looplab.course.reading.given import Given, given_by
from looplab.course.reading.marks import MARK, Cell, exercise_of, pieces_of

NAME = "looplab-passport.json"
FORMAT, VERSION = "looplab-passport", 1
LARGEST = 10_000_000  # bytes; a passport of the whole course has some ten thousand
CHAPTERS = Path(__file__).resolve().parents[2] / "chapters"


class PassportError(ValueError):
    """A file that is no passport or cannot be used; the text says why and what to do."""


@dataclass(frozen=True)
class Answer:
    """One answer to one exercise, as it was when it was checked."""

    source: str
    passed: bool
    when: str  # ISO 8601, in UTC


Answers = dict[str, tuple[Answer, ...]]  # exercise -> different answers, the best first


@dataclass(frozen=True)
class Model:
    """Weights that the learner trained."""

    weights: str  # a safetensors file in base64
    when: str  # ISO 8601, in UTC


Models = dict[str, Model]

_kept: Answers = {}  # this kernel's
_models: Models = {}


def keep(id: str, passed: bool):
    """Remember the source of this answer, with what it needs; `check` calls this.

    Outside of IPython: nothing.
    """
    source = _last_answer(id)
    if source is None:
        return
    now = _now()
    # What this kernel saw fail before has been overtaken.
    before = tuple(answer for answer in _kept.get(id, ()) if answer.passed)
    _kept.update(merge({id: before}, {id: (Answer(source, passed, now),)}))


def keep_model(name: str, weights: bytes):
    """Remember a trained model: the bytes of a safetensors file."""
    _models[name] = Model(base64.b64encode(weights).decode(), _now())


def here() -> tuple[Answers, Models]:
    """All answers and models that this kernel kept or a passport beside the notebook has.

    Files that are no passport are passed over.
    """
    answers, models = [_kept], [_models]
    for path in _beside():
        with contextlib.suppress(PassportError):
            answers.append(read(path))
            models.append(read_models(path))
    return merge(*answers), _latest(*models)


def merge(*passports: Answers) -> Answers:
    """Every different answer of all of them; in each exercise passed ones first, then the latest.

    >>> old, new = Answer("return 1", True, "2026-01-01"), Answer("return 2", False, "2026-01-02")
    >>> [answer.source for answer in merge({"03.1": (new,)}, {"03.1": (old,)})["03.1"]]
    ['return 1', 'return 2']
    """
    merged = {}
    for id in sorted({id for one in passports for id in one}):
        there = sorted(
            (answer for one in passports for answer in one.get(id, ())),
            key=lambda answer: (answer.when, answer.passed),
        )
        latest = {answer.source: answer for answer in there}.values()
        best = sorted(latest, key=lambda a: (a.passed, a.when, a.source), reverse=True)
        merged[id] = tuple(best)
    return merged


def read(path: str | Path) -> Answers:
    """The answers in a file. Raises PassportError for one that is no passport."""
    path, data = Path(path), _open(Path(path))
    try:
        found = {id: tuple(map(_answer, each)) for id, each in data["answers"].items() if each}
        if not all(re.fullmatch(r"\d\d\.\d+", id) for id in data["answers"]):
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError):
        told = f"{path} is a damaged passport: its answers are not as passport.save() writes them"
        raise PassportError(f"{told}. Use another copy of it, if you have one") from None
    return merge(found)


def read_models(path: str | Path) -> Models:
    """The models in a file, by name. Raises PassportError for one that is no passport."""
    path, data = Path(path), _open(Path(path))
    try:
        found = {str(name): Model(**each) for name, each in data.get("models", {}).items()}
        for model in found.values():
            base64.b64decode(model.weights, validate=True)
            datetime.fromisoformat(model.when)
    except (TypeError, ValueError, AttributeError):
        told = f"{path} is a damaged passport: its models are not as passport.save() writes them"
        raise PassportError(f"{told}. Use another copy of it, if you have one") from None
    return found


def _open(path: Path) -> dict:
    """What a passport's file holds, with its answers and models unread."""
    try:
        if path.stat().st_size > LARGEST:
            raise PassportError(f"{path} is too large for a passport, which has a few kilobytes")
        data = json.loads(path.read_bytes())  # with a byte order mark, too
    except OSError as error:
        raise PassportError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        told = f"{path} is damaged or no passport: expected the JSON that passport.save() writes"
        raise PassportError(told) from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise PassportError(f"{path} is no passport: expected a file that passport.save() wrote")
    if data.get("version") != VERSION:
        raise PassportError(
            f"{path} has version {data.get('version')!r}, and this looplab reads {VERSION}: "
            "update the course, or use the looplab that wrote it"
        )
    return data


def save(path: str | Path = NAME) -> "Shown":
    """Add what was checked in this notebook to the passport at `path`, and show a link to it.

    Raises PassportError where the file is something else (it is left as it is) or cannot be
    written.
    """
    path = Path(path)
    answers = merge(read(path) if path.exists() else {}, _kept)
    models = _latest(read_models(path) if path.exists() else {}, _models)
    if not answers and not models:
        return Shown("Nothing to keep yet: run an answer's cell and its check first.")
    text = json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            "answers": {id: [asdict(one) for one in each] for id, each in answers.items()},
            "models": {name: asdict(model) for name, model in models.items()},
        },
        indent=1,
    )
    try:
        write_text(path, text)
    except OSError as error:
        raise PassportError(
            f"{path.resolve()} cannot be written: {error.strerror}. Name another place, as in "
            "passport.save('somewhere/else.json')"
        ) from None
    return Shown(
        f"{path}: {_counted(answers)}{_trained(models)}\n{_table(answers)}\n"
        "Download it and keep it. In a later session, put it beside the notebooks and run\n"
        "passport.restore()",
        {path.name: text},
    )


def restore(*paths: str | Path) -> "Shown":
    """Write each chapter of a passport anew, with the answers in their cells, and say what passed.

    Without a path: all files here that are called looplab-passport*.json, joined. The new notebooks
    are called NN_slug-restored.ipynb; no file is overwritten. Raises PassportError.
    """
    found = paths or _beside()
    if not found:
        raise PassportError(
            f"there is no {NAME} in {Path.cwd()}: put the file that passport.save() gave you there "
            "(drag it into the file browser), or call passport.restore('where/it/is.json')"
        )
    answers = merge(*(read(path) for path in found))
    written, lines = {}, []
    for chapter in sorted({id[:2] for id in answers}):
        templates = _notebooks(chapter, CHAPTERS)
        if not templates:
            lines.append(f"chapter {chapter} is not in this copy of the course: update it")
            continue
        mine = {id: each[0].source for id, each in answers.items() if id[:2] == chapter}
        for template, sources in _shared_out(mine, templates):
            text = _fill(template, sources)
            name = _write_new(template.stem, text)
            written[name] = text
            lines.append(f"wrote {name}: open it, and run all of its cells")
    models = _latest(*(read_models(path) for path in found), _models)
    _kept.update(merge(_kept, answers))  # so that the next save() has them, wherever it writes to
    _models.update(models)
    told = f"{', '.join(map(str, found))}: {_counted(answers)}{_trained(models)}\n"
    told += f"{_table(answers)}\n"
    # A notebook on Colab's disk cannot be opened there: it is downloaded, and uploaded again.
    on_colab = "google.colab" in sys.modules
    if on_colab and written:
        lines.append("on Colab: download it below, then File, Upload notebook")
    return Shown(told + "\n".join(lines), written if on_colab else {})


class Shown:
    """Text, and where HTML can be shown links that download files (name -> content)."""

    def __init__(self, text: str, files: dict[str, str] | None = None):
        self.text, self.files = text, files or {}

    def __repr__(self):
        return self.text

    def _repr_html_(self):
        links = [
            f'<a download="{html.escape(name)}" href="data:application/octet-stream;base64,'
            f'{base64.b64encode(content.encode()).decode()}">Download {html.escape(name)}</a>'
            for name, content in self.files.items()
        ]
        return f"<pre>{html.escape(self.text)}</pre>" + "<br>".join(links)


def _last_answer(id: str) -> str | None:
    """The source of this answer, as it was last run in this notebook, and marked as an answer."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    history = getattr(get_ipython(), "history_manager", None)
    pieces = pieces_of(Cell(cell) for cell in getattr(history, "input_hist_raw", []))
    given = _given(id)
    source = last_word(id, pieces, given) if given else None
    if source is None:  # what the chapter asks for was not to be seen: the mark has to do
        marked = [piece.source for piece in pieces if piece.exercise == id]
        if not marked:
            return None
        source = marked[-1].strip()
    there = id in map(exercise_of, MARK.finditer(source))
    return source if there else f"# exercise {id}\n{source}"


@functools.cache
def _given(id: str) -> Given | None:
    """What the chapter of an exercise gives; None where its solved notebook cannot be read."""
    for path in _notebooks(id[:2], CHAPTERS / "solved"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            given = given_by(_cells(path))
            if id in given.asked:
                return given
    return None


def _cells(notebook: Path) -> list[Cell]:
    found = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        about = cell["metadata"].get("looplab", {})
        kind = "code" if cell["cell_type"] == "code" else "text"
        source = "".join(cell["source"])
        found.append(Cell(source, kind, cell["id"], about.get("role", ""), about.get("ex", "")))
    return found


def _answer(read: dict) -> Answer:
    answer = Answer(read["source"], read["passed"], read["when"])
    datetime.fromisoformat(answer.when)
    if not isinstance(answer.source, str) or not isinstance(answer.passed, bool):
        raise ValueError
    return answer


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _beside() -> list[Path]:
    """Passports in the notebook's folder."""
    return sorted(Path().glob(f"{Path(NAME).stem}*.json"))


def _latest(*several: Models) -> Models:
    """Of each name the model trained last."""
    found: Models = {}
    for models in several:
        for name, model in models.items():
            if name not in found or model.when >= found[name].when:
                found[name] = model
    return found


def _trained(models: Models) -> str:
    return f", and your trained {' and '.join(sorted(models))}" if models else ""


def _counted(answers: Answers) -> str:
    passed = sum(each[0].passed for each in answers.values())
    return f"{len(answers)} {'answer' if len(answers) == 1 else 'answers'}, {passed} passed"


def _table(answers: Answers) -> str:
    lines = []
    for chapter in sorted({id[:2] for id in answers}):
        ids = [id for id in answers if id[:2] == chapter]
        passed = [id for id in ids if answers[id][0].passed]
        known = _exercises(chapter) or ids  # none of a chapter of a newer course
        rest = [id for id in ids if id not in passed]
        lines.append(
            f"  chapter {chapter}: {len(passed)} of {len(known)} passed"
            + (f" ({', '.join(passed)})" if passed else "")
            + (f"; not yet {', '.join(rest)}" if rest else "")
        )
    return "\n".join(lines)


def _exercises(chapter: str) -> set[str]:
    """The exercises that a chapter of this course has, as its solved notebooks mark them."""
    return {id for solved in _notebooks(chapter, CHAPTERS / "solved") for id in _marked(solved)}


def _marked(notebook: Path) -> set[str]:
    """The exercises that a notebook marks; none where it cannot be read."""
    found = set()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
            found.update(map(exercise_of, MARK.finditer("".join(cell["source"]))))
    return found


def _notebooks(number: str, folder: Path) -> list[Path]:
    """The notebooks of a chapter: one, or two (05_ and 05b_) where it stands in two halves."""
    halves: dict[str, list[Path]] = {}
    for path in sorted(folder.glob(f"{number}*_*.ipynb")):
        half = path.name.partition("_")[0]
        if re.fullmatch(r"\d\d[a-z]?", half) and "-restored" not in path.stem:
            halves.setdefault(half, []).append(path)
    return [found[0] for found in halves.values() if len(found) == 1]


def _shared_out(sources: dict[str, str], templates: list[Path]):
    """(notebook, its answers) of a chapter; an answer without a cell goes to the first."""
    homes = {}
    for template in reversed(templates):
        for place in (CHAPTERS / "solved" / template.name, template):
            homes |= dict.fromkeys(_marked(place), template)
    for template in templates:
        mine = {i: s for i, s in sources.items() if homes.get(i, templates[0]) == template}
        if mine:
            yield template, mine


def _fill(template: Path, sources: dict[str, str]) -> str:
    """The notebook with these answers in their cells, and without outputs, which are not theirs."""
    left = dict(sources)
    try:
        notebook = json.loads(template.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"], cell["execution_count"] = [], None
                about = cell["metadata"].get("looplab", {})
                if about.get("role") == "answer" and about.get("ex") in left:
                    cell["source"] = left.pop(about["ex"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        told = f"{template} is damaged: fetch a fresh copy of it, or of the course, and try again"
        raise PassportError(told) from None
    for n, (id, source) in enumerate(left.items()):  # a learner's chapter whose cell was deleted
        notebook["cells"].append(
            {
                "cell_type": "code",
                "id": f"restored-{n}",
                "metadata": {"looplab": {"role": "answer", "ex": id}},
                "source": source,
                "outputs": [],
                "execution_count": None,
            }
        )
    return json.dumps(notebook, indent=1) + "\n"


def _write_new(stem: str, text: str) -> str:
    """Write to a file that did not exist, or that has this very content; returns its name."""
    for number in range(1, 1000):
        path = Path(f"{stem}-restored{f'-{number}' if number > 1 else ''}.ipynb")
        try:
            with open(path, "x", encoding="utf-8") as file:
                file.write(text)
            return path.name
        except FileExistsError:
            if path.is_file() and path.read_text(encoding="utf-8", errors="replace") == text:
                return path.name
        except OSError as error:
            raise PassportError(f"{path.resolve()} cannot be written: {error.strerror}") from None
    raise PassportError(f"there are very many {stem}-restored notebooks here: remove some")
