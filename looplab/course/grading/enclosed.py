"""Runs first inside of new namespaces: makes a root that holds nothing but what is named, and goes.

A script of the standard library alone, started by `isolation.py` beside it: its first argument is
JSON, and behind it stands the command to go on with.

    folder    a run's folder, whose `work` is the only place inside to be written: at first it is
              empty, but for a copy of the outer notebook
    disk      bytes that fit into it, and into /dev/shm
    shown     files and folders to be seen, read-only, at their own places
    hidden    those among them not to be seen
    bound     files of `folder` that can be written too: nobody can remove or replace them
"""

import ctypes
import fcntl
import json
import os
import re
import shutil
import socket
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
READ_ONLY, REMOUNT, BIND, RECURSIVE = 1, 32, 4096, 16384  # flags of mount(2)
DETACH = 2  # of umount2(2)
# What a mount forbids cannot be allowed again from inside: statvfs and mount(2) share these bits.
KEPT = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME
RELATIME = {os.ST_RELATIME: 1 << 21}
DEVICES = ("null", "zero", "full", "random", "urandom")
LINKS = {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}
# Another user namespace could mount what it likes; SysV's shared memory is in no folder (in pages).
SETTINGS = {"user/max_user_namespaces": 0, "kernel/shmall": 16384}


def main(command, folder, disk, shown, hidden, bound):
    loopback_up()
    setpriv = os.path.realpath(shutil.which("setpriv"))
    new, work = f"{folder}/root", f"{folder}/work"
    os.mkdir(new)
    mount("none", new, "tmpfs", data="size=32m,mode=755")
    devices(new, disk)
    os.mkdir(f"{new}/proc")
    mount("none", f"{new}/proc", "proc")
    for setting, value in SETTINGS.items():
        try:
            with open(f"{new}/proc/sys/{setting}", "w") as file:
                file.write(str(value))
        except OSError:
            pass  # an older kernel does not leave it to a namespace
    for place in shown:
        if os.path.dirname(place) == "/" and os.path.islink(place):
            os.symlink(os.readlink(place), new + place)
        else:
            show(place, new + place)
    for place in hidden:
        if os.path.isdir(new + place):
            mount("none", new + place, "tmpfs", data="size=4k")
        elif os.path.exists(new + place):
            mount("/dev/null", new + place, flags=BIND)
    own(new + work, disk)
    for name in os.listdir(work):
        shutil.copy(f"{work}/{name}", f"{new}{work}/{name}")
    for place in bound:
        show(place, new + place)
    writable = [new + place for place in (work, "/dev/pts", "/dev/shm", *bound)]
    for point in mounted(new):
        if point not in writable:
            read_only(point)
    enter(new, work)
    # Without capabilities nothing of this can be undone from inside.
    dropped = ("--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
    os.execv(setpriv, ["setpriv", *dropped, *command])


def loopback_up():
    """Kernels are spoken to over it, and a new network namespace has it switched off."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 1))


def devices(new: str, disk: int):
    os.makedirs(f"{new}/dev/pts")
    for name in DEVICES:
        show(f"/dev/{name}", f"{new}/dev/{name}")
    for name, end in LINKS.items():
        os.symlink(f"/proc/self/fd{end}", f"{new}/dev/{name}")
    own(f"{new}/dev/shm", disk)
    # Terminals of its own, for `!command`: the others are those that people sit at.
    try:
        mount("none", f"{new}/dev/pts", "devpts", data="newinstance,ptmxmode=0666,mode=620")
        os.symlink("pts/ptmx", f"{new}/dev/ptmx")
    except OSError:
        pass  # some containers have none to give, and an answer seldom needs one


def show(place: str, at: str):
    if os.path.isdir(place):
        os.makedirs(at, exist_ok=True)
    elif not os.path.exists(at):
        os.makedirs(os.path.dirname(at), exist_ok=True)
        open(at, "w").close()
    mount(place, at, flags=BIND | RECURSIVE)


def own(at: str, disk: int):
    os.makedirs(at, exist_ok=True)
    mount("none", at, "tmpfs", data=f"size={disk},nr_inodes=20000,mode=700")


def mounted(new: str) -> list[str]:
    """The points at and below `new`, outer ones first."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [line.split(" ")[4] for line in file]
    points = [re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), point) for point in points]
    return [point for point in points if point == new or point.startswith(f"{new}/")]


def read_only(point: str):
    flags = os.statvfs(point).f_flag
    kept = flags & KEPT | sum(ours for theirs, ours in RELATIME.items() if flags & theirs)
    mount(None, point, flags=kept | REMOUNT | BIND | READ_ONLY)


def enter(new: str, work: str):
    """Make `new` the root and let go of the old one."""
    os.chdir(new)
    called(LIBC.pivot_root, b".", b".")  # the old root now lies on top of the new one
    called(LIBC.umount2, b".", DETACH)
    os.chdir(work)


def mount(source, at: str, kind=None, flags: int = 0, data: str | None = None):
    words = [None if word is None else os.fsencode(word) for word in (source, at, kind, data)]
    called(LIBC.mount, *words[:3], ctypes.c_ulong(flags), words[3])


def called(function, *arguments):
    if function(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{function.__name__}{arguments}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[2:], **json.loads(sys.argv[1]))
