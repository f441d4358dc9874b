#!/usr/bin/env bash
# Waits until both processes are gone, then becomes the command. See watch_owner in lib.sh.
# usage: watchdog.sh PID PID COMMAND...
set -uo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
for pid in "$1" "$2"; do
  start=$(identity "$pid")
  while [ -n "$start" ] && [ "$(identity "$pid")" = "$start" ]; do sleep .5; done
done
shift 2
exec "$@"
