"""Runs one case after another on both planes and keeps what differs."""
import concurrent.futures
import copy
import http.client
import json

import compare
from planes import Reply, url

MERGE, STRATEGIC, JSON_PATCH, APPLY = ("application/merge-patch+json", "application/strategic-merge-patch+json", "application/json-patch+json", "application/apply-patch+yaml")


class Differ:
    def __init__(self, upstream, onebin, known, verbose=False):
        self.planes = (upstream, onebin)
        self.pool = concurrent.futures.ThreadPoolExecutor(2)
        self.known = known
        self.verbose = verbose
        self.found, self.excused, self.compared, self.cases = [], 0, 0, 0

    def both(self, case, method, path, body=None, content_type="application/json", accept="application/json", headers=None, skip_body=False):
        """path and body may be functions of the plane's index (0 upstream, 1 onebin)."""
        def ask(i):
            try:
                return self.planes[i].request(method, path(i) if callable(path) else path, body(i) if callable(body) else body, content_type, accept, headers)
            except (http.client.HTTPException, OSError) as e:  # a handler that fell: the other's answer is told with it
                return Reply(0, {}, "no answer: " + repr(e), None, [])
        replies = list(self.pool.map(ask, (0, 1)))
        self.compared += 1
        names = []
        meta = [r.body.get("metadata", {}) if isinstance(r.body, dict) else {} for r in replies]
        if all(isinstance(m, dict) and m.get("generateName") for m in meta):
            names.append((meta[0].get("name"), meta[1].get("name")))
        for where, a, b in compare.differences(replies[0], replies[1], names, skip_body):
            if self.known.reason(case, where):
                self.excused += 1
                continue
            self.found.append((case, where, a, b))
            if self.verbose:
                self.print_one(self.found[-1])
        return replies

    @staticmethod
    def print_one(entry):
        case, where, a, b = entry
        print(f"{case}\n  {where}\n    upstream: {compare.short(a)}\n    onebin:   {compare.short(b)}", flush=True)


class Case:
    """The steps of one hand-picked case. last[i] is the last object that plane i answered."""

    def __init__(self, differ, name, namespace):
        self.d, self.name, self.ns = differ, name, namespace
        self.last = [None, None]
        self.number = 0

    def __call__(self, method, gv, resource, name=None, body=None, sub=None, query=None, content_type="application/json", accept="application/json", ns=True, label=None, skip_body=False, headers=None):
        self.number += 1
        step = f"{self.name}/{self.number}" + (f" {label}" if label else "")
        namespace = None if ns is False else (self.ns if ns is True else ns)

        def resolved(value, i):
            return value(self.last[i]) if callable(value) else value
        replies = self.d.both(step, method, lambda i: url(gv, resource, namespace, name, sub, resolved(query, i)), lambda i: resolved(body, i), content_type, accept, headers, skip_body)
        for i, r in enumerate(replies):
            if isinstance(r.body, dict) and r.body.get("kind") != "Status" and r.code < 300:
                self.last[i] = r.body
        return replies

    def create(self, gv, resource, body, **more):
        return self("POST", gv, resource, body=body, **more)

    def get(self, gv, resource, name, **more):
        return self("GET", gv, resource, name, **more)

    def list(self, gv, resource, **more):
        return self("GET", gv, resource, None, **more)

    def update(self, gv, resource, name, body, **more):
        return self("PUT", gv, resource, name, body=body, **more)

    def patch(self, gv, resource, name, body, kind=MERGE, **more):
        return self("PATCH", gv, resource, name, body=body if callable(body) or isinstance(body, str) else json.dumps(body), content_type=kind, **more)

    def apply(self, gv, resource, name, body, manager="m", force=None, query=None, **more):
        q = {"fieldManager": manager, **({"force": force} if force is not None else {}), **(query or {})}
        return self.patch(gv, resource, name, body, APPLY, query=q, **more)

    def delete(self, gv, resource, name, body=None, **more):
        return self("DELETE", gv, resource, name, body=body, **more)


def change(fn):
    """A body made from the plane's last object: a copy that fn changes."""
    def made(last):
        out = copy.deepcopy(last)
        if out is None:
            return {}
        r = fn(out)
        return out if r is None else r
    return made
