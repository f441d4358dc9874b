#!/usr/bin/env bash
# Ends a cluster's node and all its pods, and removes its cgroups. node-up.sh starts it again.
# usage: node-down.sh [NAME]
set -uo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
cluster "${1:-main}"
stop dns KILL
stop node KILL # its namespaces, and all in them, go with it
sleep .2
own=$(sed 's/^[^:]*:[^:]*://' /proc/self/cgroup | sort -u)
for group in /sys/fs/cgroup /sys/fs/cgroup/*; do
  for parent in $own; do
    if [ -n "$NETNS" ] && [ -d "$group$parent/$NETNS" ]; then
      find "$group$parent/$NETNS" -depth -type d -exec rmdir {} + 2>/dev/null
    fi
  done
done
exit 0
