"""Looking into a trained network: where its attention goes and what its read-out changes."""

from hgg_pyg.evaluation.inspection.attention import (
    Attention,
    AttentionLayers,
    attention_of,
    frame_shares,
    hop_distances,
    mean_of_sources,
    relative_entropy,
)
from hgg_pyg.evaluation.inspection.changes import Change, read_out_changes
from hgg_pyg.evaluation.inspection.findings import Findings, InterFindings, IntraFindings, View, findings_of
from hgg_pyg.evaluation.inspection.pages import PAGES, save_pages
from hgg_pyg.evaluation.inspection.subject import RunSubject
from hgg_pyg.evaluation.inspection.summary import Row, rows_of, save_summary, table

__all__ = [
    "PAGES",
    "Attention",
    "AttentionLayers",
    "Change",
    "Findings",
    "InterFindings",
    "IntraFindings",
    "Row",
    "RunSubject",
    "View",
    "attention_of",
    "findings_of",
    "frame_shares",
    "hop_distances",
    "mean_of_sources",
    "read_out_changes",
    "relative_entropy",
    "rows_of",
    "save_pages",
    "save_summary",
    "table",
]
