#!/usr/bin/env bash
# The container image, by docker, podman or buildah, whichever is here.
# usage: image.sh ARGUMENT…     (of the engine's build)
# environment:
#   ENGINE=…     this engine
#   IMAGE=…      the image's name (default: kubernetes-event-exporter:VERSION)
#   PLATFORM=…   for this one (linux/amd64 or linux/arm64; default: this machine's)
#   ARCHIVE=…    write it into this file too, for nodes to load (`ctr images import`, `kind load image-archive`)
#   REVISION=…   what it is built of (default: git's commit)
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
cd "$env_dir/../.."

works() { "$1" info >/dev/null 2>&1; } # docker may be there without a daemon
if [ -z "${ENGINE:-}" ]; then
  for ENGINE in docker podman buildah ""; do
    if [ -z "$ENGINE" ]; then die "missing here: docker, podman or buildah, one that works"; fi
    works "$ENGINE" && break
  done
fi
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
IMAGE=${IMAGE:-kubernetes-event-exporter:$version}
REVISION=${REVISION:-$(git rev-parse --short HEAD 2>/dev/null || echo unknown)}

say "$IMAGE: building with $ENGINE"
if [ -n "${PLATFORM:-}" ]; then set -- --platform "$PLATFORM" "$@"; fi
"$ENGINE" build --build-arg "VERSION=$version" --build-arg "REVISION=$REVISION" --tag "$IMAGE" "$@" . >&2
if [ -n "${ARCHIVE:-}" ]; then
  case $ENGINE in
    docker) docker save --output "$ARCHIVE" "$IMAGE" ;;
    podman) podman save --format oci-archive --output "$ARCHIVE" "$IMAGE" ;;
    # What has no host is docker.io's to a node, as it is to docker.
    buildah) buildah push --quiet "$IMAGE" "oci-archive:$ARCHIVE:docker.io/library/$IMAGE" ;;
  esac
fi
