"""The network: queries on the mesh, blocks of message passing, a read-out, and what it hears and changes."""
