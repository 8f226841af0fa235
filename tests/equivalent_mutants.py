"""Mutants that no check has to find, each with the reason."""

# Exercises without mutants, and why.
SKIPPED: dict[str, str] = {}

# exercise -> {"old line  ->  new line": why it is right as well}
EQUIVALENT: dict[str, dict[str, str]] = {}
