#!/usr/bin/env bash
# machine.sh: what the machine is before a task breaks it, as root; the checkpoint of the started environment holds it.
set -euo pipefail
files=$(cd "$(dirname "$0")" && pwd)/files

systemd-sysusers --inline \
  'u notes - "Notes over HTTP" /var/lib/notes' \
  'u recorder - "Readings of the station" /srv/data' \
  'u indexer - "Index of the photos" /srv/data' \
  'u reports - "Reports of the stock" /srv/reports'

# The disk of a station with two services, which run in the task full_disk alone.
disk=/var/lib/station.img
truncate -s 32M "$disk"
mkfs.ext4 -q -F -b 4096 -m 0 -O ^has_journal "$disk"
install -d /srv/data
echo "$disk /srv/data ext4 loop,noatime,nofail 0 0" >>/etc/fstab
echo loop >/etc/modules-load.d/loop.conf
modprobe loop
mount /srv/data

# repeat LINE BYTES: prints a line again and again.
repeat() {
  head -c "$2" < <(yes "$1")
}

mkdir /srv/data/readings /srv/data/photos /srv/data/index
for day in 01 02 03; do
  repeat "2024-05-$day 12:00:00, 21.5 degrees" 200000 >"/srv/data/readings/2024-05-$day.csv"
  repeat "a pixel of the photo of 2024-05-$day" 2000000 >"/srv/data/photos/2024-05-$day.raw"
done
repeat '2024-05-07 11:59:59, 20.0 degree' 4096 >/srv/data/readings/today.csv
chown -R recorder:recorder /srv/data/readings
chown -R indexer:indexer /srv/data/photos /srv/data/index

for name in recorder indexer; do
  install "$files/$name" /usr/local/bin
  install -m 644 "$files/$name.service" /etc/systemd/system
  ln -s "/etc/systemd/system/$name.service" /etc/systemd/system/multi-user.target.wants
done
