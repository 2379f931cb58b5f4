"""The documents say what the binary says: generated pages, help, settings tables, examples, metric names."""

import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import run

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
COMMANDS = ([], ["serve"], ["check"], ["token"], ["token", "create"], ["token", "list"], ["token", "revoke"], ["backup"], ["top"], ["health"], ["export", "kubernetes"], ["export", "prometheus-rules"], ["alerts", "test"], ["docs"])


def table_rows(text):
    """The cells of every table row of a Markdown text."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]


def settings():
    """Each setting's path with its default, from docs/config.md."""
    found = {}
    section = ""
    for line in (DOCS / "config.md").read_text().splitlines():
        if line.startswith("## "):
            section = line[3:].strip("[]")
        elif line.startswith("| `") and " " not in section:
            cells = table_rows(line)[0]
            found[f"{section}.{cells[0].strip('`')}"] = cells[2]
    return found


class Generated(unittest.TestCase):
    maxDiff = None

    def test_help_is_as_it_was(self):
        texts = [run(*arguments, "--help").stdout for arguments in COMMANDS]
        self.assertEqual("\n".join(texts), (ROOT / "tests/golden/help.txt").read_text())

    def test_generated_pages_are_what_the_binary_prints(self):
        for what in ("config", "metrics", "api"):  # api: so every path of the API is in a page
            self.assertEqual(run("docs", what).stdout, (DOCS / f"{what}.md").read_text(), f"headroom docs {what} > docs/{what}.md")


class Pages(unittest.TestCase):
    def test_defaults_named_in_pages_are_the_defaults(self):
        known = settings()
        for page in sorted(DOCS.glob("*.md")):
            for cells in table_rows(page.read_text().partition("\n## Settings\n")[2].partition("\n## ")[0]):
                name = cells[0].strip("`")
                if page.name == "config.md" or name == "setting" or "." not in name:
                    continue
                self.assertEqual(cells[1], known.get(name), f"{page.name}: {name}")

    def files(self, directory):
        """What examples name under /etc/headroom."""
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=example.org",
                        "-keyout", "example.org.key", "-out", "example.org.pem"], cwd=directory, check=True, capture_output=True)
        for name, source in (("example.net.key", "example.org.key"), ("example.net.pem", "example.org.pem"), ("clients.pem", "example.org.pem")):
            shutil.copy(directory / source, directory / name)
        (directory / "app-jwks.json").write_text(json.dumps({"keys": [  # RFC 7517 appendix A.1
            {"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
             "alg": "ES256", "kid": "1"}]}))

    def test_examples_are_accepted(self):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="headroom-docs-"))
        self.addCleanup(shutil.rmtree, directory)
        self.files(directory)
        for page in [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]:
            for number, example in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL), 1):
                with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
                    file.write(example.replace("/etc/headroom", str(directory)))
                    file.flush()
                    done = run("check", file.name)
                self.assertEqual(done.returncode, 0, f"{page.name}, example {number}: {done.stderr}")

    def test_links_lead_somewhere(self):
        for page in [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("bench/*.md")]:
            for link in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text()):
                self.assertTrue((page.parent / link).exists(), f"{page.name}: {link}")

    def test_every_metric_of_the_code_is_listed(self):
        listed = (DOCS / "metrics.md").read_text()
        for source in ROOT.glob("headroom/*/*.[hc]*"):
            if "_test" not in source.name:
                for name in re.findall(r'"(headroom_[a-z_]+_[a-z_]+)"', source.read_text()):
                    self.assertIn(f"`{name}`", listed, source.name)


if __name__ == "__main__":
    unittest.main()
