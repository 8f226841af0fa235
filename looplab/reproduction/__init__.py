"""The figures and tables of arXiv 2604.11791 for any looped model, with one call or command.

report = looplab.reproduce(model)                      # the paper's protocol; QUICK for a look
looplab reproduce MODEL --out DIR                      # the same, resumable, into a folder
"""

from looplab.reproduction.protocol import FIGURES, QUICK, Protocol
from looplab.reproduction.report import Report
from looplab.reproduction.run import ask, reproduce

__all__ = ["FIGURES", "QUICK", "Protocol", "Report", "ask", "reproduce"]
