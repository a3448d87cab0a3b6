#!/usr/bin/env bash
# build.sh [base] [x11-lite] [desktop_env] [gnome]: makes images for tests where no image hub can be reached.
# `base` is Debian from this host's own package mirror; the others are Dockerfiles of the package built on it.
# A base that this very script made from the same sources is not made again. Needs root, debootstrap, docker.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
package=$here/../../gym_queue/environments
suite=bookworm
base=gym-queue-test/debian:$suite
cache=${GYM_QUEUE_IMAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gym-queue-test}

# Lines of sources.list for the suite, its updates and its security fixes, as this host has them.
sources() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' |
    awk -v suite="^$suite(-updates|-security)?\$" '$2 ~ suite && $3 == "main" {print "deb", $1, $2, $3}' | sort -u
}

make_root() { # ROOT MIRROR
  mkdir -p "$cache/debs"
  debootstrap --variant=minbase --cache-dir="$cache/debs" "$suite" "$1" "$2" >"$work/log" 2>&1 || {
    tail -n 20 "$work/log" >&2
    return 1
  }
  rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/*
  sources >"$1/etc/apt/sources.list"
  apt-config dump | grep -E '^Acquire::https?::' >"$1/etc/apt/apt.conf.d/90host" || true
  printf 'path-exclude=/usr/share/%s/*\n' doc man locale >"$1/etc/dpkg/dpkg.cfg.d/small"
}

make_base() {
  local mirror tag
  tag=gym-queue-test/debian:$({ cat "$here/build.sh" /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true; } | sha256sum | cut -c1-16)
  if ! docker image inspect "$tag" >/dev/null 2>&1; then
    mirror=$(sources | awk -v suite="$suite" '$3 == suite {print $2; exit}')
    [ -n "$mirror" ] || { echo "build.sh: the apt sources of this host have no $suite main: add them" >&2; exit 1; }
    work=$(mktemp -d)
    trap 'umount "$work/fs" 2>/dev/null; rm -rf "$work"' EXIT
    mkdir "$work/fs"
    mount -t tmpfs -o mode=755,size=2g tmpfs "$work/fs" || true # on a disk it takes twice as long
    make_root "$work/fs/root" "$mirror"
    tar -C "$work/fs/root" -c . | docker import --message 'made by tests/images/build.sh' - "$tag" >/dev/null
  fi
  docker tag "$tag" "$base"
}

make_image() { # NAME FOLDER
  docker build --quiet --tag "gym-queue-test/$1" --build-arg "BASE=$base" "$package/$2" >/dev/null
}

for image in "${@:-base}"; do
  begin=$SECONDS
  make_base
  case $image in
    base) ;;
    x11-lite) make_image x11-lite presets/x11_lite ;;
    desktop_env) make_image desktop_env desktop_env/image ;;
    gnome) make_image gnome presets/ubuntu_gnome_systemd_highres ;;
    *) echo "build.sh: no image $image; there are base, x11-lite, desktop_env, gnome" >&2; exit 2 ;;
  esac
  echo "$image: $((SECONDS - begin)) s"
done
