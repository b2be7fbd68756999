"""Where stock lies, in the words of the account: a facility is a location, or a sublocation of one (`facility`)."""

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import unquote

from shared.connectors.finale.account import Account
from shared.connectors.finale.numbers import Number, plus
from shared.contracts.messages import RawRecord
from shared.errors import DataError, HeadraceError

MOST_LISTED = 100
"""Places of one product, and locations by name: a record stays small, whatever the account has."""


class Places:
    """The facilities of one account, in use or not: one that is deactivated still holds its stock."""

    def __init__(self, names: Mapping[str, str], parents: Mapping[str, str]) -> None:
        """By address: names of facilities, and addresses of the locations that sublocations belong to."""
        self._names = names
        self._parents = parents

    def fields(self, on_hand: Mapping[str, Number]) -> RawRecord:
        """The raw fields that tell where a product's stock lies; `on_hand` by facility address, "" of none.

        Sorted, and told apart by names alone, so the same stock is the same record in whichever order its rows come.
        """
        sums: dict[tuple[str, str], Number] = {}
        held: dict[str, Number] = {}
        for facility, quantity in on_hand.items():
            if facility:
                place = self._place(facility)
                sums[place] = plus(sums.get(place, 0), quantity)
                held[place[0]] = plus(held.get(place[0], 0), quantity)
        listed = [_entry(*place, quantity) for place, quantity in sorted(sums.items()) if quantity]
        names = sorted(name for name, quantity in held.items() if quantity > 0)
        fields: RawRecord = {"stockLocations": listed[:MOST_LISTED], "stockLocationNames": names[:MOST_LISTED]}
        return {name: value for name, value in fields.items() if value}

    def _place(self, facility: str) -> tuple[str, str]:
        """Location and sublocation; of a location, nothing for the second."""
        parent, name = self._parents.get(facility, facility), self._name(facility)
        return (name, "") if parent == facility else (self._name(parent), name)

    def _name(self, facility: str) -> str:
        # A facility that the collection does not know, or knows without a name, is called by its id: its stock is no
        # less true for that, and no reason to leave every product as it was.
        return self._names.get(facility) or unquote(facility.rstrip("/").rpartition("/")[2])


def _entry(location: str, sublocation: str, quantity: Number) -> RawRecord:
    place = {"location": location, "sublocation": sublocation} if sublocation else {"location": location}
    return {**place, "quantityOnHand": quantity}


async def read_places(account: Account, met: Mapping[str, str]) -> Places | None:
    """The facilities of the account; None where it names none (not found, empty, without names): quantities are worth
    more than names, so they do not wait for these. `met`: addresses that stock lies at, each with its location's as
    far as the rows of stock tell ("": they do not), for those that the collection does not know.

    Raises what the client raises, DataError for rows without an address.
    """
    try:
        return await _read_places(account, met)
    except HeadraceError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return None


async def _read_places(account: Account, met: Mapping[str, str]) -> Places | None:
    names: dict[str, str] = {}
    parents = {facility: parent for facility, parent in met.items() if parent}
    async with account.collection("facility", "facilityUrl") as table:
        if not table.length or "facilityName" not in table.names:
            return None
        tells_parents = "parentFacilityUrl" in table.names
        async for row in table.rows("facilityUrl", "facilityName", "parentFacilityUrl"):
            facility, name, parent = (row.get(key) for key in ("facilityUrl", "facilityName", "parentFacilityUrl"))
            if not isinstance(facility, str):
                raise DataError("facility: a row has no facilityUrl, so the stock that lies there has no place")
            if tells_parents:
                parents.pop(facility, None)
            if isinstance(parent, str) and parent:
                parents[facility] = parent
            if isinstance(name, str) and name.strip():
                names[facility] = name.strip()
    return Places(names, parents)
