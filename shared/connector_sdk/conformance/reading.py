"""Rules about reading: all records, once, from any page on, and within bounds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from shared.connector_sdk.conformance.description import Fault
from shared.connector_sdk.conformance.rule import Rule
from shared.connector_sdk.conformance.workbench import BrokenError, ExemptError, Reading, Workbench, closing
from shared.connector_sdk.protocol import BadRecord, ReadRequest
from shared.contracts.ids import Entity
from shared.contracts.messages import RawRecord
from shared.errors import DataError

_SHOWN_KEYS = 3
_DISTURBANCES = 5
_LEAST_RECORDS = 100
_PIECES = 64
_MAY_HOLD = 0.25
"""Of a body: what a streaming connector may have in hand. A small body cannot show a smaller bound."""
_RECENT = timedelta(minutes=5)
"""As far as planning starts an incremental read before the newest change."""


async def _access_checked(bench: Workbench) -> None:
    for entity in bench.entities:
        step = bench.step()
        count = await step.source.check(entity)
        allowed = sum(step.source.calls_per_page(entity).values())
        if count < 1:
            raise BrokenError(f"{entity}: check() saw {count} records where the vendor has some")
        if not 1 <= step.client.calls <= allowed:
            raise BrokenError(f"{entity}: check() made {step.client.calls} calls; 1 to {allowed} are due")


async def _whole_read(bench: Workbench) -> None:
    for entity in bench.entities:
        reading = await bench.read(entity)
        if reading.bad:
            raise BrokenError(f"{entity}: {len(reading.bad)} good records came as bad ones: {reading.bad[0].reason}")
        keys = bench.keys(entity, reading.records)
        twice = [key for key, count in Counter(keys).items() if count > 1]
        if twice:
            raise BrokenError(f"{entity}: read more than once: {_shown(twice)}")
        truth = bench.vendor.truth(entity)
        _compare(entity, keys, truth)
        for key, record in zip(keys, reading.records, strict=True):
            for name, value in truth[key].items():
                if name not in record or not _same(record[name], value):
                    raise BrokenError(f"{entity}: record {key!r}, field {name!r} is not what the vendor holds")


def _same(left: object, right: object) -> bool:
    if isinstance(left, float):
        return False  # a float has lost digits already
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _compare(entity: Entity, keys: Sequence[str], truth: Mapping[str, Any]) -> None:
    lost, invented = sorted(truth.keys() - set(keys)), sorted(set(keys) - truth.keys())
    if lost:
        raise BrokenError(f"{entity}: {len(lost)} records were not read: {_shown(lost)}")
    if invented:
        raise BrokenError(f"{entity}: {len(invented)} records are not the vendor's: {_shown(invented)}")


def _shown(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_SHOWN_KEYS]) + (" …" if len(keys) > _SHOWN_KEYS else "")


async def _key_fields(bench: Workbench) -> None:
    for entity in bench.entities:
        bench.keys(entity, (await bench.read(entity)).records)
        if bench.spec.supports_incremental(bench.vendor.config, entity) and not bench.mapping(entity).updated_at_path:
            raise BrokenError(f"{entity}: reads changes, and the mapping does not say where a record's change time is")


def _paged(bench: Workbench) -> list[Entity]:
    source = bench.step().source
    return [entity for entity in bench.entities if source.shape(entity) == "pages"]


async def _several_pages(bench: Workbench) -> dict[Entity, Reading]:
    found = {entity: await bench.read(entity) for entity in _paged(bench)}
    several = {entity: reading for entity, reading in found.items() if len(reading.pages) > 1}
    if not several:
        raise ExemptError("nothing here is read in several pages")
    return several


async def _resume_anywhere(bench: Workbench) -> None:
    for entity, whole in (await _several_pages(bench)).items():
        for number in reversed(range(len(whole.pages))):
            page, _ = await bench.page(entity, whole.cursors[number])
            if page.records != whole.pages[number]:
                raise BrokenError(f"{entity}: page {number + 1}, read alone by its cursor, holds other records")
            last = number + 1 == len(whole.pages)
            if (page.next_cursor is None) != last:
                raise BrokenError(f"{entity}: page {number + 1}, read alone, {'goes on' if last else 'ends the read'}")
            if not last and page.next_cursor != whole.cursors[number + 1]:
                after, _ = await bench.page(entity, page.next_cursor)
                if after.records != whole.pages[number + 1]:
                    raise BrokenError(f"{entity}: after page {number + 1}, read alone, comes another page")


async def _stable_paging(bench: Workbench) -> None:
    source = bench.step().source
    told = False
    for entity, before in (await _several_pages(bench)).items():
        if not source.stable_paging(entity):
            continue
        told = True
        truth = dict(bench.vendor.truth(entity))

        def disturb(reading: Reading, entity: Entity = entity) -> None:
            if len(reading.pages) <= _DISTURBANCES:
                bench.vendor.disturb(entity, bench.keys(entity, reading.records))

        reading = await bench.read(entity, between=disturb, max_pages=2 * len(before.pages) + 10)
        keys = set(bench.keys(entity, reading.records))
        after = bench.vendor.truth(entity)
        if after == truth:
            raise BrokenError(f"{entity}: the description's disturb() changes nothing")
        lost = sorted((truth.keys() & after.keys()) - keys)
        if lost:
            raise BrokenError(f"{entity}: says its paging is stable, and lost living records: {_shown(lost)}")
        invented = sorted(keys - truth.keys() - after.keys())
        if invented:
            raise BrokenError(f"{entity}: invented records: {_shown(invented)}")
    if not told:
        raise ExemptError("no paging here claims to be stable")


async def _loop_caught(bench: Workbench) -> None:
    for entity, whole in (await _several_pages(bench)).items():
        bench.vendor.fault(Fault("page_loop"))
        try:
            await bench.read(entity, max_pages=3 * len(whole.pages) + 10)
        except DataError:
            continue
        finally:
            bench.vendor.fault(None)
        raise BrokenError(f"{entity}: a paging that goes in circles passes for a whole read")


async def _incremental_read(bench: Workbench) -> None:
    able = [entity for entity in bench.entities if bench.spec.supports_incremental(bench.vendor.config, entity)]
    if not able:
        raise ExemptError("every read here is full")
    for entity in able:
        truth = bench.vendor.truth(entity)
        changed = bench.vendor.change(entity)
        keys = bench.keys(entity, (await bench.read(entity, since=bench.clock.now() - _RECENT)).records)
        if changed not in keys:
            raise BrokenError(f"{entity}: a read of changes does not hold record {changed!r}, changed just now")
        if not truth.keys() - set(keys):
            raise BrokenError(f"{entity}: a read of changes is a read of everything")
        _compare(entity, [*keys, *truth], bench.vendor.truth(entity))


async def _spool_streams(bench: Workbench) -> None:
    source = bench.step().source
    spooled = [entity for entity in bench.entities if source.shape(entity) == "spool"]
    if not spooled:
        raise ExemptError("everything here is read in pages")
    for entity in spooled:
        whole = await bench.read(entity)
        total, count = whole.steps[0].client.handed, len(whole.records)
        if count < _LEAST_RECORDS:
            raise BrokenError(f"{entity}: {_LEAST_RECORDS} records are needed to tell; the stand-in has {count}")
        step = bench.step(piece_bytes=max(total // _PIECES, 1))
        again: list[RawRecord | BadRecord] = []
        async with closing(step.source.read_all(ReadRequest(entity, None))) as items:
            async for item in items:
                held = step.client.handed / total - len(again) / count
                if held > _MAY_HOLD:
                    share = f"{step.client.handed:,} of {total:,} bytes in hand, {len(again)} of {count} records given"
                    raise BrokenError(f"{entity}: is held in memory instead of passed on: {share}")
                again.append(item)
        if [item for item in again if not isinstance(item, BadRecord)] != whole.records:
            raise BrokenError(f"{entity}: a body that comes in small pieces gives other records")


READING: tuple[Rule, ...] = (
    Rule("access_checked", "check() proves access with one cheap call.", _access_checked),
    Rule("whole_read", "A full read ends, and gives every record once, unaltered, and no other.", _whole_read),
    Rule("key_fields", "Every record has an external id, and a change time where changes are read.", _key_fields),
    Rule("resume_anywhere", "Any page, read alone by its cursor in a new source, is the same page.", _resume_anywhere),
    Rule("stable_paging", "Paging that claims it loses no record when others move or vanish.", _stable_paging),
    Rule("loop_caught", "A paging that goes in circles ends with DATA_ERROR.", _loop_caught),
    Rule("incremental_read", "A read of changes holds what changed, and less than everything.", _incremental_read),
    Rule(
        "spool_streams",
        "A read without pages passes records on while the body comes, however it is cut.",
        _spool_streams,
    ),
)
