# Run by /bin/sh inside the new system, as root: accounts, services, and nothing left of the build.
set -eu

useradd --create-home --uid 1000 --shell /bin/bash --groups adm,audio,sudo,video,input ga
chmod 0440 /etc/sudoers.d/ga
passwd --quiet --lock root
echo debian >/etc/hostname
printf '127.0.0.1 localhost debian\n::1 localhost\n' >/etc/hosts
echo 'LANG=C.UTF-8' >/etc/default/locale
echo 'nameserver 10.0.2.3' >/etc/resolv.conf
echo '# The root file system is mounted before this file is read.' >/etc/fstab
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id /etc/.pwd.lock

# Its bus and its runtime folder are there from the boot on, whether or not somebody is logged in.
mkdir -p /var/lib/systemd/linger
: >/var/lib/systemd/linger/ga
sed -i '/debian-menu.xml/d' /etc/xdg/openbox/rc.xml
# Text of any script is typed by changing the keymap; grabbing its keys anew each time, openbox would lose clicks.
sed -i 's#<keyboard>#<keyboard><rebindOnMappingNotify>no</rebindOnMappingNotify>#' /etc/xdg/openbox/rc.xml
grep -q rebindOnMappingNotify /etc/xdg/openbox/rc.xml

systemctl --quiet enable xserver desktop qemu-guest-agent cron systemd-networkd
systemctl --quiet set-default graphical.target
# A machine that lives for one episode has nothing to tidy, to catch up with, or to log in on.
systemctl --quiet disable e2scrub_reap.service
systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
  systemd-tmpfiles-clean.timer getty@tty1.service getty-static.service serial-getty@ttyS0.service \
  systemd-udev-settle.service systemd-random-seed.service systemd-machine-id-commit.service \
  systemd-networkd-wait-online.service systemd-network-generator.service systemd-hwdb-update.service \
  systemd-journal-catalog-update.service systemd-update-done.service systemd-update-utmp.service \
  systemd-update-utmp-runlevel.service systemd-pstore.service systemd-rfkill.service systemd-timesyncd.service \
  systemd-binfmt.service systemd-remount-fs.service systemd-firstboot.service systemd-sysusers.service \
  modprobe@configfs.service modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service \
  modprobe@dm_mod.service modprobe@loop.service dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount \
  sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount \
  keyboard-setup.service console-setup.service
# Rules for hardware that no virtual machine has.
for rule in 60-autosuspend 60-cdrom_id 60-fido-id 60-infiniband 60-persistent-alsa 60-persistent-storage-tape \
  60-persistent-v4l 60-sensor 61-autosuspend-manual 64-btrfs 70-camera 70-joystick 70-memory 70-touchpad 75-probe_mtd \
  78-sound-card 90-bolt; do
  ln -sf /dev/null "/etc/udev/rules.d/$rule.rules"
done

rm -rf /boot /vmlinuz* /initrd.img* /var/cache/apt/archives /var/cache/apt/*.bin /var/lib/apt/lists/* \
  /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/lib/dpkg/*-old /etc/*- \
  /var/log/* /tmp/* /run/* /root/.wget-hsts
mkdir -p /boot /var/cache/apt/archives/partial /var/lib/apt/lists/partial /var/log/apt /var/log/journal
rmdir /var/log/journal
