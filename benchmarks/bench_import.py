"""What `import looplab` costs beside `import torch`, each in fresh processes, in turn.

python benchmarks/bench_import.py
"""

import statistics
import subprocess
import sys

CODE = "import resource, {}; print(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))"


def seconds(module):
    """CPU seconds of a fresh Python that imports `module`."""
    return float(subprocess.check_output([sys.executable, "-c", CODE.format(module)], text=True))


def main(rounds=7):
    pairs = [(seconds("looplab"), seconds("torch")) for _ in range(rounds + 1)][1:]
    ratio = statistics.median(ours / torch for ours, torch in pairs)
    verdict = "ok" if ratio <= 1.15 else "OVER"
    print(f"import looplab / import torch: {ratio:.3f}  bound 1.15 {verdict}")


if __name__ == "__main__":
    main()
