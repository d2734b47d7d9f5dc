"""The resident runner: one shell process a connection that serves the run protocol on the node."""
