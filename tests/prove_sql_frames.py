"""The proof of the protocol's order: random frames, directly and through the proxy, alone and with a replica. --clients N of each kind, --seed N."""

import argparse
import os
import unittest

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.environ |= {"FRAMES_CLIENTS": str(options.clients), "FRAMES_SEED": str(options.seed)}
    unittest.main("sql_frames_test", argv=["prove"])
