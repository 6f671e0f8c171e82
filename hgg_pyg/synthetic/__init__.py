"""Synthetic captures: clothed people that move in front of calibrated cameras, written as a user's capture would be."""

from hgg_pyg.synthetic.config import DEMO, SynthesizeConfig
from hgg_pyg.synthetic.dataset import synthesize

__all__ = ["DEMO", "SynthesizeConfig", "synthesize"]
