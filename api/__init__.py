"""Everything that faces people and programs: the two HTTP faces, streams, metrics, auth and the CLI."""
