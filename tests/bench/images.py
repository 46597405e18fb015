"""Makes the images that pushes are measured with. Every byte follows from the names in here.

Run as a process of its own, `images.py FOLDER NAME...`, so that what it takes of memory does not count
for the programs that are measured. `large-1024` and `plain-384.tar` say in their names how many MiB they
have, `small-1000` how many images; what is there already stays.
"""

import hashlib
import json
import pathlib
import random
import shutil
import sys
import tarfile
import zlib

MIB = 1 << 20
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


def main(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if (folder / name).exists():
            read(folder / name)
            continue
        unfinished = folder / f"{name}.new"
        if unfinished.is_dir():
            shutil.rmtree(unfinished)
        make(name, unfinished)
        unfinished.rename(folder / name)


def read(path):
    """So that it is in memory, as what was just made is."""
    for file in [path, *path.rglob("*")]:
        if file.is_file():
            with open(file, "rb", buffering=0) as content:
                while content.read(MIB):
                    pass


def make(name, path):
    kind, _, count = name.removesuffix(".tar").partition("-")
    if kind == "large":
        layout(path, {"1": [Noise(f"large {n}", int(count) * MIB // 4) for n in range(4)]})
    elif kind == "many":
        # With its config this makes 41 blobs.
        layout(path, {"1": [Noise(f"many {n}", MIB) for n in range(40)]})
    elif kind == "images":
        base = [Noise(f"base {n}", 8 * MIB) for n in range(3)]
        for number in range(20):
            layout(path / f"app{number:02}", {"1": [*base, Noise(f"app {number}", MIB // 2)]})
    elif kind == "small":
        base = Noise("base", 1 << 16)
        apps = {f"app{n:05}:1": [base, Noise(f"app {n}", 1 << 12)] for n in range(int(count))}
        layout(path, apps)
    elif kind == "plain":
        archive(path, [Mixed(f"plain {n}", int(count) * MIB // 4) for n in range(4)])
    else:
        raise SystemExit(f"images: no image {name}")


class Noise:
    """A layer of bytes that nothing makes smaller, as those of a layer that is compressed already."""

    def __init__(self, seed, size):
        self.seed, self.size = seed, size

    def content(self):
        rng = random.Random(self.seed)
        for piece in pieces(self.size):
            yield rng.randbytes(piece)

    def tar(self):
        """Its plain bytes: a tar of one file, in pieces."""
        entry = tarfile.TarInfo("file")
        entry.size = self.size
        yield entry.tobuf()
        yield from self.content()
        yield bytes(-self.size % 512 + 1024)

    def tar_size(self):
        return 512 + self.size + (-self.size % 512) + 1024


class Mixed(Noise):
    """A layer of few words in any order and of noise, of which gzip leaves about three quarters."""

    def content(self):
        rng = random.Random(self.seed)
        words = [rng.randbytes(rng.randint(3, 11)) for _ in range(4096)]
        for piece in pieces(self.size):
            mixed = bytearray()
            while len(mixed) < piece:
                mixed += b"".join(rng.choices(words, k=3000))
                mixed += rng.randbytes(6000)
            yield bytes(mixed[:piece])


def pieces(size):
    """`size` in pieces of at most 4 MiB."""
    return (min(4 * MIB, size - at) for at in range(0, size, 4 * MIB))


def layout(folder, images):
    """An OCI layout of images with compressed layers, by name."""
    blobs = Blobs(folder / "blobs" / "sha256")
    packed = {}
    manifests = []
    for name, layers in images.items():
        for layer in layers:
            if layer not in packed:
                packed[layer] = blobs.layer(layer)
        descriptors, diff_ids = zip(*(packed[layer] for layer in layers))
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blobs.put(CONFIG, config(name, diff_ids)),
            "layers": descriptors,
        }
        root = blobs.put(MANIFEST, json.dumps(document).encode())
        manifests.append(root | {"annotations": {"org.opencontainers.image.ref.name": name}})
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))


class Blobs:
    """Files named by what is in them."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)

    def put(self, media_type, data):
        sha256 = hashlib.sha256(data).hexdigest()
        (self.folder / sha256).write_bytes(data)
        return descriptor(media_type, sha256, len(data))

    def layer(self, layer):
        """Descriptor and diff_id of the layer that is written."""
        plain, packed = hashlib.sha256(), hashlib.sha256()
        # No smaller, but what a compressed layer looks like.
        pack = zlib.compressobj(0, wbits=31)
        new = self.folder / "new"
        with open(new, "wb") as file:

            def add(data):
                packed.update(data)
                file.write(data)

            for piece in layer.tar():
                plain.update(piece)
                add(pack.compress(piece))
            add(pack.flush())
            size = file.tell()
        new.rename(self.folder / packed.hexdigest())
        return descriptor(LAYER, packed.hexdigest(), size), "sha256:" + plain.hexdigest()


def descriptor(media_type, sha256, size):
    return {"mediaType": media_type, "digest": "sha256:" + sha256, "size": size}


def config(name, diff_ids):
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": {"name": name}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    return json.dumps(document).encode()


def archive(path, layers):
    """What docker-save wrote before Docker 25: layers plain."""
    with open(path, "wb") as file:

        def add(name, size, chunks):
            entry = tarfile.TarInfo(name)
            entry.size = size
            file.write(entry.tobuf())
            sha256 = hashlib.sha256()
            for chunk in chunks:
                sha256.update(chunk)
                file.write(chunk)
            file.write(bytes(-size % 512))
            return "sha256:" + sha256.hexdigest()

        names = [f"{number}/layer.tar" for number in range(len(layers))]
        diff_ids = [
            add(name, layer.tar_size(), layer.tar()) for name, layer in zip(names, layers)
        ]
        entry = {"Config": "config.json", "RepoTags": ["plain:1"], "Layers": names}
        for name, data in [
            ("config.json", config("plain", diff_ids)),
            ("manifest.json", json.dumps([entry]).encode()),
        ]:
            add(name, len(data), [data])
        file.write(bytes(1024))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2:])
