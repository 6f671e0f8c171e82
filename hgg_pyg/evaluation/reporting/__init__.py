"""What an evaluation leaves: tables, numbers, images and a page that holds them all."""

from hgg_pyg.evaluation.reporting.gallery import Gallery, Shot
from hgg_pyg.evaluation.reporting.image_folder import ImageFolder, parse_methods
from hgg_pyg.evaluation.reporting.report import Report, Timing

__all__ = ["Gallery", "ImageFolder", "Report", "Shot", "Timing", "parse_methods"]
