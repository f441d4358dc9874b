#!/usr/bin/env bash
# Checks that this machine has what the parts named need, all of it at once. As root on Debian or Ubuntu what is missing is
# installed; otherwise one line says what is missing and how to get it.
# usage: require.sh kubernetes|go|node|image|image-arm64|opensearch|elasticsearch|prometheus|alertmanager|schemas|browser|python|rust ...
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

packages=() # missing, and Debian has it
others=()   # missing, and has to be got elsewhere
need() { # COMMAND PACKAGE
  if ! command -v "$1" >/dev/null && [[ " ${packages[*]} " != *" $2 "* ]]; then packages+=("$2"); fi
}
check() {
  packages=()
  others=()
  local part go node
  [ "$(uname -s)" = Linux ] || others+=("Linux (this is $(uname -s))")
  for part in "$@"; do
    need curl curl
    need flock util-linux
    need ss iproute2
    case $part in
      kubernetes | go)
        [ "$part" = go ] || need openssl openssl
        go=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null || true)
        if [ "$(printf '%s\n' "go$GO_MINIMUM" "$go" | sort -V | head -1)" != "go$GO_MINIMUM" ]; then
          others+=("Go $GO_MINIMUM or newer (go.dev/dl)")
        fi
        ;;
      node)
        need containerd containerd
        need runc runc
        need iptables iptables
        need nsenter util-linux
        need python3 python3
        [ -x /usr/lib/cni/bridge ] || packages+=(containernetworking-plugins)
        ;;
      image)
        need buildah buildah
        [ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
        ;;
      image-arm64)
        need debootstrap debootstrap
        need qemu-aarch64-static qemu-user-static
        ;;
      opensearch | elasticsearch)
        need openssl openssl
        need mvn maven
        [ -n "$(jdk 17)" ] || packages+=(openjdk-17-jdk-headless)
        ;;
      prometheus) need promtool prometheus ;;
      alertmanager) need amtool prometheus-alertmanager ;;
      schemas)
        need python3 python3
        # Debian's Python has no pip for a virtual environment without that package.
        python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
        ;;
      browser)
        need chromium chromium
        need npm npm
        need node nodejs
        node=$(node --version 2>/dev/null || true)
        if [ -n "$node" ] && [ "$(printf '%s\n' "v$NODE_MINIMUM" "$node" | sort -V | head -1)" != "v$NODE_MINIMUM" ]; then
          others+=("Node.js $NODE_MINIMUM or newer (nodejs.org)")
        fi
        ;;
      python) need python3 python3 ;; # as the demo does
      rust)
        need cc gcc
        command -v cargo >/dev/null || others+=("Rust (rustup.rs)")
        ;;
      *) die "unknown part $part" ;;
    esac
  done
}

check "$@"
if [ ${#packages[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  say "installing ${packages[*]}"
  log=$(mktemp)
  if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 5 "$log" >&2
  fi
  rm -f "$log"
  check "$@"
fi
if [ ${#packages[@]} -gt 0 ]; then others+=("Debian's or your system's packages ${packages[*]}"); fi
if [ ${#others[@]} -gt 0 ]; then
  list=$(printf '; %s' "${others[@]}")
  die "missing here: ${list:2}. (Or point at servers of your own: \`make demo KUBECONFIG=… OPENSEARCH_URL=…\` needs only Rust, curl, kubectl and python3.)"
fi
