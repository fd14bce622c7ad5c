# The image runs `bulk-invite` as an unprivileged user on a read-only root file system:
#   docker build -t bulk-invite .
#   docker run --init --read-only --cap-drop ALL --security-opt no-new-privileges \
#     -v bulk-invite:/state -v "$PWD:/data:ro" bulk-invite send /data/invitations.ndjson

# A tag moves. For a reproducible image, name the base by its digest, which
# `docker buildx imagetools inspect python:3.13-slim-bookworm` prints:
#   docker build --build-arg BASE_IMAGE=python:3.13-slim-bookworm@sha256:... -t bulk-invite .
ARG BASE_IMAGE=python:3.13-slim-bookworm

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY config/build.lock config/requirements.lock config/
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes -r config/build.lock \
    && python -m venv /opt/bulk-invite \
    && /opt/bulk-invite/bin/pip install --require-hashes -r config/requirements.lock
COPY pyproject.toml README.md ./
COPY bulk_invite bulk_invite
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /opt/bulk-invite/bin/pip install --no-deps /wheel/*.whl \
    && /opt/bulk-invite/bin/pip uninstall --yes pip

FROM ${BASE_IMAGE}
RUN groupadd --gid 10001 bulk-invite \
    && useradd --uid 10001 --gid 10001 --home-dir /state --no-create-home --shell /usr/sbin/nologin bulk-invite \
    && install -d -o 10001 -g 10001 -m 0700 /state
COPY --from=build /opt/bulk-invite /opt/bulk-invite
# All writes go to the volume: the checkpoint and results (through the working directory, so that a
# configuration file can name other paths), the health file, temporary files.
# Anyone who can reach the container can use its probes, metrics and control API: publish the port on loopback only.
ENV PATH=/opt/bulk-invite/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/state \
    TMPDIR=/state \
    BULK_INVITE_HEALTH_FILE=/state/health.json \
    BULK_INVITE_LISTEN=0.0.0.0:8081 \
    BULK_INVITE_LOG_FORMAT=json
WORKDIR /state
VOLUME /state
USER 10001:10001
EXPOSE 8081
# Only send and serve keep a health file: disable the check (--no-healthcheck) for other long-running commands,
# such as emulator.
HEALTHCHECK --interval=30s --timeout=20s --start-period=30s --retries=3 CMD ["bulk-invite", "health", "--live"]
# SIGTERM drains: calls in flight finish and are committed. The entry point is the program itself, not a
# shell, so that it receives the signal.
STOPSIGNAL SIGTERM
ENTRYPOINT ["bulk-invite"]
CMD ["--help"]
