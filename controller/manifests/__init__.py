"""Kubernetes-shaped manifests in files: found, read and checked, for the CLI and for declarative sources."""
