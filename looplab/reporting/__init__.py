"""What a loop does, in one page: looplab report MODEL|FILE.py

A model of the course, a released one, or a loop of somebody's own in a Python file; everything that
`looplab.measure` can say of it, with noise floors and windows, and warnings in plain words.
"""

from looplab.reporting.composing import Report, report
from looplab.reporting.protocol import QUICK, Protocol

__all__ = ["QUICK", "Protocol", "Report", "report"]
