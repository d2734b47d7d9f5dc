"""Which SSH algorithms are offered, best first.

No SHA-1, no CBC, no NIST curve unless somebody pinned such a host key. OpenSSH since 7.4 and dropbear since
2020.79 have something in common with every list. `aes128-gcm` leads because it is about 15 % more commands a
second than `chacha20-poly1305` on machines with AES instructions, which is nearly all of them.
"""

from asyncssh.kex import get_kex_algs

_KEX = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group14-sha256",
)

KEX = tuple(name for name in _KEX if name.encode() in get_kex_algs())
"""Key exchange. The post-quantum one depends on what the cryptography library was built with."""

CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes256-ctr",
)

MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)

SIGNATURES = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "rsa-sha2-256",
    "rsa-sha2-512",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
"""What our own keys may sign with: what key somebody gave us is theirs to choose, SHA-1 is not."""

HOST_KEYS = ("ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256")
"""Host keys taken without being asked; a pinned key of another type adds its own."""
