#!/usr/bin/python3
"""Keeps the walls between rooms standing: reads every include and every hr_module() call, and fails on what crosses one.

Usage: tools/rooms.py [ROOT]       (ROOT: the source tree; default: the one this file is in)

It fails on
  - a room without a floor, or an hr_module() call that names another room than its folder;
  - a DEPENDS on an unknown room, on a higher floor, on another product (floor 5), or in a circle;
  - an include of a room that is not in DEPENDS, or of another room's header that is not in its PUBLIC list;
  - an include that does not exist, or is not written from the source root;
  - Asio or Boost in base, Asio in a room that is declared NO_ASIO;
  - a .cc file that is in neither SOURCES nor TESTS nor a program of the room, a PUBLIC header that is not there, a private header nobody includes.
Tests may include their own room's private headers; they see other rooms as their room does.
"""

import pathlib
import re
import sys

# DESIGN.md, "Rooms and floors". Arrows run down, or sideways where declared; never between products.
FLOORS = {
    "base": 0,
    "config": 1, "json": 1, "net": 1,
    "coding": 2, "http": 2, "websocket": 2, "resp": 2, "pgwire": 2, "fwp": 2,
    "auth": 3, "redis": 3, "postgres": 3, "sqlite": 3, "mongo": 3,
    "cache": 4, "limit": 4, "link": 4,
    "edge": 5, "sql": 5, "realtime": 5, "tasks": 5, "advisor": 5,
    "monitor": 6,
    "load": 7,
    "server": 8,
}
PRODUCTS = 5

LISTS = ("PUBLIC", "SOURCES", "TESTS", "DEPENDS", "LIBS")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
MODULE = re.compile(r"\bhr_module\s*\(([^)]*)\)", re.DOTALL)
PROGRAM = re.compile(r"\badd_executable\s*\(([^)]*)\)", re.DOTALL)
ASIO = re.compile(r"^(boost/)?asio(/|\.hpp)")


class Room:
    """One folder of headroom/ with the words of its hr_module() call."""

    def __init__(self, folder, cmake):
        self.name = folder.name
        self.folder = folder
        self.cmake = cmake
        self.line = 1
        self.declared_name = None
        self.no_asio = False
        self.lists = {name: [] for name in LISTS}
        self.programs = []  # files of add_executable()
        self.lines = {}  # word -> line in the CMakeLists.txt

    def line_of(self, word):
        return self.lines.get(word, self.line)


def read_room(folder):
    """The room of `folder`; its declared_name stays None when there is no hr_module() call."""
    cmake = folder / "CMakeLists.txt"
    room = Room(folder, cmake)
    text = re.sub(r"#[^\n]*", "", cmake.read_text(encoding="utf-8"))
    for program in PROGRAM.finditer(text):
        room.programs += program.group(1).split()[1:]
    call = MODULE.search(text)
    if call is None:
        return room
    room.line = text.count("\n", 0, call.start()) + 1
    current = None
    for match in re.finditer(r"[^\s]+", call.group(1)):
        word = match.group().strip('"')
        line = text.count("\n", 0, call.start(1) + match.start()) + 1
        if word == "NO_ASIO":
            room.no_asio = True
        elif word in LISTS:
            current = word
        elif current is None:
            room.declared_name = word
        else:
            room.lists[current].append(word)
            room.lines[word] = line
    return room


