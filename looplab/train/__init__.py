"""One short training loop for looped models, and the table that judges what it made."""

from looplab.train.fitting import History, fit
from looplab.train.recipe import PoissonLogNormalLoops, Recipe, UniformLoops
from looplab.train.table import AccuracyTable, accuracy_table
from looplab.train.text import even_pieces, text_pieces

__all__ = [
    "AccuracyTable",
    "History",
    "PoissonLogNormalLoops",
    "Recipe",
    "UniformLoops",
    "accuracy_table",
    "even_pieces",
    "fit",
    "text_pieces",
]
