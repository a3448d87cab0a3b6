# The indexer's trace has filled the station's disk, so that the recorder ends.
install -m 644 "$files/indexer.conf" /etc/indexer.conf
yes 'indexer: looked at a pixel of a photo, and found nothing new' >/srv/data/index/trace.log 2>/dev/null || true
chown indexer:indexer /srv/data/index/trace.log
systemctl start indexer recorder