def includes_of(path):
    """(line, quote, name) of every include of a file."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1), match.group(2)


class Checker:
    def __init__(self, root, floors):
        self.root = root
        self.floors = floors
        self.errors = []
        self.rooms = {}
        self.included = set()  # every header of ours that somebody includes, from the source root

    def error(self, path, line, message):
        self.errors.append(f"{path.relative_to(self.root)}:{line}: {message}")

    def run(self):
        for cmake in sorted(self.root.glob("headroom/*/CMakeLists.txt")):
            room = read_room(cmake.parent)
            self.rooms[room.name] = room
        for room in self.rooms.values():
            self.check_declaration(room)
        for room in self.rooms.values():
            for path in self.files_of(room):
                self.check_includes(room, path)
        for room in self.rooms.values():
            self.check_files(room)
        self.check_circles()
        return sorted(self.errors, key=self.order)

    @staticmethod
    def order(error):
        path, line, _ = error.split(":", 2)
        return path, int(line), error

    def files_of(self, room):
        return sorted(p for p in room.folder.rglob("*") if p.suffix in (".h", ".cc"))

    def is_test(self, room, path):
        """Tests, and the headers that only tests share (..._test.h)."""
        return str(path.relative_to(room.folder)) in room.lists["TESTS"] or path.stem.endswith("_test")

    def check_declaration(self, room):
        if room.declared_name is None:
            return self.error(room.cmake, 1, f"no hr_module({room.name} ...) call")
        if room.declared_name != room.name:
            self.error(room.cmake, room.line, f"room '{room.name}' calls itself '{room.declared_name}'")
        if room.name not in self.floors:
            return self.error(room.cmake, room.line,
                              f"room '{room.name}' has no floor; give it one in FLOORS of tools/rooms.py")
        for other in room.lists["DEPENDS"]:
            self.check_dependency(room, other)
        return None

    def check_dependency(self, room, other):
        line = room.line_of(other)
        if other == room.name:
            return self.error(room.cmake, line, f"'{other}' depends on itself")
        if other not in self.rooms or other not in self.floors:
            return self.error(room.cmake, line, f"'{room.name}' depends on '{other}', which is no room")
        here, there = self.floors[room.name], self.floors[other]
        if there > here:
            self.error(room.cmake, line,
                       f"'{room.name}' (floor {here}) depends on '{other}' (floor {there}): arrows run down only")
        elif here == there == PRODUCTS:
            self.error(room.cmake, line,
                       f"'{room.name}' depends on '{other}': products meet on a lower floor, never directly")
        return None

    def check_includes(self, room, path):
        for line, quote, name in includes_of(path):
            if name.startswith("headroom/"):
                self.included.add(name)
                self.check_own_include(room, path, line, name)
            elif quote == '"':
                self.error(path, line, f'#include "{name}": write it from the source root, "headroom/..."')
            elif room.name == "base" and (name.startswith("boost/") or ASIO.match(name)):
                self.error(path, line, f"<{name}>: base knows neither Boost nor Asio")
            elif room.no_asio and ASIO.match(name):
                self.error(path, line, f"<{name}>: '{room.name}' is declared NO_ASIO")

    def check_own_include(self, room, path, line, name):
        parts = name.split("/", 2)
        other = parts[1]
        if len(parts) < 3 or not (self.root / name).is_file():
            return self.error(path, line, f"'{name}' does not exist")
        if other == room.name:
            if not self.is_test(room, path) and name.endswith("_test.h"):
                self.error(path, line, f"'{name}' is for tests only")
            return None
        if other not in self.rooms:
            return self.error(path, line, f"'{other}' is no room")
        if self.floors.get(other, 0) > self.floors.get(room.name, 0):
            self.error(path, line, f"'{room.name}' includes '{other}', a room above it: arrows run down only")
        elif self.floors.get(other) == self.floors.get(room.name) == PRODUCTS:
            self.error(path, line, f"'{room.name}' includes '{other}': products meet on a lower floor, never directly")
        elif other not in room.lists["DEPENDS"]:
            self.error(path, line, f"'{room.name}' includes '{other}' without DEPENDS {other} in its CMakeLists.txt")
        if parts[2] not in self.rooms[other].lists["PUBLIC"]:
            self.error(path, line, f"'{name}' is private to '{other}': it is not in its PUBLIC list")
        return None

    def check_files(self, room):
        listed = set(room.lists["SOURCES"]) | set(room.lists["TESTS"]) | set(room.programs)
        for path in self.files_of(room):
            name = str(path.relative_to(room.folder))
            if path.suffix == ".cc":
                if name not in listed:
                    self.error(path, 1, f"in neither SOURCES nor TESTS of {room.cmake.relative_to(self.root)}")
            elif name not in room.lists["PUBLIC"] and f"headroom/{room.name}/{name}" not in self.included:
                self.error(path, 1, "a private header that nobody includes")
        for name in sorted(listed | set(room.lists["PUBLIC"])):
            if not (room.folder / name).is_file():
                self.error(room.cmake, room.line_of(name), f"'{name}' does not exist")

    def check_circles(self):
        done = set()

        def visit(name, above):
            if name in above:
                circle = above[above.index(name):] + [name]
                room = self.rooms[name]
                return self.error(room.cmake, room.line, "a circle: " + " -> ".join(circle))
            if name in done or name not in self.rooms:
                return None
            for other in self.rooms[name].lists["DEPENDS"]:
                if other != name:
                    visit(other, above + [name])
            done.add(name)
            return None

        for name in self.rooms:
            visit(name, [])


def check(root, floors=None):
    """All errors of the tree at `root`, as lines of text."""
    return Checker(pathlib.Path(root).resolve(), FLOORS if floors is None else floors).run()


def main(arguments):
    root = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).resolve().parent.parent
    errors = check(root)
    for error in errors:
        print(error, file=sys.stderr)
    if not errors:
        print("the walls stand")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
