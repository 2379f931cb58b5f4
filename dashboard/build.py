#!/usr/bin/python3
"""Builds the dashboard and writes a C++ file that holds it.

    dashboard/build.py --npm NPM OUT.cc     npm ci and vite build in build/dashboard, unless these sources have been built already
    dashboard/build.py --absent OUT.cc      a file that holds nothing
"""

import fcntl
import gzip
import hashlib
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PLACE = HERE.parent / "build" / "dashboard"
LIMIT = 150 * 1024  # bytes gzipped
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}

HEAD = """// Made by dashboard/build.py; not to be edited. {digest}
#include "headroom/server/dashboard.h"

#include <array>

"""


def sources():
    files = [HERE / "index.html", *sorted(HERE.glob("*.json")), *sorted(HERE.glob("*.ts")), *sorted(file for file in (HERE / "src").rglob("*") if file.is_file())]
    return {file.relative_to(HERE): file.read_bytes() for file in files}


def run(command, place):
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}\n(without the dashboard: cmake -DHR_DASHBOARD=OFF)")


def built(npm):
    """The folder of the finished files of these sources."""
    texts = sources()
    digest = hashlib.sha256(repr(sorted((str(name), hashlib.sha256(text).hexdigest()) for name, text in texts.items())).encode()).hexdigest()[:16]
    PLACE.mkdir(parents=True, exist_ok=True)
    with open(PLACE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        dist = PLACE / f"dist-{digest}"
        if dist.exists():
            return dist, digest
        work = PLACE / "work"
        shutil.rmtree(work / "src", ignore_errors=True)
        for name, text in texts.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(text)
        wanted = texts[pathlib.Path("package-lock.json")]
        ready = work / "installed"
        if not ready.exists() or ready.read_bytes() != wanted:
            run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], work)
            run(["node", "node_modules/esbuild/install.js"], work)
            ready.write_bytes(wanted)
        run(["node", "node_modules/typescript/bin/tsc", "--noEmit"], work)
        run(["node", "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn"], work)
        shutil.move(work / "dist", dist)
        return dist, digest


def symbol(number):
    return f"headroom_dashboard_{number}"


def text_of(dist, digest):
    packed = PLACE / f"gz-{digest}"
    packed.mkdir(exist_ok=True)
    parts, rows, total = [HEAD.format(digest=digest)], [], 0
    for number, file in enumerate(sorted(file for file in dist.rglob("*") if file.is_file())):
        data = gzip.compress(file.read_bytes(), 9, mtime=0)
        (packed / f"{number}.gz").write_bytes(data)
        total += len(data)
        path = "/" if file.name == "index.html" else "/" + str(file.relative_to(dist))
        etag = hashlib.sha256(data).hexdigest()[:20]
        name = symbol(number)
        parts.append(f'__asm__(".section .rodata\\n.global {name}\\n{name}:\\n.incbin \\"{packed / f"{number}.gz"}\\"\\n.previous\\n");\n'
                     f'extern "C" const char {name}[];\n')
        rows.append(f'    Asset{{"{path}", "{TYPES[file.suffix]}", "\\"{etag}\\"", {{{name}, {len(data)}}}}},\n')
    if total > LIMIT:
        sys.exit(f"the dashboard has {total} bytes gzipped; {LIMIT} are allowed")
    parts.append("\nnamespace headroom::server {\n\nstd::span<const Asset> dashboard_assets() {\n"
                 f"  static const std::array<Asset, {len(rows)}> assets{{\n{''.join(rows)}  }};\n  return assets;\n}}\n\n}}  // namespace headroom::server\n")
    return "".join(parts)


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "--npm":
        text = text_of(*built(sys.argv[2]))
    elif len(sys.argv) == 3 and sys.argv[1] == "--absent":
        text = HEAD.format(digest="absent") + "namespace headroom::server {\n\nstd::span<const Asset> dashboard_assets() { return {}; }\n\n}  // namespace headroom::server\n"
    else:
        sys.exit(__doc__)
    out = pathlib.Path(sys.argv[-1])
    if not out.exists() or out.read_text() != text:
        out.write_text(text)
    else:
        out.touch()


if __name__ == "__main__":
    main()
