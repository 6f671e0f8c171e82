"""The relations of a graph: one file per relation, and the registry that finds them and yours by name."""

from graphs.relations.binds import binds
from graphs.relations.near import near
from graphs.relations.refines import refines
from graphs.relations.registry import RelationFunction, find_relation, register_relation, relation_names
from graphs.relations.relation import Relation, checked_and_sorted

register_relation("binds", binds)
register_relation("near", near)

__all__ = [
    "Relation",
    "RelationFunction",
    "binds",
    "checked_and_sorted",
    "find_relation",
    "near",
    "refines",
    "register_relation",
    "relation_names",
]
