"""The course's Hyperloops: models with four streams, and what was measured of them and their peers.

Trained by data/make_hyperloop.py: models of the course's English, of the size and recipe of
`looplab.zoo.english`'s *loop*, and models of flood fill.
"""

from pathlib import Path

from torch import Tensor

from looplab.basics.tensor_files import read_tensors, reading
from looplab.model import LoopedTransformer
from looplab.zoo import english
from looplab.zoo.checkpoints import names_in, read_card, read_model
from looplab.zoo.files import read_json

FOLDER = Path(__file__).resolve().parents[2] / "data" / "hyperloop"


def names() -> list[str]:
    """Models that `load` knows.

    >>> names()
    ['flood_hyper', 'flood_loop', 'flood_mhc', 'flood_shared', 'hyper']
    """
    return names_in(FOLDER)


def load(name: str) -> LoopedTransformer:
    """A trained model in eval mode, float32, on the CPU; "hyper" takes and writes text.

    Raises ValueError as `looplab.zoo.checkpoints.load` does.

    >>> model = load("hyper")
    >>> model.config.notation, model.config.streams
    ('(2, 4⊗4, 2)', 4)
    """
    model = read_model(FOLDER, name)
    if not name.startswith("flood"):
        model.words = english.words()
    return model


def card(name: str) -> dict:
    """What a model is: config, recipe, hash. ValueError naming the known models.

    >>> card("hyper")["recipe"]["loops"]
    '4'
    """
    return read_card(FOLDER, name)


def losses() -> dict[str, Tensor]:
    """Held-out loss of every kind and seed, nats a token: "hyper-0" -> [loop, piece].

    Loops are those of `measured()["loops"]`, and the pieces those of `looplab.zoo.english.losses`.

    >>> losses()["one-1"].shape
    torch.Size([11, 64])
    """
    path = FOLDER / "losses.safetensors"
    with reading(path, "is no readable file of losses", english.REMEDY):
        return read_tensors(path)[1]


def measured() -> dict:
    """What else was measured of every kind and seed.

    >>> sorted(measured()["models"]["flood_hyper-0"])[:2]
    ['exact', 'exact beyond']
    """
    return read_json(FOLDER / "measured.json")
