"""What `prepare` leaves for people to look at: one page, and its numbers beside it."""

from hgg_pyg.prepare.report.page import write_report

__all__ = ["write_report"]
