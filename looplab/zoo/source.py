"""Where a model's files are: a folder of yours, or the Hugging Face hub."""

import re
from pathlib import Path

# Commits whose tensor names and config this package was written against.
PINNED = {
    "tomg-group-umd/huginn-0125": "bb6621b65e90b6a4b9b29ef88dc83866d450470c",
    "ByteDance/Ouro-1.4B": "574fa66cb8bf5abdc979642d01cf2b79b16bfab1",
    "ByteDance/Ouro-2.6B": "1ed04250da1a9936042725d302e81c8fa2ab5abd",
    "SandyResearch/parcae-370m": "439284464ee4999bd1f762da7d044613a4828efe",
}
# Weights and numbers only: Python files are never fetched, and a pickle only where there is nothing
# else and it is opened as tensors only.
FILES = ("*.json", "*.safetensors")
_PICKLES = {  # beginning of a hub id, in small letters -> files that are fetched besides
    "sandyresearch/parcae-": ("pytorch_model.bin",),
    "jacobfa1/attractor-": ("model.pt", "pytorch_model.bin"),
    "ahiok/looped-fineweb": ("pytorch_model.bin",),
}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def find(source: str | Path, revision: str | None = None) -> Path:
    """Folder with the files of `source`, a folder or a hub id; a hub id is downloaded once.

    Raises ValueError naming a source that is neither, and ConnectionError with the remedy when the
    hub cannot be reached and the model has not been downloaded before.

    >>> find(".").is_dir()
    True
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ValueError(
                f"revision={revision!r} with the folder {folder}: only hub models have revisions"
            )
        return folder
    if folder.suffix.lower() == ".gguf":
        if folder.is_file():
            return folder
        raise ValueError(f"no file {folder}: give the path of a GGUF file that is there")
    if folder.exists():
        raise ValueError(f"{folder} is a file: name the folder that holds it and config.json")
    if isinstance(source, Path) or not _HUB_ID.fullmatch(source):
        raise ValueError(
            f"no folder {folder}: give a folder with config.json and *.safetensors, "
            "or a hub id like 'ByteDance/Ouro-1.4B'"
        )
    return _download(source, revision)


def _download(name: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError:
        raise ImportError(f"{name} is on the hub: pip install huggingface_hub") from None
    revision = revision or PINNED.get(name)
    files = list(FILES)
    for begin, pickles in _PICKLES.items():
        if name.lower().startswith(begin):
            files += pickles
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=files))
    except errors.GatedRepoError as error:
        raise PermissionError(
            f"{name} asks for its licence to be accepted: do so on https://huggingface.co/{name}, "
            "then log in with `hf auth login`"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        at = f" at revision {revision}" if revision else ""
        raise ValueError(f"the hub has no model {name}{at}, and there is no such folder") from error
    except OSError as error:  # no network, an unreachable hub, an interrupted download
        wanted = " ".join(f"--include '{pattern}'" for pattern in files)
        pin = f"--revision {revision} " if revision else ""
        raise ConnectionError(
            f"{name} is no folder here and cannot be had from the hub ({type(error).__name__}). "
            f"Where there is a network, run `hf download {name} {pin}{wanted} --local-dir FOLDER`, "
            "then load FOLDER"
        ) from error
