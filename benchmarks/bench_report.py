"""What `looplab report` takes: CPU seconds and memory of the whole command, one thread.

    python benchmarks/bench_report.py [quick full]

`quick`, which is run where nothing is named, makes quick reports on the hero, a miniature and the
three examples, `full` whole ones on the hero and the miniature. A quick report on the hero has to
take less than a minute. (Linux and macOS, which tell what a finished process took.)
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

BOUND = 60  # CPU seconds, the hero's quick report
EXAMPLES = sorted((Path(__file__).parents[1] / "examples" / "loops").glob("*.py"))
QUICK = ["hero", "ouro-mini", *map(str, EXAMPLES)]
FULL = ["hero", "ouro-mini"]


def spent(arguments):
    """CPU seconds and peak memory in MiB of one command."""
    one = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "looplab", "report", *arguments]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=one, **silent)
    _, status, took = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"looplab report {' '.join(arguments)} failed")
    unit = 1 if sys.platform == "darwin" else 1024
    return took.ru_utime + took.ru_stime, unit * took.ru_maxrss / 2**20


def main(kinds):
    print("report                     CPU seconds   peak MiB")
    for kind in kinds:
        for name in QUICK if kind == "quick" else FULL:
            with tempfile.TemporaryDirectory() as folder:
                options = ["--quick"] if kind == "quick" else []
                seconds, size = spent([name, *options, "--out", str(Path(folder, "out"))])
            bound = ""
            if (kind, name) == ("quick", "hero"):
                bound = f"  bound {BOUND} {'ok' if seconds <= BOUND else 'OVER'}"
            print(f"{Path(name).name:20s} {kind:5s} {seconds:11.0f} {size:10.0f}{bound}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["quick"])
