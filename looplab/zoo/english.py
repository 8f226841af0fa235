"""The course's English: a text, and the small language models that learned from it.

The text are State of the Union addresses (data/make_text.py), in 2048 byte-pairs; whole years are
held out. The models were trained by data/make_language.py, in minutes each: three kinds with their
weights, and the held-out losses of all kinds and seeds.
"""

from functools import cache
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from looplab.basics.tensor_files import read_tensors, reading
from looplab.model import LoopedTransformer
from looplab.model.given import Words
from looplab.zoo.checkpoints import names_in, read_card, read_model
from looplab.zoo.files import read_json
from looplab.zoo.tokenizers import tokenizer

TEXT = Path(__file__).resolve().parents[2] / "data" / "text"
FOLDER = TEXT.parent / "english"
REMEDY = "get it again, for example with git checkout"


def names() -> list[str]:
    """Models that `load` knows.

    >>> names()
    ['drawn', 'loop', 'plain12']
    """
    return names_in(FOLDER)


def load(name: str) -> LoopedTransformer:
    """A small language model in eval mode, float32, on the CPU; it takes and writes text.

    "drawn" was trained with drawn numbers of loops and has an injection, "loop" always with four
    and has none, "plain12" has 12 layers and does not loop. Raises ValueError as
    `checkpoints.load` does.

    >>> load("drawn").config.notation
    '(2, 4⊗4, 2)_I'
    """
    model = read_model(FOLDER, name)
    model.words = words()
    return model


def card(name: str) -> dict:
    """What a model is: config, recipe, hash. ValueError naming the known models.

    >>> card("loop")["recipe"]["loops"]
    '4'
    """
    return read_card(FOLDER, name)


@cache
def words() -> Words:
    """The text's tokenizer: words()(text) are ids, words().decode(ids) is text.

    >>> words().decode(words()("the people"))
    'the people'
    """
    return tokenizer(TEXT)


def tokens(part: str) -> Tensor:
    """The tokens of the "train" or the "held" speeches, [token] int16, one speech after the other.

    >>> len(tokens("held"))
    226302
    """
    path = TEXT / "tokens.safetensors"
    if part not in ("train", "held"):
        raise ValueError(f"the text has no part {part!r}: expected 'train' or 'held'")
    with reading(path, "is no readable file of tokens", REMEDY), safe_open(path, "pt") as file:
        return file.get_tensor(part)


def text_card() -> dict:
    """Where the text is from, its years, and how much of it there is.

    >>> text_card()["speeches"]
    {'train': 213, 'held': 20}
    """
    return read_json(TEXT / "card.json")


def losses() -> dict[str, Tensor]:
    """Held-out loss of every kind and seed, nats a token: "drawn-0" -> [loop, piece].

    Loops are those of `measured()["loops"]`; a model that does not loop has one row. The pieces
    are those of `train.even_pieces(tokens("held"), 64, 128)`.

    >>> losses()["loop-1"].shape
    torch.Size([11, 64])
    """
    path = FOLDER / "losses.safetensors"
    with reading(path, "is no readable file of losses", REMEDY):
        return read_tensors(path)[1]


def measured() -> dict:
    """What else was measured of every kind and seed, by data/make_language.py.

    >>> measured()["loops"][:4]
    [1, 2, 3, 4]
    """
    return read_json(FOLDER / "measured.json")
