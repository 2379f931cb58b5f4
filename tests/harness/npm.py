"""Packages of npm that a test needs: installed once into build/, exactly the named versions, checked by npm against their integrity."""

import fcntl
import json
import pathlib
import shutil
import subprocess

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build"


def installed(name, packages):
    """A folder with node_modules/ of `packages` ({name: (version, integrity)}); `name` is the folder's."""
    place = BUILD / f"npm-{name}"
    wanted = json.dumps(packages, sort_keys=True)
    BUILD.mkdir(exist_ok=True)
    with open(BUILD / f"npm-{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = place / "ready"
        if ready.exists() and ready.read_text() == wanted:
            return place
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        (place / "package.json").write_text('{"private": true, "type": "module"}')
        names = [f"{package}@{version}" for package, (version, _) in packages.items()]
        subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--save-exact", *names], cwd=place, check=True, capture_output=True)
        lockfile = json.loads((place / "package-lock.json").read_text())["packages"]
        for package, (version, integrity) in packages.items():
            found = lockfile[f"node_modules/{package}"]
            if (found["version"], found["integrity"]) != (version, integrity):
                raise AssertionError(f"npm has another {package}@{version}: {found['integrity']}")
        ready.write_text(wanted)
        return place
