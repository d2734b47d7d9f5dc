"""Events: what the controller did, and what others report, as `kubectl describe` and `kubectl events` read them.

told.py       events that nobody stores: of nodes from their log, of commands from their timeline
shape.py      the two shapes, core/v1 and events.k8s.io/v1
handlers.py   listing, reading, and writing those of others

They cannot be watched; watch the objects. Kubernetes keeps them in namespaces: here all are in `default`.
"""
