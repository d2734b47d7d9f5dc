"""parallel-ssh, in its two forms. Runs in the peers' environment.

It never sets TCP_NODELAY, so its ordinary form waits for delayed acknowledgements, 40 ms a round. That is how it
comes, and how it is measured; the burst form has none of it.
"""

from pssh.clients import ParallelSSHClient  # type: ignore[import-not-found]
from pssh.config import HostConfig  # type: ignore[import-not-found]

from hack.bench.ssh.work import Job, Result, done, job, metered


def client(asked: Job) -> ParallelSSHClient:
    configs = [HostConfig(user=t.user, port=t.port, private_key=t.key) for t in asked.targets]
    return ParallelSSHClient([t.address for t in asked.targets], host_config=configs, pool_size=len(configs))


def check(asked: Job, output: list, token: str) -> None:  # type: ignore[type-arg]
    assert len(output) == len(asked.targets)
    for host in output:
        assert (list(host.stdout), host.exit_code) == ([token], 0), (host, token)


def round_trip(asked: Job, pssh: ParallelSSHClient, token: str) -> None:
    output = pssh.run_command(f"echo {token}")
    pssh.join(output)
    check(asked, output, token)


def ordinary(asked: Job) -> Result:
    """Run on all nodes, join, and again."""
    pssh = client(asked)
    round_trip(asked, pssh, "warm")
    result = Result()
    with metered(result, asked.count * len(asked.targets)):
        for token in asked.tokens:
            round_trip(asked, pssh, token)
    return result


def burst(asked: Job) -> Result:
    """Open all commands' channels at once, then join them all: its fastest form."""
    pssh = client(asked)
    round_trip(asked, pssh, "warm")
    result = Result()
    with metered(result, asked.count * len(asked.targets)):
        outputs = [pssh.run_command(f"echo {token}") for token in asked.tokens]
        for output, token in zip(outputs, asked.tokens, strict=True):
            pssh.join(output)
            check(asked, output, token)
    return result


def cold(asked: Job) -> Result:
    """Connect and one command, on all nodes at once."""
    result = Result()
    with metered(result, len(asked.targets)):
        round_trip(asked, client(asked), "first")
    return result


if __name__ == "__main__":
    asked = job()
    done({"ordinary": ordinary, "burst": burst, "cold": cold}[asked.what](asked))
