"""Faults in the vendor's own forms, and faults inside the exchange of tokens; both as rules that tests set."""

from collections.abc import Callable
from typing import Generic, Literal, TypeVar

import msgspec

from sandboxes.quickbooks.wire import CODES, Form, QuickBooksError


class VendorFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Company calls whose path starts with `path`: after `skip` of them, the next `count` (None: all) are struck."""

    code: str = "10000"
    """Of a fault; its usual status, type and message come with it."""
    form: Literal["Fault", "fault", "xml", "html", "gateway", "drop"] = "Fault"
    """`html`: a page with `status`; `gateway`: `status` with an empty body; `drop`: no answer at all."""
    status: int | None = None
    detail: str = "A fault that was asked for."
    path: str = "/v3/company/"
    skip: int = 0
    count: int | None = None
    after: bool = False
    """Do what the request asks first, then lose its answer."""

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"code is one of {', '.join(CODES)}")

    def error(self) -> QuickBooksError:
        """The fault of a form that has one."""
        form: Form = "fault" if self.form == "fault" else "xml" if self.form == "xml" else "Fault"
        return QuickBooksError(self.code, self.detail, form=form, status=self.status)


class ExchangeFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Token requests: after `skip` of them, the next `count` (None: all) have the fault.

    `delay` waits `ms`, `hold` waits until the test releases it, `status` answers `status` with a page, `drop` closes
    the connection. Each happens `before` the tokens change or `after` it.
    """

    kind: Literal["delay", "hold", "status", "drop"]
    when: Literal["before", "after"] = "before"
    ms: float = 0
    status: int = 503
    grant_type: Literal["refresh_token", "authorization_code"] | None = None
    skip: int = 0
    count: int | None = None


_Rule = TypeVar("_Rule", VendorFault, ExchangeFault)


class Rules(Generic[_Rule]):
    """The rules in force, in order, with how often each matched and struck."""

    def __init__(self) -> None:
        self._armed: list[tuple[_Rule, list[int]]] = []

    def set(self, *rules: _Rule) -> None:
        """Put these rules in the place of all earlier ones; none at all ends every fault."""
        self._armed = [(rule, [0, 0]) for rule in rules]

    def hits(self) -> list[tuple[_Rule, int]]:
        """Each rule with the number of requests it struck."""
        return [(rule, counts[1]) for rule, counts in self._armed]

    def first(self, fits: Callable[[_Rule], bool]) -> _Rule | None:
        """The first rule that strikes a request which fits it; those behind it do not count the request."""
        return next((rule for rule, counts in self._armed if fits(rule) and self._strikes(rule, counts)), None)

    def all(self, fits: Callable[[_Rule], bool]) -> list[_Rule]:
        """Every rule that strikes a request which fits it."""
        return [rule for rule, counts in self._armed if fits(rule) and self._strikes(rule, counts)]

    @staticmethod
    def _strikes(rule: _Rule, counts: list[int]) -> bool:
        counts[0] += 1
        if counts[0] <= rule.skip or (rule.count is not None and counts[1] >= rule.count):
            return False
        counts[1] += 1
        return True
