"""A small disk that can be filled: a file system in memory, where the state directory lies."""

import pathlib
import subprocess


class SmallDisk:
    """For a Scenario: its state directory is a disk of DISK; fill() and make_room(). Skipped where nothing may be mounted."""

    DISK = "2m"

    def setUp(self):
        super().setUp()
        self.state_dir.mkdir(mode=0o700)
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.DISK},mode=0700", "tmpfs", str(self.state_dir)], capture_output=True, check=False)
        if made.returncode != 0:
            self.skipTest("no mounts here: " + made.stderr.decode())
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.state_dir)], check=False)

    def fill(self):
        fill(self.state_dir / "ballast")

    def make_room(self):
        (self.state_dir / "ballast").unlink()


def fill(path):
    """Writes there until the disk takes no more."""
    with open(pathlib.Path(path), "wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                pass
