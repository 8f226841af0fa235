"""What a report was made with: the command, versions, commit, machine."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("looplab", "torch", "transformers", "safetensors", "numpy", "matplotlib")


def provenance(device: torch.device) -> dict[str, str | None]:
    """Versions, looplab's commit where it is a checkout, Python, system and device.

    >>> provenance(torch.device("cpu"))["torch"] == torch.__version__
    True
    """
    names = {"looplab commit": _commit()}
    for package in PACKAGES:
        try:
            names[package] = version(package)
        except PackageNotFoundError:
            names[package] = None
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return names | {
        "python": platform.python_version(),
        "system": platform.system(),
        "device": f"{device.type}, {kind}",
    }


def _commit() -> str | None:
    """The commit of the checkout that this package is in, and whether it was changed since."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    told = []
    for question in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "looplab")):
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *question], capture_output=True, text=True, timeout=20
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode:
            return None
        told.append(done.stdout.strip())
    return told[0] + (", and changes since" if told[1] else "")
