# A setting with a slip in its name, and an old one of another file that comes later at boot.
install -m 644 "$files/60-watches.conf" "$files/90-server.conf" /etc/sysctl.d/
systemctl restart systemd-sysctl
