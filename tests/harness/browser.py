"""Debian's headless Chromium, driven over its debugging pipe: no port, no library.

    browser = Browser(directory)
    page = browser.page()
    page.go("http://localhost:8080/")
    page.run("return (await fetch('/x')).status")
"""

import json
import os
import subprocess
import threading

from .raw import PATIENCE
from .scenario import eventually


class Failed(AssertionError):
    """What a script threw, or the browser said of a command."""


class Browser:
    def __init__(self, directory):
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe",
                   f"--user-data-dir={directory}/chromium", "about:blank"]
        # The browser reads descriptor 3 and writes 4.
        self.process = subprocess.Popen(["/bin/bash", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "bash", *command], pass_fds=(to_browser, from_browser),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        env={**os.environ, "HOME": str(directory)})
        os.close(to_browser)
        os.close(from_browser)
        self._said = threading.Condition()
        self._answers = {}
        self._next = 0
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        rest = b""
        while data := os.read(self._in, 1 << 16):
            *messages, rest = (rest + data).split(b"\0")
            with self._said:
                for message in map(json.loads, messages):
                    if "id" in message:
                        self._answers[message["id"]] = message
                self._said.notify_all()
        with self._said:
            self._ended = True
            self._said.notify_all()

    def ask(self, method, session=None, **parameters):
        with self._said:
            self._next += 1
            number = self._next
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._out, json.dumps(message).encode() + b"\0")
        with self._said:
            if not self._said.wait_for(lambda: number in self._answers or self._ended, PATIENCE * 3):
                raise Failed(f"{method}: no answer")
            answer = self._answers.pop(number, {"error": "the browser has ended"})
        if "error" in answer:
            raise Failed(f"{method}: {answer['error']}")
        return answer["result"]

    def page(self, alone=False):
        """A new tab; `alone`: with cookies of its own."""
        context = {"browserContextId": self.ask("Target.createBrowserContext")["browserContextId"]} if alone else {}
        target = self.ask("Target.createTarget", url="about:blank", **context)["targetId"]
        return Page(self, self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(20)
        self._reader.join(5)
        os.close(self._in)
        os.close(self._out)


class Page:
    def __init__(self, browser, session):
        self.browser, self.session = browser, session

    def go(self, url):
        """Shows a page; returns its text once it is loaded."""
        self.run("window.isOld = true")
        self.browser.ask("Page.navigate", self.session, url=url)
        eventually(lambda: self.run("return document.readyState === 'complete' && !window.isOld"), what=f"{url} is loaded")
        return self.run("return document.body ? document.body.innerText : ''")

    def run(self, script):
        """What the body of an async function returns in the page."""
        answer = self.browser.ask("Runtime.evaluate", self.session, expression=f"(async () => {{ {script} }})()", awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise Failed(answer["exceptionDetails"].get("exception", {}).get("description") or answer["exceptionDetails"]["text"])
        return answer["result"].get("value")
