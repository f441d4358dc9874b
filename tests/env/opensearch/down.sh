#!/usr/bin/env bash
# Stops a node and removes what it wrote; with DATA=keep, up.sh goes on from it.
# usage: down.sh [NAME]
set -uo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
node "${1:-main}"
[ -d "$STATE" ] || exit 0
stop_watchdog
if [ "${DATA:-}" = keep ]; then
  stop opensearch TERM
else
  stop opensearch KILL
  rm -rf "$STATE"
fi
exit 0
