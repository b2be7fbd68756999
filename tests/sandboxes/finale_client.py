"""A plain client of the Finale sandbox, and small shops for its tests."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy

from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.server import Behaviour
from sandboxes.data.documents import encode
from sandboxes.finale.app import build_app
from sandboxes.finale.state import FinaleState
from sandboxes.serving import running

GOOD = "Basic " + base64.b64encode(b"key:secret").decode()
BASIC = Auth("basic", {"key:secret": "acme", "other:secret": "acme", "foreign:secret": "elsewhere"})


class Steps:
    """A steady clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Answer:
    """One answer, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body, parse_float=Decimal)

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """Calls the account `acme` with a good key."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        data = body if isinstance(body, bytes) or body is None else encode(body)
        sent = {"Authorization": GOOD, **headers}
        async with self.session.request(method, path, data=data, headers=sent) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str) -> Any:
        """The JSON of a good answer below the account's api path, or of an absolute path."""
        answer = await self.call("GET", path if path.startswith("/") else f"/acme/api/{path}")
        assert answer.status == 200, answer.body
        return answer.json

    async def rows(self, path: str) -> list[dict[str, Any]]:
        """A collection turned into rows, as a reader of columns does it."""
        return rows_of(await self.get(path))

    async def post(self, path: str, body: Any = None) -> Answer:
        return await self.call("POST", path if path.startswith("/") else f"/acme/api/{path}", body)

    async def graphql(self, query: str, **variables: Any) -> Any:
        answer = await self.post("graphql", {"query": query, "variables": variables})
        assert answer.status == 200
        return answer.json


@asynccontextmanager
async def serving(state: FinaleState) -> AsyncIterator[Client]:
    async with running(build_app(state)) as url, aiohttp.ClientSession(url) as session:
        yield Client(session)


def rows_of(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    lengths = {len(column) for column in columns.values()}
    assert len(lengths) <= 1, "columns of different lengths"
    return [{name: columns[name][index] for name in columns} for index in range(max(lengths, default=0))]


def encoded(content: Any) -> str:
    """A filter, ready for a URL."""
    text = base64.b64encode(json.dumps(content).encode()).decode()
    return text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")


@dataclass
class Small:
    """A shop of two products, one supplier and one location with two sublocations."""

    state: FinaleState
    steps: Steps
    bolt: str
    kit: str
    supplier: str
    location: str
    bins: tuple[str, str]

    def order(self, *lines: tuple[str, Any, Any], **fields: Any) -> str:
        """A draft purchase of lines (product address, quantity, unit price)."""
        party = self.state.store.get("partygroup", self.supplier)
        return self.state.create_order(
            destinationFacilityUrl=self.location,
            orderRoleList=[{"roleTypeId": "SUPPLIER", "partyId": party["partyId"]}],
            orderItemList=[
                {"productUrl": product, "quantity": quantity, "unitPrice": price} for product, quantity, price in lines
            ],
            **fields,
        )


def small_shop() -> Small:
    steps = Steps()
    state = FinaleState(behaviour=Behaviour(BASIC, steady=steps))
    location = state.add_facility("Main")
    bins = (state.add_facility("M-01", location), state.add_facility("M-02", location))
    supplier = state.add_party("Bolt Works")
    bolt = state.add_product(
        "BOLT-1",
        internalName="Hex bolt M6",
        leadTime=14,
        priceList=[{"productPriceTypeId": "LIST_PRICE", "price": Decimal("0.450"), "currencyUomId": "USD"}],
        supplierList=[{"supplierPartyUrl": supplier, "supplierPrefOrderId": "10_MAIN_SUPPL", "price": Decimal("0.21")}],
        reorderGuidelineList=[{"facilityUrl": location, "reorderPoint": 1500, "reorderQuantity": Decimal("0.191624")}],
    )
    kit = state.add_product("KIT 9/ä", internalName="Shelf kit")
    return Small(state, steps, bolt, kit, supplier, location, bins)
