"""Makes images to measure pushes with. Every byte follows from the seed in the name.

Started as a process of its own (`images.py FOLDER`), so that what it holds in memory does not weigh
on the programs that are measured.
"""

import functools
import gzip
import hashlib
import io
import json
import pathlib
import random
import sys
import tarfile

MIB = 1 << 20
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(seed, size):
    """A plain tar of one file. About half of it remains after gzip, as with the files of a distribution."""
    rng = random.Random(seed)
    words = [rng.randbytes(rng.randint(3, 11)) for _ in range(512)]
    data = bytearray()
    while len(data) < size:
        data += b"".join(rng.choices(words, k=3000)) + rng.randbytes(6000)
    entry = tarfile.TarInfo("file")
    entry.size = size
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        tar.addfile(entry, io.BytesIO(bytes(data[:size])))
    return file.getvalue()


@functools.cache
def compressed(plain):
    return gzip.compress(plain, 6, mtime=0)


def config(layers):
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest(plain) for plain in layers]},
    }
    return json.dumps(document).encode()


def layout(folder, layers):
    """An OCI layout of one image with compressed layers."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(media_type, data):
        name = digest(data)
        (blobs / name.removeprefix("sha256:")).write_bytes(data)
        return {"mediaType": media_type, "digest": name, "size": len(data)}

    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": put(CONFIG, config(layers)),
        "layers": [put(LAYER, compressed(plain)) for plain in layers],
    }
    root = put(MANIFEST, json.dumps(document).encode())
    root["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [root]}))


def archive(path, layers):
    """What docker-save wrote before Docker 25: layers plain."""
    with tarfile.open(path, "w") as tar:

        def add(name, data):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))

        names = [f"{number}/layer.tar" for number in range(len(layers))]
        for name, plain in zip(names, layers):
            add(name, plain)
        add("config.json", config(layers))
        entry = {"Config": "config.json", "RepoTags": ["plain:1"], "Layers": names}
        add("manifest.json", json.dumps([entry]).encode())


def main(folder):
    layout(folder / "layers", [layer(f"layers {n}", 4 * MIB) for n in range(30)])
    layout(folder / "large", [layer(f"large {n}", 96 * MIB) for n in range(2)])
    archive(folder / "plain.tar", [layer(f"plain {n}", 48 * MIB) for n in range(4)])
    base = [layer(f"base {n}", 8 * MIB) for n in range(3)]
    for number in range(20):
        layout(folder / "images" / f"app{number:02}", [*base, layer(f"app {number}", MIB // 2)])


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
