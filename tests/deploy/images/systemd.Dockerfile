# Debian with systemd and the fleet's programs: a machine for the units of docs/deploy/systemd.
FROM gym-queue-test/python:bookworm
RUN systemctl mask systemd-logind.service getty.target console-getty.service redis-server.service
COPY --from=gym-queue-test/gym-queue:local /opt/gym-queue /opt/gym-queue
STOPSIGNAL SIGRTMIN+3
CMD ["/lib/systemd/systemd"]
