"""Names of the graph's node types, of its edge types as (source, relation, target), and of what feedback adds."""

GAUSSIAN = "gaussian"
"""The Gaussians of all frames."""

VERTEX = "vertex"
"""The body's vertices, shared by all frames."""

AVATAR = "avatar"
"""The Gaussians of the reference frame in the rest pose, which the network refines."""

BINDS = (GAUSSIAN, "binds", VERTEX)
"""The Gaussian-mesh edges of Eq. 6."""

NEAR = (VERTEX, "near", VERTEX)
"""The mesh-level edges of Eq. 7."""

REFINES = (VERTEX, "refines", AVATAR)
"""The read-out's edges of Eq. 18."""

FEEDBACK = "feedback"
"""An attribute of vertices and of the avatar: what the input images say of each, see `graphs.add_feedback`."""

JOINT = "joint"
"""The joints of the body in each frame."""

BENDS = (JOINT, "bends", JOINT)
"""Edges along the kinematic tree: the next joint moves with this one."""

LASTS = (JOINT, "lasts", JOINT)
"""Edges over time: a joint in all frames of a clip."""
