"""onnxruntime-web, fetched from npm once: one pinned version, of which three files are taken."""

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
# What npm says of this version, dist.integrity: sha512 of the archive.
INTEGRITY = (
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZ"
    "ClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
SCRIPT = "ort.wasm.min.js"  # one global name, `ort`
GLUE = "ort-wasm-simd-threaded.mjs"  # what SCRIPT imports
WASM = "ort-wasm-simd-threaded.wasm"  # the runtime itself, on the processor, 14 MB


class RuntimeMissingError(RuntimeError):
    """The runtime cannot be had here; the message says why, and what to do."""


def fetch(cache: Path) -> Path:
    """The folder with the runtime's three files, in `cache`, fetched by npm where it is not there.

    Raises RuntimeMissingError where npm is missing or fails, or where the archive is another one.
    """
    folder = cache / f"{PACKAGE}-{VERSION}"
    if folder.exists():
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeMissingError(
            f"npm is not installed, and {PACKAGE} {VERSION} comes from it: install Node.js"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as place:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--silent"]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True)
        archives = list(Path(place).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise RuntimeMissingError(
                f"npm could not fetch {PACKAGE} {VERSION} ({said[-1] if said else 'no reason'}): "
                "check the connection, and build again"
            )
        check(archives[0].read_bytes())
        taken = Path(place) / "taken"
        taken.mkdir()
        with tarfile.open(archives[0]) as archive:
            for name in (SCRIPT, GLUE, WASM):
                (taken / name).write_bytes(archive.extractfile(f"package/dist/{name}").read())
        taken.rename(folder)  # whole or not at all
    return folder


def check(archive: bytes) -> None:
    """Raise RuntimeMissingError for an archive that is not the pinned one.

    >>> check(b"another")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    looplab.course.explore.runtime.RuntimeMissingError: npm gave another onnxruntime-web 1.30.0 ...
    """
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if found != INTEGRITY:
        raise RuntimeMissingError(
            f"npm gave another {PACKAGE} {VERSION} than the pinned one ({found[:20]}..., expected "
            f"{INTEGRITY[:20]}...): it is not used; see what stands between you and npm"
        )
