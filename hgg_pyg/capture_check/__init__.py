"""Looking at a capture: does the body lie on the person, and if not, why."""

from hgg_pyg.capture_check.examination import Examination, Finding, examine
from hgg_pyg.capture_check.report import describe, summarise
from hgg_pyg.capture_check.sheet import save_sheet

__all__ = ["Examination", "Finding", "describe", "examine", "save_sheet", "summarise"]
