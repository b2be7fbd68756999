"""What goes wrong, as rules: which requests, how many of them, and what happens to them."""

import random
from typing import Literal

import msgspec

FaultKind = Literal[
    "status",  # answer `status` with `headers` (429 with Retry-After, 500, 502, 503, 504, 401, 403 ...)
    "delay",  # wait `ms`, plus up to `jitter_ms` by `seed`, then go on with the next rule
    "trickle",  # headers at once, then the body in ten pieces over `ms`
    "drop",  # close the connection before any answer
    "cut",  # half of the body, then close; `chunked` leaves out the last chunk instead of promising a length
    "empty",  # 200 without a body
    "html",  # 200 with a login page
    "truncated_json",  # half of the body, with a Content-Length that fits it
    "wrong_type",  # an object where a list is due
    "gzip_bomb",  # a small gzip body that unpacks to `size` bytes
    "deep_nesting",  # `depth` arrays in each other
    "page_loop",  # the next page's token is this page's
    "redirect",  # 302 (or `status`) to `url`
    "wrong_encoding",  # the body in `encoding`, declared as UTF-8
]


class FaultRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests whose path starts with `path`: after `skip` of them, the next `count` (None: all) have the fault."""

    kind: FaultKind
    path: str = "/"
    skip: int = 0
    count: int | None = None
    probability: float = 1.0
    seed: int = 1
    status: int | None = None
    headers: dict[str, str] = {}
    ms: float = 0
    jitter_ms: float = 0
    chunked: bool = False
    size: int = 64_000_000
    depth: int = 100_000
    url: str = "/"
    encoding: str = "latin-1"

    def __post_init__(self) -> None:
        if self.kind == "status" and self.status is None:
            raise ValueError("a status fault needs `status`")
        if not 0 <= self.probability <= 1:
            raise ValueError("probability is between 0 and 1")


class _Armed:
    """A rule with what happened to it so far."""

    def __init__(self, rule: FaultRule) -> None:
        self.rule = rule
        self.matched = 0
        self.hits = 0
        self.random = random.Random(rule.seed)

    def strikes(self, path: str) -> bool:
        rule = self.rule
        if not path.startswith(rule.path) or (rule.count is not None and self.hits >= rule.count):
            return False
        self.matched += 1
        if self.matched <= rule.skip or (rule.probability < 1 and self.random.random() >= rule.probability):
            return False
        self.hits += 1
        return True

    def delay(self) -> float:
        return (self.rule.ms + self.rule.jitter_ms * self.random.random()) / 1000


class Faults:
    """The rules in force, in order: delays add up, the first rule of another kind that strikes decides."""

    def __init__(self) -> None:
        self._armed: list[_Armed] = []

    def set(self, *rules: FaultRule) -> None:
        """Put these rules in the place of all earlier ones; none at all ends every fault."""
        self._armed = [_Armed(rule) for rule in rules]

    def add(self, *rules: FaultRule) -> None:
        """Put these rules behind those in force."""
        self._armed += [_Armed(rule) for rule in rules]

    def hits(self) -> list[tuple[FaultRule, int]]:
        """Each rule with the number of requests it struck."""
        return [(armed.rule, armed.hits) for armed in self._armed]

    def strike(self, path: str) -> tuple[float, FaultRule | None]:
        """For one request: seconds to wait first, and the fault it has."""
        delay = 0.0
        for armed in self._armed:
            if armed.strikes(path):
                if armed.rule.kind != "delay":
                    return delay, armed.rule
                delay += armed.delay()
        return delay, None
