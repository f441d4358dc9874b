#!/usr/bin/env python3
"""Makes a container image of one layer, from nothing but files, as an OCI archive, always the same bytes.

usage: mkimage.py REFERENCE OUT.tar ENTRYPOINT_JSON FILE:PATH ...

A file that is given twice is stored once, the second time as a link.
"""
import gzip
import hashlib
import io
import json
import platform
import sys
import tarfile


def add(tar, name, data, mode=0o644):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    tar.addfile(info, io.BytesIO(data))


def add_folder(tar, name, mode=0o755):
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    tar.addfile(info)


def add_link(tar, name, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = tarfile.LNKTYPE, target, 0o755
    tar.addfile(info)


def root(files):
    """The layer: an uncompressed tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        folders, stored = {"etc", "tmp"}, {}
        add_folder(tar, "etc")
        add_folder(tar, "tmp", 0o1777)
        add(tar, "etc/passwd", b"root:x:0:0:root:/:/\nnonroot:x:65532:65532:nonroot:/:/\n")
        add(tar, "etc/group", b"root:x:0:\nnonroot:x:65532:\n")
        for file in files:
            source, path = file.rsplit(":", 1)
            path = path.lstrip("/")
            parts = path.split("/")[:-1]
            for n in range(1, len(parts) + 1):
                folder = "/".join(parts[:n])
                if folder not in folders:
                    add_folder(tar, folder)
                    folders.add(folder)
            if source in stored:
                add_link(tar, path, stored[source])
            else:
                with open(source, "rb") as f:
                    add(tar, path, f.read(), 0o755)
                stored[source] = path
    return out.getvalue()


def image(reference, entrypoint, files):
    """The index and the blobs of the image."""
    blobs = {}

    def blob(media_type, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    layer = root(files)
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    config = blob("application/vnd.oci.image.config.v1+json", json.dumps({
        "architecture": architecture, "os": "linux", "created": "1970-01-01T00:00:00Z",
        "config": {"Entrypoint": entrypoint, "Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }).encode())
    packed = blob("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(layer, 1, mtime=0))
    manifest_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = blob(manifest_type, json.dumps({
        "schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": [packed],
    }).encode())
    manifest["annotations"] = {
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": reference.rsplit(":", 1)[1],
    }
    return {"schemaVersion": 2, "manifests": [manifest]}, blobs


def main():
    reference, out, entrypoint, *files = sys.argv[1:]
    index, blobs = image(reference, json.loads(entrypoint), files)
    with tarfile.open(out, "w") as tar:
        add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        add(tar, "index.json", json.dumps(index).encode())
        for digest, data in sorted(blobs.items()):
            add(tar, "blobs/sha256/" + digest[7:], data)


if __name__ == "__main__":
    main()
