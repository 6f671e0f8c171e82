"""Looking at a capture: does the body lie on the person, and if not, why."""

from hgg_pyg.data.checking.examination import Examination, Finding, examine
from hgg_pyg.data.checking.report import describe, summarise
from hgg_pyg.data.checking.sheet import save_sheet

__all__ = ["Examination", "Finding", "describe", "examine", "save_sheet", "summarise"]
