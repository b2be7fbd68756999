"""Bad input after a good run: the right status, category and hint; no row lost, none deleted, none invented."""

import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from bad_input_world import MAPPING, PRODUCTS, TOKEN, Case, HastyClock, World, balance, edited, rewritten

from pipeline import running_pipeline
from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.faults import FaultRule
from sandboxes.files.app import build_app as build_files
from sandboxes.files.state import FilesState
from sandboxes.json_api.app import build_app as build_shop
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from servers import databases
from shared.messaging.memory import MemoryBus

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(postgres_url: str, template: str | None, redis_url: str) -> AsyncIterator[World]:
    """One system for all cases: each has sources of its own."""
    name = databases.create(postgres_url, template)
    bus = MemoryBus(clock=HastyClock())
    files, shop = FilesState.northwind(), JsonApiState.northwind()
    try:
        async with (
            running(build_files(files)) as files_url,
            running(build_shop(shop)) as shop_url,
            running_pipeline(databases.at(postgres_url, name), redis_url, f"{name}:", bus=bus) as pipeline,
        ):
            yield World(pipeline, files, files_url, shop, shop_url)
            await bus.close()
    finally:
        databases.drop(postgres_url, name)


METADATA = "http://169.254.169.254/latest/meta-data"
ONE = {"status": "partial", "quarantined": 1, "unchanged": PRODUCTS - 1}
RETRIED = {"status": "failed", "category": "DATA_ERROR", "calls": 6}


def failed(category: str, says: str, hint: str, **more: Any) -> dict[str, Any]:
    """Refused at once: asking again would not help."""
    return {"status": "failed", "category": category, "says": says, "hint": hint, "calls": 1} | more


def without_key(records: list[Any]) -> None:
    del records[0]["productID"]


def with_words_for_numbers(records: list[Any]) -> None:
    records[4]["unitsInStock"] = "plenty"


def renamed_key(rows: list[list[str]]) -> None:
    rows[0][0] = "id"


BOTH = [
    case
    for reads in ("json", "csv")
    for case in (
        Case("wrong key", reads, **failed("AUTH_FAILED", "401", "credentials"), auth=Auth("bearer", {"other": "a"})),
        Case(
            "wrong account",
            reads,
            **failed("AUTH_FAILED", "403", "may read"),
            auth=Auth("bearer", {"other": "a"}, refusal=403),
        ),
        Case(
            "address that is gone",
            reads,
            **failed("CONFIG_ERROR", "nothing at this address", "URL"),
            fault=FaultRule(kind="status", status=404),
        ),
        Case(
            "fault that stays",
            reads,
            "failed",
            "NETWORK_ERROR",
            "has a fault",
            fault=FaultRule(kind="status", status=503),
            calls=6,
        ),
        Case("web page", reads, says="web page", hint="login", fault=FaultRule(kind="html"), **RETRIED),
        Case("empty body", reads, says="empty body", fault=FaultRule(kind="empty"), **RETRIED),
        Case("cut body", reads, says="cut off", fault=FaultRule(kind="cut"), **RETRIED),
        Case("cut chunks", reads, says="cut off", fault=FaultRule(kind="cut", chunked=True), **RETRIED),
        Case(
            "gzip bomb",
            reads,
            **failed("DATA_ERROR", "", ""),
            fault=FaultRule(kind="gzip_bomb", size=16_000_000),
        ),
        Case(
            "redirect to a private address",
            reads,
            **failed("CONFIG_ERROR", "not public", "HEADRACE_EGRESS_ALLOW"),
            fault=FaultRule(kind="redirect", url=METADATA),
        ),
        Case(
            "mapping that cannot be compiled",
            reads,
            **failed("MAPPING_ERROR", "column", "Correct the expression"),
            mapping={"inventory": MAPPING["inventory"] | {"name": "sum("}},
        ),
        Case(
            "mapping of an unknown field",
            reads,
            **failed("MAPPING_ERROR", "colour", "The fields of inventory are"),
            mapping={"inventory": MAPPING["inventory"] | {"colour": "x"}},
        ),
        Case(
            "mapping that fits no record",
            reads,
            "partial",
            mapping={"inventory": MAPPING["inventory"] | {"name": "sum(productName)"}},
            quarantined=PRODUCTS,
            unchanged=0,
        ),
        Case(
            "filter that fits no record",
            reads,
            "partial",
            config={"filter": "abs(productName) > `1`"},
            quarantined=PRODUCTS,
            unchanged=0,
        ),
    )
]

