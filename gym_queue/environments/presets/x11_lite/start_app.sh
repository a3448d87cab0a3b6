#!/usr/bin/env bash
# Starts the desktop on $DISPLAY and returns when it is there: an X server when none answers yet,
# a message bus, a window manager, a terminal. An environment that mounts its own script here replaces it.
set -euo pipefail
export DISPLAY=${DISPLAY:-:99}
log=$(mktemp /tmp/desktop.XXXXXX)

# detached COMMAND..: starts a program that outlives this script and holds none of its files.
detached() {
  setsid "$@" </dev/null >>"$log" 2>&1 &
}

# patiently COMMAND..: tries until it succeeds; fails after 20 s with the tail of the log.
patiently() {
  local end=$((SECONDS + 20))
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= end)); then
      echo "start_app.sh: still failing after 20 s: $*" >&2
      tail -n 20 "$log" >&2
      exit 1
    fi
    sleep 0.02
  done
}

manages_windows() {
  xprop -root _NET_SUPPORTING_WM_CHECK | grep -q 'window id'
}

# A window is listed before it has the focus; until then, what is typed is lost.
has_focus() {
  xprop -root _NET_ACTIVE_WINDOW | grep -q 'window id # 0x[1-9a-f]'
}

if ! xdpyinfo >/dev/null 2>&1; then
  detached Xvfb "$DISPLAY" -screen 0 "${GYM_WIDTH:-1280}x${GYM_HEIGHT:-720}x24" -dpi 96 -ac -noreset -nolisten tcp
  patiently xdpyinfo
fi
xsetroot -solid '#2e3440'
dbus-daemon --session --fork --nopidfile --address="${DBUS_SESSION_BUS_ADDRESS:-unix:path=/tmp/session-bus}"
detached openbox
patiently manages_windows
detached xterm -fa 'DejaVu Sans Mono' -fs 11 -geometry 100x30
patiently has_focus
