"""A report on a loop: measured, told, drawn and written."""

import html
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from looplab.basics.provenance import provenance
from looplab.basics.threads import faster_threads, use_threads
from looplab.basics.writing import write_text
from looplab.plots import Picture
from looplab.reporting.cautions import cautions
from looplab.reporting.drawing import draw
from looplab.reporting.measuring import measure
from looplab.reporting.models import open_model
from looplab.reporting.own_file import open_file
from looplab.reporting.page import page
from looplab.reporting.protocol import QUICK, Protocol
from looplab.reporting.sentences import PARTS


@dataclass(frozen=True, eq=False)
class Report:
    """What a loop does. `told` is the JSON, numbers and sentences; `pictures` are drawn from it."""

    told: dict
    pictures: dict[str, Picture]

    @property
    def page(self) -> str:
        """The whole report as one HTML page."""
        return page(self.told, self.pictures)

    def __repr__(self):
        lines = [f"{self.told['name']}: {self.told['loop']}; {self.told['inputs']}"]
        for part, said in self.told["sentences"].items():
            lines += ["", PARTS[part][0], *(f"  {one}" for one in said)]
        lines += [f"\nWarning: {one['says']}\n  ({one['place']})" for one in self.told["warnings"]]
        return "\n".join(lines)

    def _repr_html_(self):
        # In a frame of its own: the page's style is not the notebook's.
        title = html.escape(f"report on {self.told['name']}", quote=True)
        inside = html.escape(self.page, quote=True)
        return f'<iframe title="{title}" width="100%" height="720" srcdoc="{inside}"></iframe>'

    def save(self, folder: str | Path) -> Path:
        """Write report.html and report.json into a new folder; FileExistsError where it exists."""
        folder = Path(folder).expanduser()
        folder.mkdir(parents=True)
        said = json.dumps(self.told, indent=1, ensure_ascii=False, allow_nan=False)
        write_text(folder / "report.json", said + "\n")
        write_text(folder / "report.html", self.page)
        return folder


def report(
    source: str | Path,
    prompts: str | Path | None = None,
    protocol: Protocol = QUICK,
    *,
    device: torch.device | str = "cpu",
    say: Callable[[str], object] = lambda what: None,
) -> Report:
    """Measure a model, or the loop of a Python file, whose code is run.

    `source` is a name, folder or hub id as `looplab trace` takes it, or a file that ends in .py.
    `prompts` is a file of them; without one a model of the course has its task, another texts of
    ours, and a file its inputs(). `say` is told what is being measured. Raises ValueError, naming
    what is wrong and the remedy, for a model or file that has no loop to report on, and
    FileNotFoundError for a file that is not there.
    """
    where, name = torch.device(device), str(source)
    prompts = None if prompts is None else Path(prompts)
    if name.endswith(".py"):
        subject = open_file(Path(name).expanduser(), prompts, protocol)
    else:
        subject = open_model(name, prompts, protocol, where)
    case = subject.some(min(subject.count, 8), None)
    with torch.no_grad():  # many threads only wait for each other on small states
        threads = faster_threads(lambda: [case.step(case.start, 0) for _ in range(8)])
    with use_threads(threads):
        begun = time.perf_counter()
        with torch.no_grad():
            case.step(case.start, 0)
        once = (time.perf_counter() - begun) * subject.count / len(case.start)
        say(
            f"{subject.count} inputs, {once:.2g} seconds for a pass over all; {protocol.loops} to "
            f"{protocol.loops * protocol.patience} passes; then starts, multipliers, precisions"
        )
        told = measure(subject, protocol, say)
    told["quick"] = protocol.starts <= QUICK.starts
    told["made_with"] = provenance(where)
    told["sentences"] = {part: says(told) for part, (_, says) in PARTS.items()}
    told["warnings"] = [
        {"code": one.code, "says": one.says, "place": one.place, "link": one.link}
        for one in cautions(told)
    ]
    return Report(told, draw(told))
