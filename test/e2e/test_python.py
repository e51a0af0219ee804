"""The Python client (PyPI package kubernetes, in a venv under the tools' folder)."""
import os, unittest
from clients import HERE, TOOLS, follows, works
from test_basics import AGNHOST

PROGRAM = [os.path.join(TOOLS, "python/bin/python"), os.path.join(HERE, "python/client.py")]


class Python(unittest.TestCase):
    cluster = None

    def test_sees_the_same_objects(self):
        follows(self, [*PROGRAM, "follow"], self.cluster.env())

    def test_everyday_work(self):
        works(self, PROGRAM, self.cluster.env(), ["create", "replace", "patch", "apply", "list", "watch", "scale", "exec", "port-forward", "log", "delete"], AGNHOST)
