"""Look at this machine and say what may get in the course's way; changes nothing.

    looplab doctor              (python3 course.py doctor where looplab itself does not start)

Every finding has a remedy. The exit status is 1 where something will not work.
"""

import argparse
import os
import re
import shutil
import sys
import webbrowser
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CGROUPS = Path("/sys/fs/cgroup")  # where Linux says what a container may use
PEAK = 10**9  # bytes that a chapter may take
MEMORY = 2 * 2**30  # bytes free for a kernel and a browser
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
    return int(report() > 0)


def report() -> int:
    """Print all findings with their remedies; returns the number of problems."""
    findings = list(examine())
    for one in findings:
        print(f"{one.level:8s} {one.what:9s} {one.told}")
        if one.remedy:
            print(f"{'':18s} -> {one.remedy}")
    problems = sum(one.level == "problem" for one in findings)
    counted = "1 problem" if problems == 1 else f"{problems} problems"
    print(counted if problems else "Nothing in the way.")
    return problems


def glance():
    """Print the problems, if there are any: the chapters' first cell calls this."""
    problems = [one for one in _quick() if one.level == "problem"]
    for one in problems:
        print(f"{one.what}: {one.told}\n  -> {one.remedy}")
    if problems:
        print("doctor.report() in a cell says more.")


def examine() -> Iterator[Finding]:
    """All findings, in the order in which a person should read them."""
    yield from _quick()
    yield device()
    yield session()
    yield browser()


def _quick() -> Iterator[Finding]:
    yield python()
    yield from packages()
    yield memory()
    yield disk(Path.cwd())
    yield widgets()


def python(found: tuple[int, int] = sys.version_info[:2]) -> Finding:
    told = f"Python {found[0]}.{found[1]} at {sys.executable}"
    if (3, 11) <= found <= (3, 13):
        return Finding("python", "ok", told)
    remedy = "install Python 3.11, 3.12 or 3.13 and run course.py with it"
    return Finding("python", "problem", told, remedy)


def packages(root: Path = ROOT) -> Iterator[Finding]:
    """What is installed against the ranges that looplab works with, and against the tested set."""
    try:
        tested = (root / "requirements.txt").read_text(encoding="utf-8")
        allowed = (root / "pyproject.toml").read_text(encoding="utf-8")
    except OSError:
        told = "no requirements.txt beside looplab: nothing to compare"
        yield Finding("packages", "note", told, "keep looplab inside the course's folder")
        return
    wanted = dict(re.findall(r"^([\w.-]+)==(\S+)", tested, re.M))
    ranges = _ranges(allowed)
    there = {name: _installed(name) for name in [*ranges, *wanted]}
    again = "python3 course.py lab installs the tested set into the course's .venv"
    missing = [name for name in ranges if there[name] is None]
    if missing:
        yield Finding("packages", "problem", f"not installed: {', '.join(missing)}", again)
    outside = [
        f"{name} {there[name]} (looplab needs {spec})"
        for name, spec in ranges.items()
        if there[name] and not _inside(there[name], spec)
    ]
    if outside:
        yield Finding("packages", "problem", f"does not fit: {', '.join(outside)}", again)
    extra = [name for name in wanted if there[name] is None and name not in ranges]
    if extra:
        told = f"not installed: {', '.join(extra)}; the chapters' exercises do without"
        yield Finding("packages", "note", told, again)
    other = [
        f"{name} {there[name]} (tested {wanted[name]})"
        for name in wanted
        if there[name] and there[name] != wanted[name]
    ]
    if other:
        yield Finding("packages", "note", f"other versions: {', '.join(other)}", again)
    if not (missing or outside or extra or other):
        yield Finding("packages", "ok", f"all {len(wanted)} are the tested versions")


def _ranges(pyproject: str) -> dict[str, str]:
    """What looplab cannot do without: name -> versions it works with."""
    import tomllib

    needed = tomllib.loads(pyproject)["project"]["dependencies"]
    return dict(re.fullmatch(r"([\w.-]+)(.*)", one).groups() for one in needed)


def _installed(name: str) -> str | None:
    try:
        return version(name).split("+")[0]
    except PackageNotFoundError:
        return None


