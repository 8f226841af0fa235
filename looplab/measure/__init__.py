"""Measurements of a looped model's run: pure functions from tensors to tensors."""

from looplab.basics.rooms import open_room

__all__ = open_room(__name__)
