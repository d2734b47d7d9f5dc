"""Several servers on one PostgreSQL, always some of them in trouble, while commands flow to the nodes they share.

replica      a real server, reached by the database through a proxy of its own
world        replicas, database, machines, and a client that takes whichever replica answers
troubles     SIGKILL, SIGSTOP for longer than the lease, killed connections, database restarts, a cut network
__main__     commands and troubles for some minutes, healing, the verdict of `hack/chaos/checker.py`
"""
