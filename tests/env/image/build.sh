#!/usr/bin/env bash
# Builds the image by its Dockerfile, on a machine without an engine or a registry, and prints "export IMAGE=…", an OCI archive.
# What stands in for the base image is this machine: its programs and libraries, and the Rust that the tests are built with.
# For another architecture it is a Debian that has Rust for it; what is built there runs here by QEMU.
# Cold: as long as a build of the profile, which for the release is ten minutes; if nothing of it has changed, seconds. Needs root.
# usage: build.sh
# environment:
#   IMAGE_PROFILE=dev    how the program is built: `release`, as it is shipped, or `dev`, which is quick
#   IMAGE_ARCH=arm64     for arm64, on amd64
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../lib.sh
. "$here/../lib.sh"
project=$(cd "$here/../../.." && pwd)
arch=${IMAGE_ARCH:-}
work=$CACHE/image${arch:+-$arch}
[ "$(id -u)" = 0 ] || die "building the image without an engine needs root"
"$here/../require.sh" image rust ${arch:+image-arm64}
mkdir -p "$work/tmp"
exec 9>"$work/.lock"
flock 9 # another run may be building the same: wait for it

cat >"$work/storage.conf" <<TOML
[storage]
driver = "vfs"
graphroot = "$work/storage"
runroot = "$work/run"
TOML
export CONTAINERS_STORAGE_CONF=$work/storage.conf BUILDAH_ISOLATION=chroot
export TMPDIR=$work/tmp # where buildah keeps what the Dockerfile wants to be kept

# Layers are kept, since the next build starts from those that have not changed; but not for ever.
if [ "$(du -sm "$work" --exclude=tmp | cut -f1)" -gt 2000 ]; then buildah rmi --all --force >/dev/null; fi
base=$(sed -n 's/^FROM .* \(.*\) AS build$/\1/p' "$project/Dockerfile")

# this_machine ROOT: a base image that lacks all that is mounted over it
this_machine() {
  local root=$1
  mkdir -p "$root"/{etc/ssl/certs,tmp,usr/bin,usr/include,usr/lib,usr/lib64,usr/local/cargo,usr/local/rustup}
  for link in bin lib lib64; do ln -s "usr/$link" "$root/$link"; done
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  cp -a /etc/alternatives "$root/etc/" # where `cc` is found
}

# debian ROOT: a base image with Debian's Rust, where `rustup target add` gets Debian's libraries
debian() {
  local root=$1 suite=trixie
  debootstrap --variant=minbase --include=ca-certificates $suite "$root" >&2
  sed "s/ $suite / $suite-backports /" "$root/etc/apt/sources.list" >"$root/etc/apt/sources.list.d/backports.list"
  cat >"$root/usr/local/bin/rustup" <<'SH'
#!/bin/sh -e
dpkg --add-architecture arm64
apt-get update
exec apt-get install --yes --no-install-recommends --target-release trixie-backports libstd-rust-dev:arm64
SH
  chmod +x "$root/usr/local/bin/rustup"
  DEBIAN_FRONTEND=noninteractive chroot "$root" sh -ec "apt-get update
    apt-get install --yes --no-install-recommends gcc libc6-dev
    apt-get install --yes --no-install-recommends --target-release $suite-backports rustc cargo
    apt-get clean" >&2
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" # whom this machine trusts
}

if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
  container=$(buildah from scratch)
  root=$(buildah mount "$container")
  if [ -n "$arch" ]; then debian "$root"; else this_machine "$root"; fi
  buildah unmount "$container" >/dev/null
  buildah config --env CARGO_HOME=/usr/local/cargo --env PATH=/usr/local/rustup/bin:/usr/local/bin:/usr/bin:/usr/sbin "$container"
  buildah commit --quiet --rm "$container" "$base" >/dev/null
fi
if [ -n "$arch" ]; then
  # What newer builders know by themselves. Every layer would be a copy of a whole Debian.
  options=(--build-arg "BUILDPLATFORM=linux/amd64" --build-arg "TARGETARCH=$arch" --arch "$arch" --layers=false)
else
  options=(--layers --volume "$(cd "$project" && rustc --print sysroot):/usr/local/rustup:ro")
  for folder in /usr/bin /usr/include /usr/lib /usr/lib64; do
    if [ -d $folder ]; then options+=(--volume "$folder:$folder:ro"); fi
  done
fi

profile=${IMAGE_PROFILE:-dev}
archive=$work/$profile.tar
rm -f "$archive.new"
# The revision is none, so that a commit alone changes nothing.
ENGINE=buildah REVISION=test IMAGE='' ARCHIVE=$archive.new \
  nice -n 5 "$here/../image.sh" --pull-never --build-arg "PROFILE=$profile" "${options[@]}" 9>&-
mv "$archive.new" "$archive" # whoever reads the old one may go on
echo "export IMAGE=$archive"
