#!/usr/bin/env bash
# setup.sh TASK: makes the task's files in $HOME and opens its window; returns when the window is there.
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
files=$scripts/files
cd "$HOME"

# shown WORDS: waits for a window with these words in its title, or its class.
shown() {
  timeout 30 bash -c 'until wmctrl -lx | grep -q -- "$0"; do sleep 0.05; done' "$1"
}

# opened WORDS COMMAND..: starts an application and waits for its window.
opened() {
  setsid "${@:2}" </dev/null >/dev/null 2>&1 &
  shown "$1"
}

shown xterm # the desktop's own terminal, below all that is opened here
. "$scripts/$1.sh"
