"""Makes the images that pushes are measured with. Every byte follows from the names in here.

Run as a process of its own, `images.py FOLDER NAME...`, so that what it takes of memory does not count
for the programs that are measured. `large-1024` and `plain-384.tar` say their MiB in their names; what is
there already stays.
"""

import hashlib
import itertools
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
            continue
        unfinished = folder / f"{name}.new"
        if unfinished.is_dir():
            shutil.rmtree(unfinished)
        make(name, unfinished)
        unfinished.rename(folder / name)


def make(name, path):
    kind, _, mib = name.removesuffix(".tar").partition("-")
    if kind == "large":
        layout(path, [Noise(f"large {n}", int(mib) * MIB // 4) for n in range(4)])
    elif kind == "many":
        # With its config this makes 41 blobs.
        layout(path, [Noise(f"many {n}", MIB) for n in range(40)])
    elif kind == "images":
        base = [Noise(f"base {n}", 8 * MIB) for n in range(3)]
        for number in range(20):
            layout(path / f"app{number:02}", [*base, Noise(f"app {number}", MIB // 2)])
    elif kind == "plain":
        archive(path, [Mixed(f"plain {n}", int(mib) * MIB // 4) for n in range(4)])
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

    def gzip(self):
        pack = zlib.compressobj(0, wbits=31)
        for piece in self.tar():
            yield pack.compress(piece)
        yield pack.flush()


class Mixed(Noise):
    """A layer of text and noise of which gzip leaves about half, as of the files of a distribution."""

    def content(self):
        rng = random.Random(self.seed)
        text = prose(self.seed)
        for piece in pieces(self.size):
            mixed = bytearray()
            while len(mixed) < piece:
                # Longer than the window of deflate: it does not see that the text comes again.
                start = rng.randrange(len(text) - 48 * 1024)
                mixed += text[start : start + rng.randrange(16 * 1024, 48 * 1024)]
                mixed += rng.randbytes(rng.randrange(12 * 1024))
            yield bytes(mixed[:piece])


def prose(seed):
    """8 MiB of words, few of them often and many of them rarely."""
    rng = random.Random(f"prose {seed}")
    letters = "etaoinshrdlucmfwygpbvk"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 11))) for _ in range(8192)]
    weights = list(itertools.accumulate(1 / (n + 8) for n in range(len(words))))
    text = bytearray()
    while len(text) < 8 * MIB:
        line = rng.choices(words, cum_weights=weights, k=4000)
        text += " ".join(line).encode() + b"\n%d\n" % rng.getrandbits(60)
    return bytes(text)


def pieces(size):
    """`size` in pieces of at most 4 MiB."""
    return (min(4 * MIB, size - at) for at in range(0, size, 4 * MIB))


def digest(chunks):
    sha256 = hashlib.sha256()
    for chunk in chunks:
        sha256.update(chunk)
    return "sha256:" + sha256.hexdigest()


def config(layers):
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer.tar()) for layer in layers]},
    }
    return json.dumps(document).encode()


def layout(folder, layers):
    """An OCI layout of one image with compressed layers."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(media_type, chunks):
        sha256 = hashlib.sha256()
        size = 0
        with open(blobs / "new", "wb") as file:
            for chunk in chunks:
                sha256.update(chunk)
                size += file.write(chunk)
        (blobs / "new").rename(blobs / sha256.hexdigest())
        return {"mediaType": media_type, "digest": "sha256:" + sha256.hexdigest(), "size": size}

    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": put(CONFIG, [config(layers)]),
        "layers": [put(LAYER, layer.gzip()) for layer in layers],
    }
    root = put(MANIFEST, [json.dumps(document).encode()])
    root["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [root]}))


def archive(path, layers):
    """What docker-save wrote before Docker 25: layers plain."""
    with open(path, "wb") as file:

        def add(name, size, chunks):
            entry = tarfile.TarInfo(name)
            entry.size = size
            file.write(entry.tobuf())
            for chunk in chunks:
                file.write(chunk)
            file.write(bytes(-size % 512))

        names = [f"{number}/layer.tar" for number in range(len(layers))]
        for name, layer in zip(names, layers):
            add(name, layer.tar_size(), layer.tar())
        entry = {"Config": "config.json", "RepoTags": ["plain:1"], "Layers": names}
        for name, data in [
            ("config.json", config(layers)),
            ("manifest.json", json.dumps([entry]).encode()),
        ]:
            add(name, len(data), [data])
        file.write(bytes(1024))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2:])
