"""Toy tasks whose difficulty is known exactly, so that loops can be compared with work to do."""

from looplab.basics.rooms import open_room

__all__ = open_room(__name__)
