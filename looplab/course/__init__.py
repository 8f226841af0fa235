"""The course around the library: exercises and their checks, grading, the web edition, the tools.

The library knows nothing of this; see docs/architecture.md.
"""
