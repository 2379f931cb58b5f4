#!/usr/bin/python3
"""Proves that rooms.py fails on every way to cross a wall, each on a small tree with that one fault in it."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True
import rooms  # noqa: E402  (beside this file)

GOOD = {
    "headroom/base/CMakeLists.txt": "hr_module(base NO_ASIO PUBLIC error.h TESTS base_test.cc)\n",
    "headroom/base/error.h": "#include <string>\n",
    "headroom/base/base_test.cc": '#include "headroom/base/error.h"\n',
    "headroom/json/CMakeLists.txt": "hr_module(json NO_ASIO PUBLIC json.h SOURCES json.cc DEPENDS base)\n",
    "headroom/json/json.h": '#include "headroom/base/error.h"\n',
    "headroom/json/json.cc": '#include "headroom/json/json.h"\n#include <boost/json/value.hpp>\n',
    "headroom/config/CMakeLists.txt": "# comment (with brackets)\nhr_module(config\n  PUBLIC config.h\n"
                                      "  SOURCES config.cc\n  TESTS config_test.cc\n  DEPENDS base json)\n",
    "headroom/config/config.h": '#include "headroom/base/error.h"\n',
    "headroom/config/config.cc": '#include "headroom/config/config.h"\n#include "headroom/config/toml.h"\n',
    "headroom/config/toml.h": '#include "headroom/json/json.h"\n',
    "headroom/config/config_test.cc": '#include "headroom/config/toml.h"\n#include <boost/asio.hpp>\n',
    "headroom/edge/CMakeLists.txt": "hr_module(edge PUBLIC edge.h SOURCES edge.cc DEPENDS base config)\n",
    "headroom/edge/edge.h": '#include "headroom/config/config.h"\n',
    "headroom/edge/edge.cc": '#include "headroom/edge/edge.h"\n',
    "headroom/sql/CMakeLists.txt": "hr_module(sql PUBLIC sql.h DEPENDS base)\n",
    "headroom/sql/sql.h": "",
}


class RoomsTest(unittest.TestCase):
    def errors(self, changes=None, removed=()):
        """What rooms.py says of the good tree with `changes` (path -> new text) in it."""
        with tempfile.TemporaryDirectory() as folder:
            for path, text in {**GOOD, **(changes or {})}.items():
                if path in removed:
                    continue
                file = pathlib.Path(folder, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            return rooms.check(folder)

    def added(self, path, line):
        """The good tree with one line added at the end of a file."""
        return self.errors({path: GOOD[path] + line + "\n"})

    def test_a_good_tree_passes(self):
        self.assertEqual(self.errors(), [])

    def test_an_undeclared_include_fails(self):
        self.assertEqual(self.added("headroom/edge/edge.cc", '#include "headroom/json/json.h"'),
                         ["headroom/edge/edge.cc:2: 'edge' includes 'json' without DEPENDS json in its CMakeLists.txt"])

    def test_an_upward_include_fails(self):
        self.assertEqual(self.added("headroom/config/config.cc", '#include "headroom/edge/edge.h"'),
                         ["headroom/config/config.cc:3: 'config' includes 'edge', a room above it: arrows run down only"])

    def test_an_upward_dependency_fails(self):
        cmake = "hr_module(json NO_ASIO PUBLIC json.h SOURCES json.cc\n  DEPENDS base\n  sql)\n"
        self.assertEqual(self.errors({"headroom/json/CMakeLists.txt": cmake}),
                         ["headroom/json/CMakeLists.txt:3: 'json' (floor 1) depends on 'sql' (floor 5): arrows run down only"])

    def test_a_private_header_of_another_room_fails(self):
        self.assertEqual(self.added("headroom/edge/edge.cc", '#include "headroom/config/toml.h"'),
                         ["headroom/edge/edge.cc:2: 'headroom/config/toml.h' is private to 'config': "
                          "it is not in its PUBLIC list"])

    def test_a_test_may_not_include_another_rooms_private_header(self):
        self.assertEqual(len(self.added("headroom/base/base_test.cc", '#include "headroom/config/toml.h"')), 2)

    def test_products_including_each_other_fail(self):
        self.assertEqual(self.added("headroom/edge/edge.cc", '#include "headroom/sql/sql.h"'),
                         ["headroom/edge/edge.cc:2: 'edge' includes 'sql': products meet on a lower floor, never directly"])
        cmake = "hr_module(edge PUBLIC edge.h SOURCES edge.cc DEPENDS base config sql)\n"
        self.assertEqual(self.errors({"headroom/edge/CMakeLists.txt": cmake}),
                         ["headroom/edge/CMakeLists.txt:1: 'edge' depends on 'sql': products meet on a lower floor, "
                          "never directly"])

    def test_a_circle_fails(self):
        cmake = "hr_module(json NO_ASIO PUBLIC json.h SOURCES json.cc DEPENDS base config)\n"
        self.assertEqual(self.errors({"headroom/json/CMakeLists.txt": cmake}),
                         ["headroom/config/CMakeLists.txt:2: a circle: config -> json -> config"])

    def test_boost_and_asio_in_base_fail(self):
        self.assertEqual(self.added("headroom/base/error.h", "#include <boost/json.hpp>"),
                         ["headroom/base/error.h:2: <boost/json.hpp>: base knows neither Boost nor Asio"])
        self.assertEqual(len(self.added("headroom/base/base_test.cc", "  #  include <asio.hpp>")), 1)

    def test_asio_in_a_room_without_it_fails(self):
        self.assertEqual(self.added("headroom/json/json.cc", "#include <boost/asio/ip/tcp.hpp>"),
                         ["headroom/json/json.cc:3: <boost/asio/ip/tcp.hpp>: 'json' is declared NO_ASIO"])

    def test_an_unlisted_file_fails(self):
        self.assertEqual(self.errors({"headroom/edge/lost.cc": "", "headroom/edge/parts/lost.h": ""}),
                         ["headroom/edge/lost.cc:1: in neither SOURCES nor TESTS of headroom/edge/CMakeLists.txt",
                          "headroom/edge/parts/lost.h:1: a private header that nobody includes"])

    def test_a_program_of_the_room_is_listed(self):
        cmake = GOOD["headroom/sql/CMakeLists.txt"] + "add_executable(prog main.cc)\n"
        self.assertEqual(self.errors({"headroom/sql/CMakeLists.txt": cmake, "headroom/sql/main.cc": ""}), [])

    def test_a_listed_file_that_is_missing_fails(self):
        self.assertEqual(self.errors(removed=["headroom/sql/sql.h"]),
                         ["headroom/sql/CMakeLists.txt:1: 'sql.h' does not exist"])

    def test_an_include_that_does_not_exist_fails(self):
        self.assertEqual(self.added("headroom/edge/edge.cc", '#include "headroom/base/eror.h"'),
                         ["headroom/edge/edge.cc:2: 'headroom/base/eror.h' does not exist"])

    def test_an_include_relative_to_the_file_fails(self):
        self.assertEqual(self.added("headroom/edge/edge.cc", '#include "edge.h"'),
                         ['headroom/edge/edge.cc:2: #include "edge.h": write it from the source root, "headroom/..."'])

    def test_a_header_for_tests_stays_with_the_tests(self):
        changes = {"headroom/config/sample_test.h": "",
                   "headroom/config/config_test.cc": '#include "headroom/config/sample_test.h"\n'}
        self.assertEqual(self.errors(changes), [])
        changes["headroom/config/config.h"] = '#include "headroom/config/sample_test.h"\n'
        self.assertEqual(self.errors(changes),
                         ["headroom/config/config.h:1: 'headroom/config/sample_test.h' is for tests only"])

    def test_a_room_needs_a_floor_a_name_and_a_call(self):
        self.assertEqual(self.errors({"headroom/attic/CMakeLists.txt": "hr_module(attic)\n"}),
                         ["headroom/attic/CMakeLists.txt:1: room 'attic' has no floor; "
                          "give it one in FLOORS of tools/rooms.py"])
        self.assertEqual(self.errors({"headroom/sql/CMakeLists.txt": "hr_module(edge PUBLIC sql.h)\n"}),
                         ["headroom/sql/CMakeLists.txt:1: room 'sql' calls itself 'edge'"])
        self.assertIn("headroom/sql/CMakeLists.txt:1: no hr_module(sql ...) call",
                      self.errors({"headroom/sql/CMakeLists.txt": "# nothing\n"}))

    def test_an_unknown_or_own_dependency_fails(self):
        cmake = "hr_module(sql PUBLIC sql.h DEPENDS base cellar sql)\n"
        self.assertEqual(self.errors({"headroom/sql/CMakeLists.txt": cmake}),
                         ["headroom/sql/CMakeLists.txt:1: 'sql' depends on 'cellar', which is no room",
                          "headroom/sql/CMakeLists.txt:1: 'sql' depends on itself"])

    def test_the_program_fails_with_what_it_found(self):
        with tempfile.TemporaryDirectory() as folder:
            room = pathlib.Path(folder, "headroom", "base")
            room.mkdir(parents=True)
            (room / "CMakeLists.txt").write_text("hr_module(base PUBLIC gone.h)\n", encoding="utf-8")
            tool = pathlib.Path(rooms.__file__)
            run = subprocess.run([sys.executable, tool, folder], capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 1)
        self.assertEqual(run.stderr, "headroom/base/CMakeLists.txt:1: 'gone.h' does not exist\n")


if __name__ == "__main__":
    unittest.main()
