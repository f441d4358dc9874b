#!/usr/bin/env bash
# Stops a cluster and its node, and removes what it wrote; with DATA=keep, up.sh goes on from it.
# usage: down.sh [NAME]
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
cluster "${1:-main}"
[ -d "$STATE" ] || exit 0
stop_watchdog
[ -f "$STATE/proc/node.cmd" ] && "$here/node-down.sh" "${1:-main}"
signal=KILL # no manners are needed when the data goes too
[ "${DATA:-}" = keep ] && signal=TERM
for component in kube-scheduler kube-controller-manager kube-apiserver etcd; do stop $component $signal; done
if [ "${DATA:-}" != keep ]; then
  if [ -n "$NETNS" ]; then
    ip link del "kee$INDEX" 2>/dev/null
    ip netns del "$NETNS" 2>/dev/null
  fi
  rm -rf "$STATE"
fi
exit 0
