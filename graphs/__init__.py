"""What connects to what: the Human Gaussian Graph as PyG data (Algorithm 1). No parameters, no bodies, no rendering."""

from graphs.human_graph import BINDS, NEAR, build_human_graph, readout_edges, row_pointers
from graphs.mesh_hops import mesh_hop_edges
from graphs.nearest import nearest_vertices, nearest_vertices_ragged
from graphs.spec import PRESETS, GraphSpec

__all__ = [
    "BINDS",
    "NEAR",
    "PRESETS",
    "GraphSpec",
    "build_human_graph",
    "mesh_hop_edges",
    "nearest_vertices",
    "nearest_vertices_ragged",
    "readout_edges",
    "row_pointers",
]