JSON = [
    Case("truncated", "json", says="not whole", fault=FaultRule(kind="truncated_json"), **RETRIED),
    Case("wrong encoding", "json", says="charset", fault=FaultRule(kind="wrong_encoding"), **RETRIED),
    Case("not a number", "json", says="not whole", content=lambda body: body.replace(b"18.00", b"NaN"), **RETRIED),
    Case(
        "deep nesting",
        "json",
        **failed("DATA_ERROR", "nested", ""),
        fault=FaultRule(kind="deep_nesting"),
    ),
    Case(
        "no records where many were",
        "json",
        **failed("DATA_ERROR", "77 are known; nothing was deleted", "Check at the source"),
        content=lambda _: b"[]",
    ),
    Case(
        "object instead of a list",
        "json",
        **failed("DATA_ERROR", "holds object", "records_path"),
        content=lambda _: b'{"error": "maintenance"}',
    ),
    Case(
        "list of texts",
        "json",
        **failed("DATA_ERROR", "element 0 is string", "records_path"),
        content=lambda _: b'["a", "b"]',
    ),
    Case(
        "one record that is a text",
        "json",
        content=edited(lambda records: records.insert(3, "oops")),
        **ONE | {"unchanged": PRODUCTS},
    ),
    Case("one record without its key", "json", content=edited(without_key), **ONE),
    Case("one value of the wrong type", "json", content=edited(with_words_for_numbers), **ONE),
    Case("wrong id_path", "json", "partial", config={"id_path": "code"}, quarantined=PRODUCTS, unchanged=0),
    Case(
        "the same id twice",
        "json",
        "succeeded",
        content=edited(lambda records: records.append(records[7])),
        duplicates=1,
        unchanged=PRODUCTS,
    ),
    Case(
        "the last third missing",
        "json",
        "partial",
        content=edited(lambda records: records.__delitem__(slice(50, None))),
        unchanged=50,
        proposal=27,
    ),
    *(
        Case(
            f"pages in a circle ({style})",
            style,
            **failed("DATA_ERROR", says, "", calls=calls),
            fault=FaultRule(kind="page_loop", skip=1),
        )
        for style, says, calls in (
            ("page", "the records of the page before", 2),
            ("offset", "the records of the page before", 2),
            ("cursor", "circles", 2),
            ("link", "circles", 2),
        )
    ),
    *(
        Case(
            f"web page in place of page 3 ({style})",
            style,
            "failed",
            "DATA_ERROR",
            "web page",
            fault=FaultRule(kind="html", skip=2),
            calls=8,
        )
        for style in ("page", "cursor")
    ),
]

