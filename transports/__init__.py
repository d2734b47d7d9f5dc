"""How commands reach nodes: pluggable transports, and the run protocol that all of them carry."""
