"""Look at this machine and say what may get in the course's way; changes nothing.

    looplab doctor

Every finding has a remedy. The exit status is 1 where something will not work.
"""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("torch", "numpy", "matplotlib", "safetensors", "ipywidgets", "anywidget")
MEMORY = 2 * 2**30  # bytes free for a kernel and a browser; a chapter takes up to 1 GB
DISK = 2**28  # bytes free for checkpoints and traces that a learner saves


@dataclass(frozen=True)
class Finding:
    """level: "ok", "note" (works, worth knowing) or "problem"; remedy: what to do."""

    what: str
    level: str
    told: str
    remedy: str = ""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="looplab doctor", description=__doc__.split("\n")[0])
    parser.parse_args(arguments)
    findings = list(examine())
    for one in findings:
        print(f"{one.level:8s} {one.what:12s} {one.told}")
        if one.remedy:
            print(f"{'':21s} -> {one.remedy}")
    problems = sum(one.level == "problem" for one in findings)
    print(f"{problems} problems" if problems else "Nothing in the way.")
    return int(problems > 0)


def examine() -> Iterator[Finding]:
    """All findings, in the order in which a person should read them."""
    yield python()
    yield from packages()
    yield device()
    yield memory()
    yield disk(Path.cwd())
    yield widgets()
    yield browser()


def python(found: tuple[int, int] = sys.version_info[:2]) -> Finding:
    told = f"Python {found[0]}.{found[1]} at {sys.executable}"
    if (3, 11) <= found <= (3, 13):
        return Finding("python", "ok", told)
    remedy = "install Python 3.11, 3.12 or 3.13 and run course.py with it"
    return Finding("python", "problem", told, remedy)


def packages(requirements: Path = ROOT / "requirements.txt") -> Iterator[Finding]:
    """The tested set against what is installed: another version is a note."""
    if not requirements.exists():
        yield Finding("packages", "note", "no requirements.txt beside looplab: nothing to compare")
        return
    tested = dict(re.findall(r"^([\w.-]+)==(\S+)", requirements.read_text("utf-8"), re.M))
    missing, other = [], []
    for name, wanted in tested.items():
        try:
            found = version(name).split("+")[0]
        except PackageNotFoundError:
            missing.append(name)
        else:
            if found != wanted:
                other.append(f"{name} {found} (tested {wanted})")
    again = "run python3 course.py lab again: it installs the tested set into .venv"
    if missing:
        level = "problem" if set(missing) & set(NEEDED) else "note"
        yield Finding("packages", level, f"not installed: {', '.join(missing)}", again)
    if other:
        yield Finding("packages", "note", f"other versions: {', '.join(other)}", again)
    if not missing and not other:
        yield Finding("packages", "ok", f"all {len(tested)} are the tested versions")


def device() -> Finding:
    try:
        import torch
    except ImportError as error:
        remedy = "run python3 course.py lab again"
        return Finding("torch", "problem", f"torch cannot be imported: {error}", remedy)
    threads = f"{torch.get_num_threads()} threads on {os.cpu_count()} cores"
    if torch.cuda.is_available():
        told = f"torch {torch.__version__}, {torch.cuda.get_device_name()}, {threads}"
        return Finding("torch", "ok", told)
    told = f"torch {torch.__version__} on the CPU, {threads}"
    return Finding("torch", "ok", f"{told}; no chapter needs a GPU")


def memory(free: int | None = None) -> Finding:
    if free is None:
        try:
            import psutil
        except ImportError:
            return Finding("memory", "note", "unknown: psutil is not installed")
        free = psutil.virtual_memory().available
    told = f"{free / 2**30:.1f} GB free"
    if free >= MEMORY:
        return Finding("memory", "ok", told)
    remedy = "close other programs and other notebooks' kernels (Kernel, Shut Down All Kernels)"
    return Finding("memory", "note", told, remedy)


def disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    told = f"{free / 2**30:.1f} GB free in {folder}"
    if not os.access(folder, os.W_OK):
        remedy = "copy the course to a folder of your own, or what you write cannot be saved"
        return Finding("disk", "problem", f"{folder} cannot be written to", remedy)
    if free < DISK:
        return Finding("disk", "problem", told, "free some space, or your work cannot be saved")
    return Finding("disk", "ok", told)


def widgets() -> Finding:
    try:
        found = [f"{name} {version(name)}" for name in ("ipywidgets", "anywidget")]
    except PackageNotFoundError as error:
        remedy = "run python3 course.py lab again; film strips show the same without sliders"
        return Finding("widgets", "problem", f"{error.name} is not installed", remedy)
    told = f"{', '.join(found)}; if a slider stays a line of text, reload the page and run its cell"
    return Finding("widgets", "ok", told)


def browser() -> Finding:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found:
        return Finding("browser", "ok", f"{found}, for the browser tests")
    told = "no Chromium for the browser tests; any browser will do to learn"
    return Finding("browser", "note", told, "install Chromium or Chrome if you want to run them")
