# The unit names a program that is elsewhere, the data came back from a backup as root's, and nothing starts it at boot.
install -D "$files/notes-server" /opt/notes/bin/notes-server
install -m 644 "$files/notes.service" /etc/systemd/system/notes.service
install -d -m 750 /var/lib/notes
install -m 640 "$files/notes.txt" /var/lib/notes/notes.txt
systemctl start notes || true
