# One image for master, worker and dashboard:  docker build --tag gym-queue .
# BASE is any Debian with python3 3.11 or newer; BUILDER is where packages are installed, if its pip needs settings
# that must not stay in the image. Both must hold the same Python.
ARG BASE=python:3.12-slim-bookworm
ARG BUILDER=${BASE}

FROM ${BUILDER} AS build
WORKDIR /src
RUN python3 -m venv /opt/gym-queue
ENV PATH=/opt/gym-queue/bin:$PATH
# What changes seldom comes first: while these two files are the same, the packages are not installed again.
COPY constraints.txt pyproject.toml ./
ARG EXTRAS="docker otel"
RUN python3 -c "import sys, tomllib; \
from pathlib import Path; \
project = tomllib.loads(Path('pyproject.toml').read_text())['project']; \
extras = [name for extra in sys.argv[1:] for name in project['optional-dependencies'][extra]]; \
print(*project['dependencies'], *extras, 'hatchling', sep='\n')" ${EXTRAS} > requirements.txt \
    && pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt --requirement requirements.txt
COPY README.md LICENSE gym_anything.py ./
COPY gym_queue gym_queue
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && pip uninstall --yes --quiet hatchling \
    && rm -rf /opt/gym-queue/bin/pip* /opt/gym-queue/lib/python3*/site-packages/pip /opt/gym-queue/lib/python3*/site-packages/setuptools

FROM ${BASE}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git less nano vim-tiny \
    && apt-get clean && rm -rf /var/lib/apt/lists/*
# The volumes' folders are the user's: a new volume takes their owner over.
RUN useradd --uid 10001 --create-home gym \
    && install --directory /environments \
    && install --directory --owner gym --mode 0700 /var/lib/gym-queue /var/lib/gym-queue/master /var/lib/gym-queue/worker
COPY --from=build /opt/gym-queue /opt/gym-queue
ENV PATH=/opt/gym-queue/bin:$PATH PYTHONUNBUFFERED=1
USER gym
WORKDIR /home/gym
CMD ["gym-anything", "--help"]
