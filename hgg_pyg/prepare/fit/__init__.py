"""Landmarks and masks to a body's shape and motion."""

from hgg_pyg.prepare.fit.config import FitConfig
from hgg_pyg.prepare.fit.fit import Fit, fit_body

__all__ = ["Fit", "FitConfig", "fit_body"]
