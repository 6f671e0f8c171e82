"""The avatar in other people's formats, one file each."""

from hgg_pyg.avatar.exporters.registry import Exporter, MovingExporter, StillExporter, exporters, find_exporter

__all__ = ["Exporter", "MovingExporter", "StillExporter", "exporters", "find_exporter"]
