"""A finished report: figures, numbers and the table of claims, in a notebook and in a folder."""

import base64
import csv
import html
import io
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from looplab.basics.writing import in_one_stroke, write_text
from looplab.plots import SHARP, Picture
from looplab.reproduction.claims import Claim
from looplab.reproduction.protocol import FIGURES

PAPER = "arXiv 2604.11791"


@dataclass(frozen=True, eq=False)
class Report:
    """All figures and numbers of arXiv 2604.11791 for one model; shows its table in a notebook."""

    about: dict  # model, prompts, protocol, what it took, and what it was made with
    claims: tuple[Claim, ...]
    figures: dict[str, Picture]  # file name -> picture
    numbers: dict[str, Tensor]  # name -> mean over prompts, [loop, layer], [layer] or alike
    spread: dict[str, Tensor]  # name -> standard deviation over prompts, of the same shape
    left_out: dict[str, str]  # figure -> why

    def __repr__(self):
        lines = [_title(self.about)]
        for one in self.claims:
            lines += [f"{one.claim:4s} {one.figure}: {one.ours}", f"     the paper: {one.paper}"]
        lines += [f"left out: {name}, {reason}" for name, reason in self.left_out.items()]
        return "\n".join(lines)

    def _repr_html_(self):
        return f"<p>{html.escape(_title(self.about))}</p>{_table(self)}"

    def save(self, folder: str | Path, replace: bool = False) -> Path:
        """Write figures/*.png, numbers.json, numbers.csv and report.html; returns the folder.

        FileExistsError where a report is there already, unless it is to be replaced.
        """
        folder = Path(folder).expanduser()
        if (folder / "report.html").exists() and not replace:
            raise FileExistsError(f"{folder} has a report already: choose another folder")
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        images = {name: picture.png() for name, picture in self.figures.items()}
        for name, png in images.items():
            with in_one_stroke(folder / "figures" / f"{name}.png") as partial:
                partial.write_bytes(png)
        write_text(folder / "numbers.json", self._json())
        write_text(folder / "numbers.csv", self._csv())
        write_text(folder / "report.html", _page(self, images))
        return folder

    def _json(self) -> str:
        said = {
            "about": self.about,
            "claims": [asdict(one) for one in self.claims],
            "left out": self.left_out,
            "figures": {f"figures/{name}.png": one.alt for name, one in self.figures.items()},
            "numbers": {name: _plain(value.tolist()) for name, value in self.numbers.items()},
            "spread": {name: _plain(value.tolist()) for name, value in self.spread.items()},
        }
        return json.dumps(said, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def _csv(self) -> str:
        """A line for each number: quantity, its place on each axis from 1, mean and spread."""
        out = io.StringIO()
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(("quantity", "first axis", "second axis", "mean", "spread over prompts"))
        for name, value in self.numbers.items():
            spread = self.spread.get(name)
            table = value.reshape(len(value), -1) if value.dim() else value.reshape(1, 1)
            around = None if spread is None else spread.reshape(table.shape)
            for row, line in enumerate(table.tolist()):
                for column, number in enumerate(line):
                    told = "" if around is None else around[row, column].item()
                    second = column + 1 if value.dim() > 1 else ""
                    rows.writerow((name, row + 1, second, number, told))
        return out.getvalue()


def _title(about: dict) -> str:
    quick = (
        " A quick look: few prompts and loops, not the paper's protocol." if about["quick"] else ""
    )
    return (
        f"{about['model']} {about['notation']}: {about['prompts']} (paper: 256 of GSM8K's test "
        f"split), {about['loops']} loops (paper: 128), {about['dtype']}.{quick}"
    )


def _plain(value):
    """Numbers that are not finite become None, which JSON has."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(report: Report) -> str:
    rows = [
        f"<tr><td>{one.claim}</td><td>{html.escape(one.says)}</td>"
        f"<td>{html.escape(one.paper)}</td><td>{html.escape(one.ours)}</td></tr>"
        for one in report.claims
    ]
    rows += [
        f"<tr><td>{FIGURES[name][0]}</td><td>{html.escape(FIGURES[name][1])}</td><td></td>"
        f"<td>left out: {html.escape(reason)}</td></tr>"
        for name, reason in report.left_out.items()
    ]
    head = f"<tr><th>claim</th><th>{PAPER} says</th><th>its number</th><th>this model</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
       color: #1a1a1a; background: #fff; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem;
         border-bottom: 1px solid #ccc; }
img { max-width: 100%; height: auto; }
figure { margin: 1rem 0 2rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f4f4f4; padding: .6rem; }
"""


def _page(report: Report, images: dict[str, bytes]) -> str:
    """The whole report as one page without anything outside of it."""
    about = report.about
    parts = [f"<h1>{html.escape(str(about['model']))}, looped</h1>"]
    parts.append(f"<p>{html.escape(_title(about))}</p>")
    parts.append(f"<h2>The claims of {PAPER}</h2>{_table(report)}")
    parts.append(
        "<p>A claim's number stands beside ours where the paper's text, as far as we have it, "
        "prints one. C8 is about untrained models and has a command of its own: <code>looplab "
        "grid</code>. C1 to C3 are proved, C13 is about models trained for the purpose; both are "
        "in the course's notebooks.</p>"
    )
    for name, picture in report.figures.items():
        figure = next(one for one in FIGURES if name == one or name.startswith(f"{one}-"))
        claim, what = FIGURES[figure]
        if name == figure:
            parts.append(f'<h2 id="{name}">{claim}: {html.escape(what)}</h2>')
        image = base64.b64encode(images[name]).decode()
        width = Image.open(io.BytesIO(images[name])).width // SHARP
        alt = html.escape(picture.alt, quote=True)
        source = f"data:image/png;base64,{image}"
        parts.append(f'<figure><img alt="{alt}" width="{width}" src="{source}"></figure>')
    parts.append("<h2>How it was made</h2><table><tbody>")
    parts += [
        f"<tr><th>{html.escape(name)}</th><td>{_told(value)}</td></tr>"
        for name, value in about.items()
    ]
    parts.append("</tbody></table>")
    title = html.escape(f"{about['model']}: {PAPER} reproduced")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _told(value) -> str:
    if isinstance(value, dict):
        return "<br>".join(html.escape(f"{name}: {one}") for name, one in value.items())
    return html.escape(str(value))
