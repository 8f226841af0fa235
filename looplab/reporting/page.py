"""A report as one HTML page, with nothing outside of it but links to the chapters."""

import base64
import html
import io
from collections.abc import Mapping

from PIL import Image

from looplab.plots import SHARP, Picture
from looplab.reporting.cautions import cautions
from looplab.reporting.sentences import PARTS
from looplab.reporting.table import report_table

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --page: #fff; --soft: #f3f3f3; --line: #bbb;
        --link: #0b57a4; --mark: #8a3b00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --page: #16181b; --soft: #23262b; --line: #555; --link: #8ec5ff;
          --mark: #ffb27a; }
}
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 62rem; margin: 1.5rem auto;
       padding: 0 1rem; color: var(--ink); background: var(--page); overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
a { color: var(--link); }
a:focus-visible, [tabindex]:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.warnings { list-style: none; padding: 0; }
.warnings li { border: 1px solid var(--line); border-left: 6px double var(--mark);
       padding: .5rem .8rem; margin: .6rem 0; background: var(--soft); }
.warnings strong { color: var(--mark); }
.short { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .5rem; }
.short div { border: 1px solid var(--line); padding: .3rem .6rem; background: var(--soft); }
.short dt { font-size: .85rem; } .short dd { margin: 0; font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem;
       border-bottom: 1px solid var(--line); overflow-wrap: normal; }
th, td { white-space: nowrap; }
.figures { display: flex; flex-wrap: wrap; gap: 0 1rem; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; background: #fff; }
figcaption, .small { font-size: .9rem; }
"""


def page(told: dict, pictures: Mapping[str, Picture]) -> str:
    """The report's page."""
    name = html.escape(told["name"])
    parts = [f"<h1>{name}: a loop, looked at</h1>", f"<p>{html.escape(_about(told))}</p>"]
    parts += [_short(told), _warnings(told)]
    for part, (title, sentences) in PARTS.items():
        parts.append(f'<section aria-labelledby="{part}"><h2 id="{part}">{title}</h2>')
        parts.append(_said(sentences(told)))
        parts.append(_figures(pictures, part))
        if part in _TABLES and (rows := _TABLES[part](told)):
            parts.append(_table(title, rows))
        parts.append("</section>")
    parts.append('<h2 id="how">How it was measured</h2>')
    settings = told["protocol"] | told["made_with"]
    rows = [{"setting": key, "value": str(value)} for key, value in settings.items()]
    parts.append(_table("Settings", rows))
    parts.append(
        '<p class="small">Every number is in report.json beside this page. '
        "<code>looplab compare</code> shows reports beside each other.</p>"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}: a loop, '
        'looked at</title><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


def _said(sentences: list[str]) -> str:
    """A paragraph, or, where it would be a long one, a list."""
    if len(sentences) < 4:
        return f"<p>{html.escape(' '.join(sentences))}</p>"
    return "<ul>" + "".join(f"<li>{html.escape(one)}</li>" for one in sentences) + "</ul>"


_TERMS = {
    "shrinks by": "a step is of the last",
    "multiplier": "largest multiplier",
    "exponent": "largest exponent",
    "one end": "inputs with one end",
    "settles at": "tokens settle at loop",
    "best rule": "best exit rule",
    "saves": "it saves",
    "oracle": "the oracle saves",
}


def _short(told: dict) -> str:
    """The line that `looplab compare` has of it, as a list of terms."""
    (row,) = report_table([told])
    terms = "".join(
        f"<div><dt>{html.escape(_TERMS.get(name, name))}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in row.items()
        if name != "report"
    )
    return f'<h2 id="short">In short</h2><dl class="short">{terms}</dl>'


def _about(told: dict) -> str:
    quick = " A quick look: fewer inputs, loops and starts." if told["quick"] else ""
    return (
        f"{told['loop']}. Inputs: {told['inputs']}. {told['protocol']['loops']} loops, up to "
        f"{told['protocol']['patience']} times as many where it has not come to rest.{quick}"
    )


def _warnings(told: dict) -> str:
    found = cautions(told)
    if not found:
        return '<h2 id="warnings">Warnings</h2><p>None.</p>'
    rows = [
        f"<li><strong>Warning:</strong> {html.escape(one.says)} <a "
        f'href="{html.escape(one.link, quote=True)}">Explained in {html.escape(one.place)}</a></li>'
        for one in found
    ]
    return f'<h2 id="warnings">Warnings</h2><ul class="warnings">{"".join(rows)}</ul>'


def _figures(pictures: Mapping[str, Picture], part: str) -> str:
    """A part's pictures, beside each other where there is room."""
    some = [one for name, one in pictures.items() if name.split("/")[0] == part]
    return f'<div class="figures">{"".join(map(_figure, some))}</div>' if some else ""


def _figure(picture: Picture) -> str:
    png = picture.png()
    width = Image.open(io.BytesIO(png)).width // SHARP
    alt = html.escape(picture.alt, quote=True)
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f'<figure><img alt="{alt}" width="{width}" src="{source}"></figure>'


def _table(title: str, rows: list[dict]) -> str:
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_told(one))}</td>" for one in row.values()) + "</tr>"
        for row in rows
    )
    label = html.escape(f"Table: {title}", quote=True)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _told(value) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _columns(rows: list[dict] | None, names: Mapping[str, str]) -> list[dict]:
    return [{title: row[name] for name, title in names.items()} for row in rows or []]


_TABLES = {
    "tokens": lambda told: _columns(
        (told["tokens"] or {}).get("by_difficulty"),
        {
            "difficulty": "difficulty",
            "tokens": "tokens",
            "settled": "settles (median loop)",
            "answered": "answers for good",
            "right": "share right",
        },
    ),
    "exits": lambda told: _columns(
        (told["exits"] or {}).get("rules"),
        {
            "rule": "rule",
            "loops": "loops a token",
            "saves": "share saved",
            "loss": "above the best",
            "error": "± standard error",
            "threshold": "threshold",
        },
    ),
    "slots": lambda told: _columns(
        told["slots"],
        {
            "slots": "slots",
            "loops": "of",
            "same": "same answers",
            "moved": "KL, nats",
            "loss": "loss above",
            "error": "± standard error",
        },
    ),
    "precision": lambda told: _columns(
        told["precision"],
        {
            "precision": "precision",
            "rests": "share at rest",
            "rounding": "rounding",
            "worst": "still moves by",
            "away": "from the finest, median",
            "same": "same answers",
            "loss": "loss",
        },
    ),
}
