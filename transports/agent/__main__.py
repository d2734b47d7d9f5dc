"""`python -m transports.agent`, which is `vendetta-agent` and `vendetta agent`."""

from transports.agent.main import main

if __name__ == "__main__":
    main()
