"""What connects to what: the Human Gaussian Graph as PyG data (Algorithm 1). No parameters, no bodies, no rendering."""

from graphs.build import add_feedback, build_graph
from graphs.joints import joint_graph
from graphs.mesh_hops import mesh_hop_edges
from graphs.names import AVATAR, BENDS, BINDS, FEEDBACK, GAUSSIAN, JOINT, LASTS, NEAR, REFINES, VERTEX
from graphs.nearest import nearest_vertices, nearest_vertices_ragged
from graphs.nodes import AvatarNodes, ClipNodes
from graphs.relations import Relation, RelationFunction, find_relation, register_relation, relation_names
from graphs.spec import GraphSpec

__all__ = [
    "AVATAR",
    "BENDS",
    "BINDS",
    "FEEDBACK",
    "GAUSSIAN",
    "JOINT",
    "LASTS",
    "NEAR",
    "REFINES",
    "VERTEX",
    "AvatarNodes",
    "ClipNodes",
    "GraphSpec",
    "Relation",
    "RelationFunction",
    "add_feedback",
    "build_graph",
    "find_relation",
    "joint_graph",
    "mesh_hop_edges",
    "nearest_vertices",
    "nearest_vertices_ragged",
    "register_relation",
    "relation_names",
]
