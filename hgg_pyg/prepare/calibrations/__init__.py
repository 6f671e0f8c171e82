"""Calibrations that people have, each format read by one file into `hgg_pyg.data.calibration.Calibration`."""

from hgg_pyg.prepare.calibrations.faults import calibration_faults
from hgg_pyg.prepare.calibrations.matching import Matched, match_cameras
from hgg_pyg.prepare.calibrations.reading import in_metres, read_calibrations

__all__ = ["Matched", "calibration_faults", "in_metres", "match_cameras", "read_calibrations"]
