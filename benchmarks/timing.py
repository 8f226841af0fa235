"""Ratios that hold on a busy machine: cases in turn, CPU time, the median of per-round ratios."""

import gc
import statistics
import time


def interleave(cases, rounds=9, warmup=2):
    """CPU seconds of each case per round: {name: [round]}. Cases run in rotating order."""
    names, seconds = list(cases), {name: [] for name in cases}
    for turn in range(-warmup, rounds):
        start = turn % len(names)
        gc.collect()
        for name in names[start:] + names[:start]:
            before = time.process_time()
            result = cases[name]()
            spent = time.process_time() - before
            del result
            if turn >= 0:
                seconds[name].append(spent)
    return seconds


def ratios(seconds, base):
    """Median over rounds of each case's time divided by the base case's in the same round."""
    return {
        name: statistics.median(a / b for a, b in zip(spent, seconds[base], strict=True))
        for name, spent in seconds.items()
    }


def show(title, seconds, base, gates=None):
    """Print one table of ratios, with the bound that a case promises to keep."""
    print(f"\n{title} (CPU time, one thread, median of {len(seconds[base])} rounds)")
    for name, ratio in ratios(seconds, base).items():
        bound = (gates or {}).get(name)
        verdict = (
            "" if bound is None else f"  bound {bound:.2f} {'ok' if ratio <= bound else 'OVER'}"
        )
        middle = 1e3 * statistics.median(seconds[name])
        print(f"  {name:44s} {ratio:6.3f}  {middle:9.2f} ms{verdict}")
