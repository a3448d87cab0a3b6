# Debian's own Python, which the test of Dockerfile takes for python:slim; with what the images made from this one need.
FROM gym-queue-test/debian:bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv redis-server systemd openssl \
    && apt-get clean && rm -rf /var/lib/apt/lists/*
