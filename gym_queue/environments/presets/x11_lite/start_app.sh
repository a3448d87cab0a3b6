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

# Until a window has the keys' focus, and its program reads them, what is typed is lost: a terminal does once it has
# carried out what its shell wrote, which is a title other than the one it began with.
takes_keys() {
  local window
  window=$(xdotool getactivewindow) &&
    [ "$window" = "$(xdotool getwindowfocus)" ] &&
    [ "$(xdotool getwindowname "$window")" != starting ]
}

if ! xdpyinfo >/dev/null 2>&1; then
  detached Xvfb "$DISPLAY" -screen 0 "${GYM_WIDTH:-1280}x${GYM_HEIGHT:-720}x24" -dpi 96 -ac -noreset -nolisten tcp
  patiently xdpyinfo
fi
xsetroot -solid '#2e3440'
dbus-daemon --session --fork --nopidfile --address="${DBUS_SESSION_BUS_ADDRESS:-unix:path=/tmp/session-bus}"
detached openbox
patiently manages_windows
detached xterm -T starting -fa 'DejaVu Sans Mono' -fs 11 -geometry 100x30 \
  -e sh -c 'printf "\033]2;xterm\007"; exec "${SHELL:-bash}"'
patiently takes_keys
