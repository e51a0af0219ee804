"""The Python client (PyPI package kubernetes, in a venv under the tools' folder)."""
import os, unittest
from clients import HERE, TOOLS, follows

PROGRAM = [os.path.join(TOOLS, "python/bin/python"), os.path.join(HERE, "python/client.py")]


class Python(unittest.TestCase):
    cluster = None

    def test_sees_the_same_objects(self):
        follows(self, [*PROGRAM, "follow"], self.cluster.env())
