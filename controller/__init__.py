"""Desired state in, true state out: resources, the store, and the loops that make wishes true."""
