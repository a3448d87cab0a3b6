#!/usr/bin/env bash
# setup.sh TASK: makes the files of a task in $HOME. They follow from GYM_SEED alone, on any version of bash.
# With GYM_TRUTH set it starts nothing, and writes what only the verifier may know to ~/truth.
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
cd "$HOME"
state=$(((${GYM_SEED:-0} * 7919 + 104729) & 0x7fffffff))

# draw MIN MAX: sets $drawn. The constants are those of C's rand(); its low bits are poor, so they are dropped.
draw() {
  state=$(((state * 1103515245 + 12345) & 0x7fffffff))
  drawn=$(($1 + (state >> 12) % ($2 - $1 + 1)))
}

# pick WORD..: sets $picked to one of them.
pick() {
  draw 1 $#
  picked=${!drawn}
}

draw 0 1
. "$scripts/$1.sh"
