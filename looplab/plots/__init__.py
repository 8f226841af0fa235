"""Figures: each returns a Picture, which is the figure, the data it shows, and alt text from it."""

from looplab.basics.rooms import open_room

__all__ = open_room(__name__)
