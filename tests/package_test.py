"""The Debian package: what is in it, what its unit says to systemd, and what installing and purging it does."""

import os
import pathlib
import shutil
import subprocess
import unittest

from harness import Scenario, binary
from harness.process import environment


def output_of(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, **more)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


@unittest.skipIf(os.environ.get("HEADROOM_SANITIZED"), "a sanitized binary is not packaged")
class Package(Scenario):
    @classmethod
    def setUpClass(cls):
        cls.place = pathlib.Path(output_of("mktemp", "-d", "/var/tmp/headroom-package.XXXXXX").strip())
        cls.addClassCleanup(shutil.rmtree, cls.place, ignore_errors=True)
        output_of("cpack", "--config", pathlib.Path(binary()).parent / "CPackConfig.cmake", "-B", cls.place / "work")
        (cls.package,) = (cls.place / "work").glob("*.deb")
        cls.root = cls.place / "root"
        output_of("dpkg-deb", "-x", cls.package, cls.root)

    def field(self, name):
        return output_of("dpkg-deb", "-f", self.package, name).strip()

    def test_it_names_its_version_and_the_libraries_it_needs(self):
        version = output_of(binary(), "--version", env=environment()).split()[1]
        self.assertEqual((self.field("Package"), self.field("Version")), ("headroom", version))
        for library in ("libc6", "libssl3", "libsqlite3-0", "libspdlog1.10-fmt9", "passwd"):
            self.assertIn(library, self.field("Depends"))

    def test_it_holds_binary_unit_settings_and_documents_and_nothing_for_building(self):
        files = {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}
        wanted = {"usr/bin/headroom", "lib/systemd/system/headroom.service", "lib/systemd/system/headroom@.service", "etc/headroom/headroom.toml",
                  "etc/default/headroom", "usr/share/doc/headroom/copyright", "usr/share/doc/headroom/config.md", "usr/share/doc/headroom/operations.md"}
        self.assertEqual(wanted - files, set())
        self.assertEqual([name for name in files if name.endswith((".h", ".a", ".cmake"))], [])
        self.assertEqual(output_of("dpkg-deb", "-I", self.package, "conffiles").split(), ["/etc/headroom/headroom.toml", "/etc/default/headroom"])

    def test_its_settings_are_good(self):
        output_of(self.root / "usr/bin/headroom", "check", self.root / "etc/headroom/headroom.toml", env=environment())

    def test_systemd_takes_its_units_without_a_word_and_finds_little_to_expose(self):
        units = self.place / "units"  # the targets that a unit needs come from the machine
        shutil.copytree(self.root, units)
        shutil.copytree("/lib/systemd/system", units / "lib/systemd/system", dirs_exist_ok=True, symlinks=True,
                        ignore=lambda _, names: [name for name in names if not name.endswith((".target", ".slice"))])
        (units / "bin").mkdir()
        shutil.copy("/bin/kill", units / "bin/kill")
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", f"--root={units}", "headroom.service", "headroom@next.service"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        output_of("systemd-analyze", "security", "--offline=true", "--threshold=20", f"--root={units}", "headroom.service")

    def test_installed_it_has_a_user_and_a_state_directory_serves_as_that_user_and_is_purged_whole(self):
        machine = self.place / "machine"
        for name in ("upper", "work", "merged"):
            (machine / name).mkdir(parents=True)
        shutil.copy(self.package, machine / "upper/headroom.deb")
        # This machine as the package would find it: what is written goes into a layer of its own, seen by these commands alone.
        script = f"""
set -e
trap 'exit 77' ERR  # no layers of file systems here
mount -t tmpfs none {machine} && mkdir -p {machine}/upper {machine}/work {machine}/merged && cp {self.package} {machine}/upper/headroom.deb
mount -t overlay overlay -o lowerdir=/,upperdir={machine}/upper,workdir={machine}/work {machine}/merged
mount --bind /proc {machine}/merged/proc && mount --bind /dev {machine}/merged/dev && mount -t tmpfs none {machine}/merged/run
trap - ERR
rm -rf {machine}/merged/var/lib/headroom {machine}/merged/etc/headroom  # of whoever ran it here as root
exec chroot {machine}/merged /bin/bash -ec '
  dpkg --force-depends -i /headroom.deb
  stat -c "%U:%G %a %n" /var/lib/headroom /etc/default/headroom
  as="setpriv --reuid=headroom --regid=headroom --clear-groups"
  $as headroom token create --name first --role admin --config /etc/headroom/headroom.toml
  timeout -s TERM 3 $as headroom serve --config /etc/headroom/headroom.toml --take-over \\
    --set admin.listen=127.0.0.1:0 --set tasks.listen=127.0.0.1:0 2>&1 || test $? = 124
  enabled=/etc/systemd/system/multi-user.target.wants/headroom.service
  test -e $enabled
  chmod 0640 /etc/default/headroom; chgrp adm /etc/default/headroom
  dpkg --force-depends -i /headroom.deb   # again: an upgrade
  stat -c "%U:%G %a" /etc/default/headroom | grep -qx "root:adm 640"; test -e $enabled
  rm /etc/default/headroom                # the unit needs none
  dpkg --force-depends -i /headroom.deb; test ! -e /etc/default/headroom
  dpkg -r headroom; dpkg --force-depends -i /headroom.deb
  test -e $enabled; test ! -L /etc/systemd/system/headroom.service
  systemctl disable headroom.service      # by an admin: it stays so
  dpkg --force-depends -i /headroom.deb; test ! -e $enabled
  dpkg -r headroom; dpkg --force-depends -i /headroom.deb; test ! -e $enabled
  echo "the service is as it was left"
  echo "# mine" >>/etc/headroom/headroom.toml
  dpkg -r headroom; test -e /var/lib/headroom/tokens.db; grep -q mine /etc/headroom/headroom.toml
  dpkg -P headroom; test ! -e /var/lib/headroom; test ! -e /etc/headroom/headroom.toml; test ! -e /usr/bin/headroom
  if getent passwd headroom; then exit 1; fi
  echo purged'
"""
        shutil.rmtree(machine / "upper")
        if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
            self.skipTest("no namespace of mounts may be made here")
        done = subprocess.run(["unshare", "-m", "--propagation", "private", "bash", "-c", script], capture_output=True, text=True, timeout=90, env=environment())
        said = done.stdout + done.stderr
        if done.returncode == 77:
            self.skipTest("no layer over the file system can be mounted here: " + done.stderr)
        self.assertEqual(done.returncode, 0, said)
        self.assertIn("headroom:headroom 700 /var/lib/headroom", said)
        self.assertIn("root:root 600 /etc/default/headroom", said)
        self.assertRegex(said, r"(?m)^hr_[A-Za-z0-9_-]{48}$")
        self.assertIn("headroom: admin listening on 127.0.0.1:", said)
        self.assertIn("the service is as it was left", done.stdout)
        self.assertIn("purged", done.stdout)


if __name__ == "__main__":
    unittest.main()
