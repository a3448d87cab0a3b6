ARG BASE=python:3.12-slim
FROM ${BASE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends git less nano vim-tiny \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt .
RUN useradd --create-home gym
USER gym
WORKDIR /home/gym
