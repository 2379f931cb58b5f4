"""A seeded slice of the hub's proof against malformed input (tools/prove realtime)."""

import unittest

from prove_realtime import Malformed

if __name__ == "__main__":
    unittest.main(defaultTest="Malformed")

__all__ = ["Malformed"]
