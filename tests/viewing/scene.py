"""What a page has sent to browsers."""

from typing import Any

from hgg_pyg.view import Page


def node(page: Page, name: str) -> Any:
    """viser's handle of a node of the scene."""
    return page.server.scene._handle_from_node_name[name]


def shown(page: Page) -> set[str]:
    """Names of the nodes that are switched on."""
    return {name for name, handle in page.server.scene._handle_from_node_name.items() if handle.visible}
