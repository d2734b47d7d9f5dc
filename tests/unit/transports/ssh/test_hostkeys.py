"""The host key policies (contract E-7): a changed key never passes, and every refusal says what was shown."""

import asyncssh
import pytest

from transports.base import HostKeyPolicy
from transports.errors import EndpointInvalid
from transports.ssh.hostkeys import HostKeys, fingerprint, public_line

ONE, OTHER = (asyncssh.generate_private_key("ssh-ed25519").convert_to_public() for _ in range(2))
EC = asyncssh.generate_private_key("ecdsa-sha2-nistp256").convert_to_public()
STRICT, ACCEPT_NEW, INSECURE = HostKeyPolicy.STRICT, HostKeyPolicy.ACCEPT_NEW, HostKeyPolicy.INSECURE


@pytest.mark.parametrize(
    ("policy", "pinned", "accepted"),
    [
        (STRICT, [], False),
        (STRICT, [ONE], True),
        (STRICT, [OTHER, ONE], True),
        (STRICT, [OTHER], False),
        (ACCEPT_NEW, [], True),
        (ACCEPT_NEW, [ONE], True),
        (ACCEPT_NEW, [OTHER], False),
        (INSECURE, [], True),
        (INSECURE, [OTHER], True),
    ],
)
def test_what_is_accepted(policy: HostKeyPolicy, pinned: list[asyncssh.SSHKey], *, accepted: bool) -> None:
    keys = HostKeys(policy, map(public_line, pinned))
    assert keys.accepts(ONE) is accepted
    assert keys.presented is ONE


@pytest.mark.parametrize("policy", [STRICT, ACCEPT_NEW])
def test_a_plain_pin_is_no_authority_and_an_authority_is_no_plain_pin(policy: HostKeyPolicy) -> None:
    assert not HostKeys(policy, [public_line(ONE)]).accepts_authority(ONE)
    keys = HostKeys(policy, [f"@cert-authority {public_line(ONE)}"])
    assert keys.accepts_authority(ONE)
    assert not keys.accepts(ONE)


def test_insecure_trusts_no_authority_it_was_not_given() -> None:
    assert not HostKeys(INSECURE, []).accepts_authority(ONE)


def test_the_pinned_type_is_asked_for_first_and_weak_ones_only_when_pinned() -> None:
    assert HostKeys(STRICT, []).algorithms == ["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"]
    assert HostKeys(STRICT, [public_line(EC)]).algorithms[0] == "ecdsa-sha2-nistp256"
    assert "ssh-rsa" not in HostKeys(STRICT, [RSA_LINE]).algorithms
    assert HostKeys(STRICT, [RSA_LINE]).algorithms[0] == "rsa-sha2-512"
    assert (
        HostKeys(STRICT, [f"@cert-authority {public_line(ONE)}"]).algorithms[0] == "ssh-ed25519-cert-v01@openssh.com"
    )


RSA_LINE = public_line(asyncssh.generate_private_key("ssh-rsa").convert_to_public())


@pytest.mark.parametrize("line", ["", "nonsense", "ssh-ed25519 AAAA", "ssh-ed25519", "@cert-authority x"])
def test_a_pin_that_cannot_be_read_is_an_invalid_endpoint(line: str) -> None:
    with pytest.raises(EndpointInvalid, match="pinned host key"):
        HostKeys(STRICT, [line])


def test_a_changed_key_is_reported_with_both_fingerprints() -> None:
    keys = HostKeys(STRICT, [public_line(OTHER)])
    keys.accepts(ONE)
    error = keys.mismatch("node 'n'")
    assert (error.presented, error.fingerprint) == (public_line(ONE), fingerprint(ONE))
    assert fingerprint(ONE) in str(error)
    assert fingerprint(OTHER) in str(error)


def test_an_unknown_key_is_reported_with_the_ways_to_pin_it() -> None:
    keys = HostKeys(STRICT, [])
    keys.accepts(ONE)
    message = str(keys.mismatch("node 'n'"))
    for way in ("vendetta node trust", "spec.transport.hostKeys", "known_hosts", fingerprint(ONE)):
        assert way in message
