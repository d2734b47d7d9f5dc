"""The proof by killing things: real nodes, a real server, and everything about them that can die, dying.

    orders ──POST──▶ server ──proxy──▶ sshd ──▶ runner ──▶ `echo ID >>truth`
       │               ▲  kinds.py kills, cuts, fills, reboots all of it meanwhile
       └─ journal.py ◀─┴─ witness.py: what was sent, acknowledged, seen, and in the end the case

    checker.py, a process of its own that imports nothing of ours, compares the journal with the nodes' files.

`hack/chaos.sh` puts it all into its own pid and mount namespaces: nothing outside can be hit, nothing is left behind.
"""
