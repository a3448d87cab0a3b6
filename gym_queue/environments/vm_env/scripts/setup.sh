#!/usr/bin/env bash
# setup.sh TASK: breaks the machine as a task says, as root, and removes itself: the agent is to find the fault elsewhere.
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
files=$scripts/files
cd /
. "$scripts/$1.sh"
rm -rf "$scripts"
