# The image runs `bulk-invite` as an unprivileged user on a read-only root file system:
#   docker build -t bulk-invite .
#   docker run --init --read-only --cap-drop ALL --security-opt no-new-privileges \
#     -v bulk-invite:/state -v "$PWD:/data:ro" bulk-invite send /data/invitations.ndjson

# A tag moves: whoever wants the same image again names the base by its digest, which
# `docker buildx imagetools inspect python:3.13-slim-bookworm` tells:
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
# Whatever is written goes to the volume: the checkpoint and results (by the working directory, so that a
# configuration file can name others), the health file, temporary files.
# The pages are for probes, metrics and control of whoever reaches the container: publish the port on loopback only.
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
# Only send and serve keep a health file: turn the check off (--no-healthcheck) where another command goes on for
# long, such as emulator.
HEALTHCHECK --interval=30s --timeout=20s --start-period=30s --retries=3 CMD ["bulk-invite", "health", "--live"]
# SIGTERM drains: calls in flight are finished and committed. The entry point is the program itself, not a
# shell, so that the signal reaches it.
STOPSIGNAL SIGTERM
ENTRYPOINT ["bulk-invite"]
CMD ["--help"]
