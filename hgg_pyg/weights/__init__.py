"""Networks and clips of others that are fetched, never committed: checked by checksum, put where we look for them."""

from hgg_pyg.weights.fetch import fetch
from hgg_pyg.weights.fetchable import Fetchable, Source
from hgg_pyg.weights.registry import fetchables, find_fetchable
from hgg_pyg.weights.sets.landmarks import landmark_models
from hgg_pyg.weights.sets.landmarks_heavy import heavy_landmark_model

__all__ = ["Fetchable", "Source", "fetch", "fetchables", "find_fetchable", "heavy_landmark_model", "landmark_models"]
