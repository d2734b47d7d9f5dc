# The server as an image: a Python, the locked packages and the server, nothing to build or install with.
#
#   docker build --build-arg VERSION=0.1.0 -t vendetta:0.1.0 .      or hack/build-image.sh vendetta:0.1.0
#
# BASE must have Python 3.11 or newer as python3, and either pip and venv or an apt-get that installs them.
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS packages
ARG PIP_CERT
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN python3 -c 'import ensurepip' 2>/dev/null || { \
        apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null; \
    }
WORKDIR /src
COPY hack/locks/build.txt hack/locks/runtime.txt hack/locks/
RUN python3 -m venv /tools && /tools/bin/pip install --quiet --require-hashes -r hack/locks/build.txt \
    && python3 -m venv --without-pip /opt/vendetta \
    && /tools/bin/pip --python /opt/vendetta/bin/python install --quiet --no-compile --require-hashes \
        --only-binary :all: -r hack/locks/runtime.txt \
    && find /opt/vendetta -name RECORD -exec sh -c 'LC_ALL=C sort -o "$1" "$1"' _ {} \; \
    && /opt/vendetta/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/vendetta/lib

FROM packages AS build
ARG SOURCE_DATE_EPOCH=0
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY controller controller
COPY transports transports
RUN /tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /tools/bin/pip --python /opt/vendetta/bin/python install --quiet --no-compile --no-deps --root /server /wheel/*.whl \
    && find /server -name RECORD -exec sh -c 'LC_ALL=C sort -o "$1" "$1"' _ {} \; \
    && /opt/vendetta/bin/python -m compileall -q --invalidation-mode unchecked-hash -s /server /server/opt/vendetta/lib

FROM ${BASE}
COPY --from=packages /opt/vendetta /opt/vendetta
COPY --from=build /server/opt/vendetta /opt/vendetta
ARG VERSION=0+unknown
ARG REVISION=""
ARG CREATED=""
# After the arguments: a cache that looks at commands only would else give an old image as the new revision.
RUN python3 -m pip uninstall --yes --quiet pip setuptools wheel 2>/dev/null || true; \
    echo vendetta:x:10001:10001:Vendetta:/tmp:/usr/sbin/nologin >>/etc/passwd && echo vendetta:x:10001: >>/etc/group \
    && mkdir -p /etc/vendetta/credentials /var/lib/vendetta && chown 10001:10001 /var/lib/vendetta \
    && printf 'registry: {provider: sqlite, dsn: /var/lib/vendetta/vendetta.db}\n' >/etc/vendetta/coordination.yaml
LABEL org.opencontainers.image.title="Vendetta" \
      org.opencontainers.image.description="A coordination server that manages fleets of development machines over plain SSH." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
ENV PATH=/opt/vendetta/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp USER=vendetta
USER 10001:10001
WORKDIR /var/lib/vendetta
EXPOSE 3001
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["vendetta", "coordination", "status"]
ENTRYPOINT ["vendetta"]
CMD ["coordination", "start"]
