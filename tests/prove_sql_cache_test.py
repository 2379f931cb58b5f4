"""The checker of tools/prove sql-cache: what it calls a violation."""

import math
import unittest

import prove_sql_cache
from prove_sql_cache import BEHIND, LATE, Shared, floor


class Checker(unittest.TestCase):
    def test_after_a_confirmed_commit_through_the_proxy_nothing_older_is_allowed(self):
        self.assertEqual(floor(7, 0, around=False, replicas=False), 7)
        self.assertEqual(floor(7, 0, around=False, replicas=True), 7)

    def test_around_it_one_older_value_is_allowed_for_the_bound_and_no_longer(self):
        self.assertEqual(floor(7, BEHIND / 2, around=True, replicas=False), 6)
        self.assertEqual(floor(7, BEHIND, around=True, replicas=False), 7)

    def test_a_loosened_bound_is_another_bound(self):
        before, prove_sql_cache.BEHIND = prove_sql_cache.BEHIND, 10
        try:
            self.assertEqual(floor(7, before, around=True, replicas=False), 6)
        finally:
            prove_sql_cache.BEHIND = before

    def test_on_replicas_what_is_written_around_may_be_older_by_the_lag(self):
        self.assertEqual(floor(100, 60, around=True, replicas=True), 99 - LATE)

    def test_a_page_is_as_new_with_replicas_as_without(self):
        shared = Shared()
        shared.replicas.value = 1
        register = next(each for each in prove_sql_cache.REGISTERS if each.around)
        shared.confirm(register.number, 100)
        later = shared.since[register.number] + 60
        self.assertEqual(shared.floor(register, later, "page"), 100)
        self.assertEqual(shared.floor(register, later), 99 - LATE)

    def test_while_a_value_is_being_confirmed_nothing_is_asked_for(self):
        shared = Shared()
        register = prove_sql_cache.REGISTERS[0]
        self.assertEqual(shared.floor(register, 0), 0)
        shared.confirm(register.number, 5)
        self.assertEqual(shared.floor(register, shared.since[register.number]), 5)
        shared.since[register.number] = math.inf
        self.assertEqual(shared.floor(register, 10), 0)


if __name__ == "__main__":
    unittest.main()
