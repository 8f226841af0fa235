"""Linux namespaces around a run, where the system lets a user make them."""

import functools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from looplab.course.build import ROOT

# What of the course an answer could copy from.
SOLUTIONS = (
    ROOT / "chapters",
    ROOT / "tests",
    ROOT / ".git",
    ROOT / "site",  # as `looplab site` makes it: with the solved chapters
    ROOT / ".site-cache",
    ROOT / "looplab" / "course" / "exercises" / "__pycache__",
)

# Arguments: a Python, the run's folder, what to hide, --, the command. Kernels are spoken to over
# loopback, which a new network namespace has switched off. The list of mounts escapes blanks.
# Without capabilities none of this can be undone from inside.
SCRIPT = r"""
set -e
"$1" -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh", b"lo", 1))'
run=$2; shift 2
mount --bind "$run" "$run"; cd "$run"
if [ -d /dev/shm ]; then mount -t tmpfs none /dev/shm; fi
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mount -t tmpfs none "$1"
    elif [ -e "$1" ]; then mount --bind /dev/null "$1"; fi
    shift
done
shift
while read -r _ point _ options _; do
    point=$(printf "$(printf %s "$point" | sed 's/%/%%/g')")
    case $point in "$run" | /proc | /proc/* | /sys | /sys/* | /dev | /dev/*) continue ;; esac
    keep=ro
    for one in nosuid nodev noexec noatime nodiratime relatime; do
        case ,$options, in *,$one,*) keep=$keep,$one ;; esac
    done
    mount -o "remount,bind,$keep" "$point" 2>/dev/null || true
done </proc/self/mounts
exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
"""


def isolated(folder: Path, hidden: Iterable[Path] = ()) -> list[str]:
    """The command in front of a run in this folder, [] where the system does not allow it.

    Inside there is no network, no other process is seen, nothing outside of `folder` can be
    written, and the solutions, the other checks and the paths in `hidden` are not there.
    """
    return _command(folder, hidden) if available() else []


@functools.cache
def available() -> bool:
    """True where runs can be isolated: tried once, and looked at from inside."""
    if not sys.platform.startswith("linux") or not all(map(shutil.which, ("unshare", "setpriv"))):
        return False
    look = f'test ! -w "{ROOT}" && test ! -e "{SOLUTIONS[0]}/solved" && touch here'
    with tempfile.TemporaryDirectory(prefix="grading-") as name:
        try:
            command = [*_command(Path(name), ()), "sh", "-c", look]
            tried = subprocess.run(command, cwd=name, capture_output=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return False
        return tried.returncode == 0


def _command(folder: Path, hidden: Iterable[Path]) -> list[str]:
    checks = sorted((ROOT / "looplab" / "course" / "exercises").glob("ch??.py"))
    # What the run itself needs cannot be hidden from it.
    needed = [Path(place).resolve() for place in (ROOT, sys.prefix, sys.base_prefix, folder)]
    wanted = [path.resolve() for path in hidden]
    wanted = [p for p in wanted if not any(place.is_relative_to(p) for place in needed)]
    paths = [str(path) for path in (*SOLUTIONS, *checks, *wanted) if path.exists()]
    command = ["unshare", "-Urnpfm", "--kill-child", "--mount-proc", "sh", "-c", SCRIPT, "sh"]
    return [*command, sys.executable, str(folder.resolve()), *paths, "--"]