def _inside(found: str, spec: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(spec).contains(found, prereleases=True)


def memory(free: int | None = None) -> Finding:
    """Bytes that are left: of the machine, or of the container that this runs in."""
    if free is None:
        try:
            import psutil
        except ImportError:
            return Finding("memory", "note", "unknown", "install psutil to see it here")
        free = psutil.virtual_memory().available
        left = _left_in_container()
        free = free if left is None else min(free, left)
    told = f"{free / 2**30:.1f} GB free"
    if free >= MEMORY:
        return Finding("memory", "ok", told)
    told += f"; a chapter takes up to {PEAK / 2**30:.1f} GB"
    remedy = "close other programs and other notebooks' kernels (Kernel, Shut Down All Kernels)"
    return Finding("memory", "problem" if free < PEAK else "note", told, remedy)


def _left_in_container() -> int | None:
    """Bytes below the container's limit, None without one; files in the cache can be dropped."""
    for folder, limit, used in (
        (CGROUPS, "memory.max", "memory.current"),
        (CGROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            most, now = ((folder / name).read_text().strip() for name in (limit, used))
            cached = re.search(
                r"^(?:total_)?inactive_file (\d+)", (folder / "memory.stat").read_text(), re.M
            )
        except OSError:
            continue
        if not most.isdigit():  # "max": no limit
            return None
        return int(most) - int(now) + int(cached[1] if cached else 0)
    return None


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
    """The kernel's side of the sliders, and JupyterLab's where it is installed here."""
    again = "run python3 course.py lab again; film strips show the same without sliders"
    try:
        found = [f"{name} {version(name)}" for name in ("ipywidgets", "anywidget")]
    except PackageNotFoundError as error:
        return Finding("widgets", "problem", f"{error.name} is not installed", again)
    told = f"{', '.join(found)}; if a slider stays a line of text, reload the page and run its cell"
    if _installed("jupyterlab"):
        from jupyter_core.paths import jupyter_path

        folders = [Path(place) for place in jupyter_path("labextensions")]
        for name in ("@jupyter-widgets/jupyterlab-manager", "anywidget"):
            if not any((folder / name / "package.json").exists() for folder in folders):
                # Not a problem: the JupyterLab that this kernel serves may be another one.
                lost = f"this Python's JupyterLab lacks {name}: sliders may stay lines of text"
                return Finding("widgets", "note", lost, again)
    return Finding("widgets", "ok", told)


def device() -> Finding:
    try:
        import torch
    except Exception as error:  # a broken installation raises whatever it likes
        remedy = "run python3 course.py lab again"
        return Finding("torch", "problem", f"torch cannot be imported: {error}", remedy)
    threads, cores = torch.get_num_threads(), _cores()
    told = f"torch {torch.__version__}, {threads} threads on {cores} cores, "
    if torch.cuda.is_available():
        told += torch.cuda.get_device_name()
    elif torch.backends.mps.is_available():
        told += "an Apple GPU"
    else:
        told += "no GPU; no chapter needs one"
    if threads > cores:
        remedy = f"start with the environment variable OMP_NUM_THREADS={cores}: it is faster"
        return Finding("torch", "note", told, remedy)
    return Finding("torch", "ok", told)


def _cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = (CGROUPS / "cpu.max").read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or "max": no quota
        return cores


def session() -> Finding:
    """Places that forget a learner's work."""
    place = "Binder" if "BINDER_LAUNCH_HOST" in os.environ else None
    place = "Colab" if "COLAB_RELEASE_TAG" in os.environ else place
    if place is None:
        return Finding("session", "ok", "your files stay where they are when you leave")
    remedy = "run `from looplab import passport; passport.save()` and download the small file"
    return Finding("session", "note", f"{place} forgets your files when you leave", remedy)


def browser() -> Finding:
    """A browser to learn in; the tests need a Chromium, which learners do not."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found:
        return Finding("browser", "ok", f"{found}, for the browser tests too")
    try:
        webbrowser.get()
    except webbrowser.Error:
        remedy = "open the address that JupyterLab prints, from any machine that reaches this one"
        return Finding("browser", "note", "none that Python can open", remedy)
    remedy = "install Chromium or Chrome if you want to run the browser tests"
    return Finding("browser", "note", "there is one to learn in, no Chromium for tests", remedy)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
