"""hoist and its peers: which of them are here, and how each is told to push an image.

All of them trust the registry's certificate by `SSL_CERT_FILE`, which `measure.py` sets.
"""

import re
import shutil
import subprocess
import typing

# What each adds to the command line of hoist. Another binary is no option.
FORMS = {
    "hoist": [],
    "hoist -j 1": ["--jobs", "1"],
    "hoist -j 48": ["--jobs", "48"],
    "hoist forgets": ["--no-state", "--no-cache"],
    "hoist zstd": ["--compression", "zstd"],
    "hoist static": [],
}


class Target(typing.NamedTuple):
    port: int
    tls: bool

    @property
    def host(self):
        return f"localhost:{self.port}"

    def image(self, source):
        return f"{self.host}/bench/{source.stem}:1"


def forms(names, hoist, static):
    """Functions from source and target to the commands of a push, by name of the form."""
    binaries = {name: static if name == "hoist static" else hoist for name in ("hoist", *names)}
    return {name: one_form(binary, FORMS[name]) for name, binary in binaries.items() if binary}


def one_form(binary, options):
    def commands(source, target):
        several = source.name == "images"
        destination = f"{target.host}/bench/" if several else target.image(source)
        return [[binary, "push", "--quiet", *options, source, destination]]

    return commands


def peers():
    """As `forms`, of the peers that are on PATH; None in place of the commands of what one cannot do."""
    return {peer.__name__: one_by_one(peer) for peer in (crane, skopeo, regctl, oras) if there(peer)}


def there(peer):
    return shutil.which(peer.__name__)


def one_by_one(peer):
    def commands(source, target):
        sources = sorted(source.iterdir()) if source.name == "images" else [source]
        pushes = [peer(one, target) for one in sources]
        return pushes if all(pushes) else None

    return commands


def crane(source, target):
    return ["crane", "push", source, target.image(source)]


def skopeo(source, target):
    transport = "oci" if source.is_dir() else "docker-archive"
    verify = f"--dest-tls-verify={str(target.tls).lower()}"
    copy = ["skopeo", "copy", "--quiet", "--insecure-policy", verify]
    return [*copy, f"{transport}:{source}", f"docker://{target.image(source)}"]


def regctl(source, target):
    host = ["--host", f"reg={target.host},tls={'enabled' if target.tls else 'disabled'}"]
    if source.is_dir():
        return ["regctl", "image", "copy", *host, f"ocidir://{source}:1", target.image(source)]
    return ["regctl", "image", "import", *host, target.image(source), source]


def oras(source, target):
    if not source.is_dir():
        return None
    # Not said, it is true for localhost.
    plain = f"--to-plain-http={str(not target.tls).lower()}"
    copy = ["oras", "cp", "--no-tty", plain, "--from-oci-layout"]
    return [*copy, f"{source}:1", target.image(source)]


def versions():
    """What each peer calls its version."""
    asked = {
        "crane": ["crane", "version"],
        "skopeo": ["skopeo", "--version"],
        "regctl": ["regctl", "version", "--format", "{{.VCSTag}}"],
        "oras": ["oras", "version"],
    }
    return {name: version(command) for name, command in asked.items() if shutil.which(name)}


def version(command):
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode()
    found = re.search(r"\d+\.\d+[\w.+]*", said)
    return found[0].removesuffix("+unknown") if found else "of unknown version"
