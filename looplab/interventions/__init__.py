"""Interventions: taps that change a run where one asks, and maps of many such changes at once.

Loops and layers count from 1; tokens, heads and sequences are indices, from 0.
"""

from looplab.basics.rooms import open_room

__all__ = open_room(__name__)
