# The same, with a folder of packages in place of an index.
FROM gym-queue-test/python:bookworm
COPY . /wheels
RUN printf '[global]\nno-index = true\nfind-links = /wheels\n' > /etc/pip.conf
