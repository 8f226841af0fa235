"""Are the files of a folder the ones that the hub has? It says a hash of each, and keeps it.

In the hub's cache a file is a link to `blobs/HASH`; a folder made by `hf download --local-dir` has
`.cache/huggingface/download/FILE.metadata`. Large files have a SHA-256 there, small ones the hash
that git gives them. IFM's folders also bring a list of their own.
"""

import hashlib
import re
from pathlib import Path

from looplab.basics.tensor_files import reading
from looplab.zoo.files import read_json

MANIFEST = "artifact_manifest.json"
_BLOCK = 2**22
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def known_hash(file: Path) -> str | None:
    """The hash under which the hub keeps a file; None where nothing here says it.

    >>> known_hash(Path("config.json")) is None
    True
    """
    if file.is_symlink():
        target = Path(file.parent, file.readlink())
        if target.parent.name == "blobs" and _HASH.fullmatch(target.name):
            return target.name
    said = file.parent / ".cache" / "huggingface" / "download" / f"{file.name}.metadata"
    try:
        lines = said.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    etag = lines[1].strip() if len(lines) > 1 else ""
    return etag if _HASH.fullmatch(etag) else None


def listed_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file by the folder's own list; empty where it has none.

    Files of text that are not fetched, such as README.md, are left out. Raises ValueError naming
    the list where it is damaged.

    >>> listed_hashes(Path("."))
    {}
    """
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    with reading(path, "is damaged", "get this file again"):
        listed = {one["path"]: one["sha256"] for one in read_json(path)["files"]}
        if not all(_HASH.fullmatch(said) for said in listed.values()):
            raise ValueError("what it calls a SHA-256 is none")
    return {name: said for name, said in listed.items() if name.endswith((".json", ".safetensors"))}


def hash_of(file: Path, like: str) -> str:
    """The hash of a file, of the kind that `like` is: SHA-256, or git's of a blob.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "empty").touch()
    ...     hash_of(Path(folder, "empty"), "0" * 40)
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    if len(like) == 64:
        told = hashlib.sha256()
    else:
        told = hashlib.sha1(f"blob {file.stat().st_size}\0".encode(), usedforsecurity=False)
    with file.open("rb") as data:
        while block := data.read(_BLOCK):
            told.update(block)
    return told.hexdigest()
