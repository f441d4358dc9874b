#!/usr/bin/env bash
# Loads images (docker or OCI archives) into a running node.
# usage: node-import.sh NAME IMAGE.tar …
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
cluster "$1"
shift
unshare=$(pid_of node) || die "no node is up"
init=$(cut -d' ' -f1 "/proc/$unshare/task/$unshare/children")
for image in "$@"; do
  nsenter -t "$init" -m -p -- ctr -a /run/containerd/containerd.sock -n k8s.io images import - <"$image" >&2
done
