"""Experiments of many runs, each with a command: what is measured once and told in docs."""
