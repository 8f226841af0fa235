"""One file that sets the course up and starts it; it needs nothing but Python itself.

    python3 course.py lab     set up if needed, then open JupyterLab on the chapters
    python3 course.py test    set up if needed, then run every test
    python3 course.py site    set up if needed, then make the course a web site in the folder site
    python3 course.py doctor  say what is in the way on this machine, and change nothing

Further arguments go to JupyterLab, pytest or looplab site. Everything is installed into .venv
beside this file.
"""

# Read by whatever Python 3 the learner has, so that an old one gets a sentence and not a
# SyntaxError: no annotations, no f-strings in this file.
import sys

OLDEST, NEWEST = (3, 11), (3, 13)
if not OLDEST <= sys.version_info[:2] <= NEWEST:
    sys.exit(
        "looplab needs Python 3.11, 3.12 or 3.13, and this is Python %d.%d. Install one of them "
        "and run, for example: python3.13 course.py lab" % sys.version_info[:2]
    )

import hashlib  # noqa: E402
import os  # noqa: E402
import shutil  # noqa: E402
import subprocess  # noqa: E402

ROOT = os.path.dirname(os.path.abspath(__file__))
ENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(ENV, "Scripts", "python.exe") if os.name == "nt" else ENV + "/bin/python"
STAMP = os.path.join(ENV, "looplab-set-up")
FREE_BYTES = 3 * 2**30  # what an installation takes at its peak, with room to unpack

# What pip says, and what a person can do about it.
REMEDIES = (
    (
        ("no space left", "errno 28", "winerror 112"),
        "The disk is full. Free about 3 GB and run the same command again.",
    ),
    (
        ("permission denied", "errno 13", "read-only file system", "winerror 5]"),
        "This folder cannot be written to. Move the course to a folder of your own, or change "
        "its permissions, and run the same command again.",
    ),
    (
        (
            "connection",
            "name resolution",
            "getaddrinfo",
            "network is unreachable",
            "timed out",
            "no matching distribution",
            "could not find a version",
        ),
        "The packages could not be downloaded. Check the connection to the internet (a proxy or "
        "a firewall may be in the way) and run the same command again; what was downloaded is "
        "kept.",
    ),
)


def main(arguments):
    commands = {"lab": lab, "test": test, "site": site, "doctor": doctor}
    if not arguments or arguments[0] not in commands:
        asked = "" if not arguments else "%r is not a command.\n\n" % arguments[0]
        helped = bool(arguments) and arguments[0] in ("help", "-h", "--help")
        print(__doc__.strip() if helped else asked + __doc__.strip())
        return 0 if helped else 2
    try:
        if arguments[0] != "doctor":
            set_up()
        return commands[arguments[0]](arguments[1:])
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again: it goes on where it stopped.")
        return 130


def lab(arguments):
    print("Opening JupyterLab. Stop it with Ctrl-C in this window.", flush=True)
    return run("-m", "jupyterlab", "--notebook-dir=" + os.path.join(ROOT, "chapters"), *arguments)


def test(arguments):
    style = run("-m", "ruff", "check", ".") or run("-m", "ruff", "format", "--check", ".")
    # One thread: the models are tiny, and spinning threads only wait for each other.
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    # Tests that share something expensive go to one core together; see tests/conftest.py.
    spread = ("-n", "auto", "--dist=loadscope", "--no-loadscope-reorder")
    if any(a.startswith("-n") for a in arguments):
        spread = ()
    tests = run("-m", "pytest", "-p", "no:nbval", *spread, *arguments, env=environment)
    return style or tests


def doctor(arguments):
    if not os.path.exists(PYTHON):
        print("The course is not set up yet: python3 course.py lab does that.", flush=True)
    python = PYTHON if os.path.exists(PYTHON) else sys.executable
    # The file and not the command, and -P: it has to run where looplab cannot be imported.
    return subprocess.call(
        [python, "-P", os.path.join("looplab", "course", "doctor.py"), *arguments], cwd=ROOT
    )


def site(arguments):
    return run("-m", "looplab", "site", *arguments)


def run(*arguments, env=None):
    """Run the course's own Python in the course's folder; returns its exit status."""
    return subprocess.call([PYTHON, *arguments], cwd=ROOT, env=env)


def set_up():
    """Bring .venv up to date; does nothing when it is."""
    wanted = fingerprint()
    if read(STAMP) == wanted and os.path.exists(PYTHON):
        return
    check_machine()
    if not works():
        print("Making a Python environment in .venv ...", flush=True)
        make_environment()
    print(
        "Installing the packages of requirements.txt into .venv: about 2 GB, a few minutes "
        "the first time ...",
        flush=True,
    )
    install("-r", "requirements.txt")
    print("Installing looplab from this folder ...", flush=True)
    # Without isolation nothing more is downloaded; without dependencies torch stays as pinned.
    install("--no-deps", "--no-build-isolation", "-e", ".")
    with open(STAMP, "w", encoding="utf-8") as stamp:  # last, so that a half-made set-up is redone
        stamp.write(wanted)
    print("Set up.", flush=True)


def fingerprint():
    """Changes when .venv has to: other requirements, other metadata, another Python or place."""
    digest = hashlib.sha256()
    for name in ("requirements.txt", "pyproject.toml"):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    digest.update(("%s\n%s" % (sys.version, ROOT)).encode("utf-8"))
    return digest.hexdigest()


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def check_machine():
    """Say beforehand what would otherwise fail half-way."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        sys.exit(
            "This Python comes without its venv module. On Debian and Ubuntu install it with: "
            "sudo apt install python%d.%d-venv" % sys.version_info[:2]
        )
    free = shutil.disk_usage(ROOT).free
    if not os.path.exists(STAMP) and free < FREE_BYTES:
        sys.exit(
            "The disk has %.1f GB free here and the packages need about %.0f GB. Free some space "
            "and run the same command again." % (free / 2**30, FREE_BYTES / 2**30)
        )


def works():
    """True when .venv holds a working pip for this very version of Python."""
    if not os.path.exists(PYTHON):
        return False
    code = "import sys, pip; print('%d.%d' % sys.version_info[:2])"
    asked = subprocess.run(
        [PYTHON, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    return asked.stdout.decode().strip() == "%d.%d" % sys.version_info[:2]


def make_environment():
    import venv

    try:
        venv.create(ENV, with_pip=True, clear=os.path.exists(ENV))
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(explain(str(error), "The environment could not be made: %s" % error))


def install(*arguments):
    command = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    pip = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    said = []
    for line in pip.stderr:
        said.append(line.decode(errors="replace"))
        sys.stderr.write(said[-1])
    if pip.wait():
        sys.exit("\n" + explain("".join(said), "pip could not install what the course needs."))


def explain(said, otherwise):
    """The remedy for what was said, or the plain fact."""
    for signs, remedy in REMEDIES:
        if any(sign in said.lower() for sign in signs):
            return remedy
    return otherwise + " Its message is above; running the same command again may be enough."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
