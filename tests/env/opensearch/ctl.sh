#!/usr/bin/env bash
# Does something to a running node; `start` uses the same command line, port and data, and waits until it answers.
# usage: ctl.sh NAME start|stop|kill|pause|resume|pid
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
[ $# = 2 ] || die "usage: ctl.sh NAME start|stop|kill|pause|resume|pid"
node "$1"
[ -d "$STATE" ] || die "no OpenSearch $1"
control "$2" opensearch
if [ "$2" = start ]; then wait_for 180 opensearch answers; fi
