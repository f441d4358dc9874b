# shellcheck shell=bash disable=SC2034
# Sourced by every script in this folder: where things are kept, and how a server is started so that it is always stopped.
#
# An *instance* is one cluster or one OpenSearch node. It has a name, and a folder of its own, $STATE, which holds
# all it writes; its ports are chosen free. $STATE/proc/NAME.pid records each process with its start time, so that a number
# the system has given to another process since is never taken for ours; NAME.cmd is how to start it again.

env_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=versions.sh
. "$env_dir/versions.sh"

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/kubernetes-event-exporter
RUN=$CACHE/run
KUBE_BIN=$CACHE/kubernetes/bin

say() { echo "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# instance KIND NAME: sets NAME and STATE, and what was chosen when the instance was made
instance() {
  case $2 in
    "" | *[!a-zA-Z0-9._-]* | .* | -*) die "not a name for an instance: '$2'" ;;
  esac
  NAME=$2 STATE=$RUN/$1/$2
  # shellcheck source=/dev/null
  if [ -f "$STATE/env" ]; then . "$STATE/env"; fi
}

# choose_ports: sets PORT, the first of ten ports that nothing listens on and no other instance has.
# To be called under the lock of with_lock; the caller writes PORT into $STATE/env before it lets the lock go.
choose_ports() {
  local taken port i
  taken=$(
    ss -Htanl | awk '{print $4}' | sed 's/.*://'
    sed -n 's/^\(export \)\?PORT=//p' "$RUN"/*/*/env 2>/dev/null || true
  )
  while :; do
    PORT=$((20000 + RANDOM % 1200 * 10)) # below the range the system takes for outgoing connections
    for i in 0 1 2 3 4 5 6 7 8 9; do
      port=$((PORT + i))
      if grep -qx "$port" <<<"$taken"; then continue 2; fi
    done
    return 0
  done
}

# with_lock COMMAND...: one at a time on this machine
with_lock() {
  mkdir -p "$RUN"
  exec 8>"$RUN/.lock"
  flock 8
  "$@"
  exec 8>&-
}

# identity PID: its start time, nothing if it is gone or only waits to be reaped. A process whose first thread waits for that
# is not gone before its other threads are: until then it holds its ports.
identity() {
  local stat
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
  set -- "$1"/task "${stat##*) }"
  # shellcheck disable=SC2206
  local fields=($2)
  if [ "${fields[0]}" != Z ] || [ "$(find "/proc/$1" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)" -gt 1 ]; then
    echo "${fields[19]}"
  fi
}

# pid_of NAME: the pid of a process of this instance, if it runs
pid_of() {
  local pid start
  read -r pid start 2>/dev/null <"$STATE/proc/$1.pid" || return 1
  [ "$(identity "$pid")" = "$start" ] && echo "$pid"
}
alive() { pid_of "$1" >/dev/null; }

# launch NAME COMMAND...: in the background, in a session of its own, holding none of the caller's pipes
launch() {
  local name=$1
  shift
  mkdir -p "$STATE/proc" "$STATE/log"
  printf '%q ' "$@" >"$STATE/proc/$name.cmd"
  relaunch "$name"
}
relaunch() {
  local name=$1
  eval "set -- $(cat "$STATE/proc/$name.cmd")"
  setsid "$@" >>"$STATE/log/$name.log" 2>&1 </dev/null 8>&- 9>&- &
  echo "$! $(identity $!)" >"$STATE/proc/$name.pid"
  disown $! # nobody is to wait for it, nor to hear of its end
}

# stop NAME [SIGNAL]: TERM or SIGNAL, and KILL after 20 s
stop() {
  local pid
  if pid=$(pid_of "$1"); then
    kill -CONT "$pid" 2>/dev/null || true # it may have been paused
    kill "-${2:-TERM}" "$pid" 2>/dev/null || true
    for _ in $(seq 200); do
      alive "$1" || break
      sleep .1
    done
    if alive "$1"; then kill -KILL "$pid" 2>/dev/null || true; fi
  fi
  rm -f "$STATE/proc/$1.pid"
}

# wait_for SECONDS NAME CONDITION...: until the command succeeds, or the process NAME has died
wait_for() {
  local end=$((SECONDS + $1)) name=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! alive "$name"; then
      say "$name died:"
      tail -n 15 "$STATE/log/$name.log" | cut -c1-300 >&2
      return 1
    fi
    if [ "$SECONDS" -ge "$end" ]; then
      say "$name is not ready in time:"
      tail -n 15 "$STATE/log/$name.log" | cut -c1-300 >&2
      return 1
    fi
    sleep .1
  done
}

# watch_owner DOWN...: runs the command once the process $OWNER_PID is gone (and this script is, lest they quarrel), so that
# a test run that is killed leaves nothing behind
watch_owner() {
  if [ -z "${OWNER_PID:-}" ] || alive watchdog; then return 0; fi
  launch watchdog "$env_dir/watchdog.sh" "$OWNER_PID" $$ "$@"
}
# stop_watchdog: unless it is who called us
stop_watchdog() {
  if [ "$(pid_of watchdog)" != $$ ]; then stop watchdog KILL; fi
}

# down_on_failure WHAT DOWN: if the script fails from here on, says so, and has what it has started of $NAME stopped
down_on_failure() {
  trap 'down_unless $? "'"$1"'" "'"$2"'"' EXIT
  trap 'exit 130' INT TERM
}
down_unless() { # STATUS WHAT DOWN
  if [ "$1" = 0 ]; then return; fi
  say "$2 did not start"
  "$3" "$NAME"
  exit "$1"
}

# control ACTION NAME: what ctl.sh does to one process
control() {
  local pid
  case $1 in
    stop) stop "$2" ;;
    kill) stop "$2" KILL ;;
    pause | resume)
      pid=$(pid_of "$2") || die "$2 does not run"
      if [ "$1" = pause ]; then kill -STOP "$pid"; else kill -CONT "$pid"; fi
      ;;
    start)
      [ -f "$STATE/proc/$2.cmd" ] || die "this instance has no $2"
      alive "$2" || relaunch "$2"
      ;;
    pid) pid_of "$2" ;;
    *) die "unknown action $1: start, stop, kill, pause, resume, pid" ;;
  esac
}

# jdk MINIMUM [MAXIMUM]: the home of a JDK whose version is in that range, the lowest; nothing if there is none
jdk() {
  local home version
  for home in ${JAVA_HOME:+"$JAVA_HOME"} /usr/lib/jvm/* /opt/java/* /opt/jdk* "$(readlink -f "$(command -v javac || true)" | sed 's|/bin/javac$||')"; do
    if [ ! -x "$home/bin/javac" ] || [ ! -x "$home/bin/jar" ]; then continue; fi
    version=$(sed -n 's/^JAVA_VERSION="\(1\.\)\?\([0-9]*\).*/\2/p' "$home/release" 2>/dev/null)
    if [ "${version:-0}" -ge "$1" ] && [ "${version:-0}" -le "${2:-999}" ]; then echo "$version $home"; fi
  done | sort -n | sed -n '1s/^[0-9]* //p'
}
