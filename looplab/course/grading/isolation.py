"""Linux namespaces around a run, where the system lets a user make them.

A run gets a root of its own, which holds nothing but what is named here: what is not there needs no
hiding, whatever it is, another submission, a built copy of the course, or the socket of a daemon.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from looplab.course.build import ROOT

# What a run sees of the system; of /etc what programs need, and no secrets.
SYSTEM = (
    *("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr", "/nix/store", "/gnu/store"),
    *("/etc/alternatives", "/etc/fonts", "/etc/group", "/etc/ld.so.cache", "/etc/localtime"),
    *("/etc/nsswitch.conf", "/etc/passwd", "/etc/ssl/openssl.cnf", "/etc/terminfo"),
    "/sys/devices/system",  # where torch counts the processors
)
PYTHON = ("bin", "lib", "lib64", "share", "etc", "pyvenv.cfg")  # of a prefix, which may hold more
COURSE = ("looplab", "looplab_nbval", "data")
PACKAGES = ("site-packages", "dist-packages")
EXERCISES = ROOT / "looplab" / "course" / "exercises"
DISK = 256 * 2**20  # bytes of all that a run may write, and as much in /dev/shm
LOOK = """
test ! -e "$2/chapters" && test ! -s "$2/looplab/course/exercises/ch00.py" &&
test ! -w "$2/looplab" && touch here && "$1" -c 'import ssl, looplab_nbval.cause'
"""


def isolated(
    folder: Path, hidden: Iterable[Path] = (), disk: int = DISK, bound: Iterable[Path] = ()
) -> list[str]:
    """The command in front of a run in this folder, [] where the system does not allow it.

    Inside there is no network, no other process, and of the files only the system's, Python's and
    the course's without its answers; paths in `hidden` are not there wherever they lie. Nothing is
    written but into `folder / "work"`, which holds `disk` bytes and begins with a copy of what is
    in the outer one, into as much of /dev/shm, and into the files in `bound`.
    """
    return _command(folder, hidden, disk, bound) if available() else []


@functools.cache
def available() -> bool:
    """True where runs can be isolated: tried once, and looked at from inside."""
    if not sys.platform.startswith("linux") or not all(map(shutil.which, ("unshare", "setpriv"))):
        return False
    with tempfile.TemporaryDirectory(prefix="grading-") as name:
        Path(name, "work").mkdir()
        look = ["sh", "-c", LOOK, "sh", sys.executable, str(ROOT)]
        try:
            tried = subprocess.run(
                [*_command(Path(name), (), DISK, ()), *look],
                cwd=name,
                env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(ROOT)},
                capture_output=True,
                timeout=20,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return tried.returncode == 0


def cautions() -> list[str]:
    """What a teacher has to know of this machine before submissions run on it, a line each."""
    told = []
    if not available():
        told.append("No Linux namespaces here: submissions run with your rights and your network.")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        told.append("You are root, and submissions run as you: grade as an ordinary user instead.")
    return told


def _command(folder: Path, hidden: Iterable[Path], disk: int, bound: Iterable[Path]) -> list[str]:
    folder, shown = folder.resolve(), _shown()
    # What the run itself needs cannot be hidden from it.
    needed = [*map(Path, shown), folder]
    unseen = [EXERCISES / "__pycache__", *sorted(EXERCISES.glob("ch??.py"))]
    unseen += [p for p in map(Path.resolve, hidden) if not any(n.is_relative_to(p) for n in needed)]
    asked = {
        "folder": str(folder),
        "disk": disk,
        "shown": shown,
        "hidden": [str(path) for path in unseen],
        "bound": [str(path.resolve()) for path in bound],
    }
    script = Path(__file__).with_name("enclosed.py")
    begin = ["unshare", "-Urnpfmiu", "--kill-child", sys.executable, "-I", "-S", str(script)]
    return [*begin, json.dumps(asked)]


def _shown() -> list[str]:
    """The files and folders that a run sees, outer ones first."""
    prefixes = (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)
    python = [f"{prefix}/{part}" for prefix in prefixes for part in PYTHON]
    python += [place for place in sys.path if Path(place).name in PACKAGES]
    link = Path(sys.executable)
    while link.is_symlink():
        link = link.parent / link.readlink()
        python.append(str(link.parent))
    python = [
        form for place in python for form in (os.path.abspath(place), os.path.realpath(place))
    ]
    wanted = [*SYSTEM, *python, *(str(ROOT / part) for part in COURSE)]
    shown = []
    for place in sorted(dict.fromkeys(wanted), key=lambda place: place.count("/")):
        inside = any(Path(place).is_relative_to(other) for other in shown)
        if os.path.exists(place) and not inside:
            shown.append(place)
    return shown
