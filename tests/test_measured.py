"""Every sentence labelled *measured here* names cells, and says nothing that they do not show."""

import json
import re

import pytest

from looplab.course import build
from looplab.course.measured import Claim, claims, unfounded

SOLVED = [build.target(source, "solved") for source in build.sources()]


@pytest.mark.parametrize("notebook", SOLVED, ids=lambda path: path.stem)
def test_what_is_measured_here_rests_on_cells_that_show_it(notebook):
    wrong = [(claim.cell, told) for claim in claims(notebook) for told in unfounded(claim)]
    assert not wrong


@pytest.mark.parametrize("notebook", SOLVED, ids=lambda path: path.stem)
def test_no_label_is_overlooked(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    prose = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    labels = re.findall(r"\*\*(?:Measured|[^*a-z][^*]*, measured) here", prose)
    assert len(labels) <= sum(claim.text.count("easured here") for claim in claims(notebook))


def test_a_number_that_no_cell_shows_is_found_out():
    claim = Claim("03", "text", "**Measured here.** It is .98, or 2 %.", ("one",), ("0.981 0.03",))
    assert unfounded(claim) == ["2 % is not among what one shows"]
    assert unfounded(claim._replace(shown=("0.981 0.0204",))) == []
    assert unfounded(claim._replace(shown=("",)))[0] == "one shows nothing"
