"""Tensors and a header in one safetensors file: written in one stroke, read without surprises."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from looplab.basics.writing import in_one_stroke


def write_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write a safetensors file: whoever reads `path` sees all of it or none.

    The folder is made where there is none. Tensors may be on any device and laid out anyhow;
    clone those that share memory, because each is stored on its own. OSError where the file
    cannot be written.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "new", "x.safetensors")
    ...     write_tensors(file, {"x": torch.ones(2)}, {"made by": "me"})
    ...     read_tensors(file)
    ({'made by': 'me'}, {'x': tensor([1., 1.])})
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with in_one_stroke(path) as partial:
        save_file(tensors, partial, metadata=header)


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Header and tensors of a safetensors file, on the CPU; to be called inside `reading`."""
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def check_format(
    path: str | Path, header: dict[str, str], kind: str, format: str, remedy: str
) -> None:
    """ValueError naming file and remedy unless the header says that the file is of this kind.

    >>> check_format("run.safetensors", {}, "looplab trace", "looplab.trace.1", "record one")
    Traceback (most recent call last):
    ValueError: run.safetensors is not a looplab trace (format None, expected 'looplab.trace.1'): \
record one
    """
    if header.get("format") != format:
        raise ValueError(
            f"{path} is not a {kind} (format {header.get('format')!r}, expected {format!r}): "
            f"{remedy}"
        )


@contextmanager
def reading(path: str | Path, trouble: str, remedy: str) -> Iterator[None]:
    """Turn what a damaged file makes of the block into a ValueError that names file and remedy.

    `trouble` goes on after the file's name: "is not a readable trace". A ValueError that names the
    file already is left as it is, and so is FileNotFoundError: a file that is not there is not
    damaged.

    >>> with reading("run.safetensors", "is not a readable trace", "record it again"):
    ...     {}["config"]
    Traceback (most recent call last):
    ValueError: run.safetensors is not a readable trace ('config'): record it again
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise ValueError(f"{path} {trouble} ({error}): {remedy}") from error
