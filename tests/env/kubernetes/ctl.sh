#!/usr/bin/env bash
# Does something to one component of a running cluster; `start` uses the same command line, port and data, and waits for it.
# usage: ctl.sh NAME start|stop|kill|pause|resume|pid etcd|kube-apiserver|kube-controller-manager|kube-scheduler
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
[ $# = 3 ] || die "usage: ctl.sh NAME start|stop|kill|pause|resume|pid COMPONENT"
cluster "$1"
[ -d "$STATE" ] || die "no cluster $1"
control "$2" "$3"
if [ "$2" = start ]; then wait_ready "$3"; fi
