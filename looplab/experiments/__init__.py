"""Experiments of many runs, each with a command; and what chapters ask of a real model."""