CSV = [
    Case("wrong encoding", "csv", **failed("DATA_ERROR", "not utf-8: byte 0xE4", "cp1252"),
         content=lambda body: body.decode().encode("cp1252")),
    Case("the wrong encoding configured", "csv", **failed("DATA_ERROR", "not ascii", "`encoding`"),
         config={"encoding": "ascii"}),
    Case("half a line at the end", "csv", content=lambda body: body[: body.rindex(b",", 0, -20)],
         **ONE),
    Case("end inside quotes", "csv", says="inside the quotes",
         content=lambda body: body + b'78,"Half a na', **RETRIED),
    Case("header alone where rows were", "csv", **failed("DATA_ERROR", "77 are known", "Check at the source"),
         content=lambda body: body.splitlines(keepends=True)[0]),
    Case("too many columns", "csv", content=rewritten(lambda rows: rows[9].append("more")), **ONE),
    Case("too few columns", "csv", content=rewritten(lambda rows: rows[9].pop()), **ONE),
    Case("text behind a closing quote", "csv", content=lambda body: body.replace(b"Chai,", b'"Chai" x,'), **ONE),
    Case("one value of the wrong type", "csv", content=lambda body: body.replace(b"18.00,39", b"18.00,plenty"), **ONE),
    Case("a NUL in a name", "csv", content=lambda body: body.replace(b"Chai,", b"Ch\0ai,"), **ONE),
    Case("an empty id", "csv", content=lambda body: body.replace(b"\n1,", b"\n,"), **ONE),
    Case("no id column", "csv", **failed("DATA_ERROR", "no column 'productID'", "id_column"),
         content=rewritten(renamed_key)),
    Case("the wrong delimiter", "csv", **failed("DATA_ERROR", "its columns are", "delimiter"),
         content=lambda body: body.replace(b",", b";")),
    Case("a column twice", "csv", **failed("DATA_ERROR", "columns twice: 'productName'", "rename"),
         content=lambda body: body.replace(b"supplierID", b"productName", 1)),
    Case("JSON instead of CSV", "csv", **failed("DATA_ERROR", "no column 'productID'", ""),
         content=lambda _: b'{"error": "maintenance"}\n'),
    Case("a workbook", "csv", **failed("DATA_ERROR", "Excel", "Export it as CSV"),
         content=lambda _: b"PK\x03\x04" + bytes(1000)),
    Case("a bomb that is a file", "csv", **failed("DATA_ERROR", "swells", ""),
         content=lambda body: gzip.compress(body + (b"0," + b"0" * 900_000 + b",,,,,,,,\n") * 20)),
    Case("decimal comma where points are", "csv", "partial", config={"decimal": ","}, quarantined=PRODUCTS,
         unchanged=0),
    Case("the same id twice", "csv", "succeeded", content=rewritten(lambda rows: rows.append(rows[7])),
         duplicates=1, unchanged=PRODUCTS),
    Case("the last third missing", "csv", "partial", content=rewritten(lambda rows: rows.__delitem__(slice(51, None))),
         unchanged=50, proposal=27),
]  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case.reads}: {case.name}") for case in BOTH + JSON + CSV])
async def test_bad_input_harms_no_row(world: World, case: Case) -> None:
    world.reset()
    source = await world.add(case)
    good = await world.pipeline.sync(source)
    assert (good.status, good.entities["inventory"].inserted) == ("succeeded", PRODUCTS), good
    before, truth = await world.rows(source), await world.values(source)

    await world.spoil(case, source)
    bad = await world.pipeline.sync(source)

    counters = bad.entities["inventory"]
    assert (bad.status, bad.error.category if bad.error else None) == (case.status, case.category), bad
    assert (counters.inserted, counters.updated, counters.deleted) == (0, 0, 0)
    assert (counters.quarantined, counters.duplicates) == (case.quarantined, case.duplicates), bad
    assert counters.delete_proposal == case.proposal
    if case.unchanged is not None:
        assert counters.unchanged == case.unchanged, bad
        balance(bad)
    if case.calls is not None:
        assert world.calls == case.calls
    if bad.error is not None:
        assert case.says in bad.error.message, bad.error
        assert case.hint in (bad.error.hint or ""), bad.error
        assert TOKEN not in f"{bad.error}"
    assert await world.rows(source) == before

    stranger = await world.add(case, spoiled=True)
    first = await world.pipeline.sync(stranger)
    invented = (await world.values(stranger)).items() - truth.items()
    assert not invented, "a source that knew nothing took something for a record"
    assert first.entities["inventory"].inserted == len(await world.values(stranger))

    await world.mend(case, source)
    mended = await world.pipeline.sync(source)
    assert mended.status == "succeeded", mended
    assert mended.entities["inventory"].unchanged == PRODUCTS
    assert await world.rows(source) == before
