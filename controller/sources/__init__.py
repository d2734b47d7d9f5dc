"""Declarative sources: where wishes come from besides the API (contract A-12, `sources`).

directory.py   a folder of manifests, read as a whole
manifests.py   applies what the folder says, and removes what has left it
told.py        what a source has to say: events
"""
