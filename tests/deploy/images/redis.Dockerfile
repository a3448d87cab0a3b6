# Debian's Redis, as the official image has it: a user of its own, and data in /data.
FROM gym-queue-test/python:bookworm
RUN install --directory --owner redis /data
USER redis
