"""A Sphinx extension: formulas as MathML, which browsers draw themselves, without a script.

The converter is docutils' own.
"""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import SphinxError

_ACCENT = re.compile(r"\\(?:hat|bar|tilde|dot|vec)\s*(?:\w|\{[^{}]*\})\s*[_^]")
_BAR = re.compile(r"<mo( class=\"\w+\")?>‖")


def setup(app):
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mathml(tex: str, block: bool = False) -> str:
    r"""TeX as MathML; SphinxError naming a formula that cannot be converted.

    >>> mathml("x_t").count("<msub>")
    1
    """
    if _ACCENT.search(tex):
        raise SphinxError(
            f"the formula {tex!r}: write \\hat{{h_t}}, since docutils sets the index of "
            "\\hat h_t below the letter"
        )
    try:
        made = tex2mathml(_plain(tex.strip()), as_block=block)
    except MathError as error:
        raise SphinxError(f"the formula {tex.strip()!r} cannot become MathML: {error}") from error
    # As in TeX: only with \left would a norm's bars grow with the highest thing in the line.
    return made if r"\left" in tex else _BAR.sub(r'<mo stretchy="false"\1>‖', made)


def _plain(tex: str) -> str:
    r"""The same formula in the part of TeX that docutils reads rightly.

    >>> print(_plain(r"\tfrac12 x^10 \texttt{a}"))
    \tfrac{1}{2} x^{1}0 \mathtt{a}
    """
    # It takes a run of digits for one argument, where TeX takes the first digit.
    tex = re.sub(r"(\\[td]?frac)\s*(\d)\s*(\d)", r"\1{\2}{\3}", tex)
    tex = re.sub(r"([_^]|\\sqrt)\s*(\d)(?=\d)", r"\1{\2}", tex)
    # Typewriter letters have another name there.
    return tex.replace(r"\texttt", r"\mathtt")


def _inline(writer, node):
    writer.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def _display(writer, node):
    writer.body.append(f'<div class="looplab-formula">{mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode
