#!/usr/bin/env bash
# Stops a node and removes what it wrote.
# usage: down.sh [NAME]
set -uo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
node "${1:-main}"
[ -d "$STATE" ] || exit 0
stop_watchdog
signal=TERM
if [ "$(id -u)" = 0 ]; then signal=KILL; fi # which its namespace ends with
stop elasticsearch $signal
rm -rf "$STATE"
exit 0
