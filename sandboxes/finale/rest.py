"""The REST resources below `/{account}/api/`: reading, creating, changing and acting."""

from collections.abc import Callable

import msgspec
from aiohttp import web

from sandboxes.data.documents import decode, encode
from sandboxes.finale.actions import listed, shown, stock_listed
from sandboxes.finale.answering import json_answer, not_found, refused, wrong_method
from sandboxes.finale.columns import columns
from sandboxes.finale.filters import chosen
from sandboxes.finale.orders import ORDER_ACTIONS
from sandboxes.finale.shipments import SHIPMENT_ACTIONS
from sandboxes.finale.state import FinaleState
from sandboxes.finale.store import RESOURCES, URL_FIELDS, Record, RefusedError, Resource, canonical
from sandboxes.finale.switches import Switches

_Cache = dict[str, tuple[int, Switches, bytes]]

_TEXT_LISTS = ("roleTypeIdList", "shipmentUrlList", "invoiceUrlList")


class Rest:
    """The handler of every path below `api/`."""

    def __init__(self, state: FinaleState) -> None:
        self._state = state
        self._whole: _Cache = {}  # whole collections as JSON: a shop that does not change is not written out again

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The answer to one request."""
        path = request.rel_url.raw_path
        segments = [canonical(segment) for segment in path.split("/")[3:]]
        if request.method not in ("GET", "POST"):
            return wrong_method()
        try:
            if request.method == "POST":
                return await self._post(request, segments)
            return self._get(request, segments)
        except KeyError:
            return not_found(path)
        except RefusedError as error:
            return refused(str(error))

    def _get(self, request: web.Request, segments: list[str]) -> web.Response:
        name, *rest = segments
        if name == "inventoryitem" and rest == [""]:  # without the slash there is no such page
            return self._collection(request, name)
        resource = _resource(name)
        if rest in ([], [""]):
            return self._collection(request, resource)
        record = self._record(resource, rest)
        if resource == "product" and record["productId"] in self._state.switches.unreachable_products:
            raise KeyError(record["productId"])
        return json_answer(shown(resource, record))

    def _collection(self, request: web.Request, name: str) -> web.Response:
        state = self._state
        # inventoryitem supports no filter at all, so none is looked at there
        asked = {key: request.query[key] for key in ("filter", "limit") if key in request.query}
        if name == "inventoryitem":
            asked.pop("filter", None)
        if asked:
            body = self._body(name, asked)
        else:
            cached = self._whole.get(name)
            if cached is None or cached[:2] != (state.store.version, state.switches):
                cached = self._whole[name] = (state.store.version, state.switches, self._body(name, {}))
            body = cached[2]
        return web.Response(body=body, content_type="application/json", charset="utf-8")

    def _body(self, name: str, asked: dict[str, str]) -> bytes:
        store, switches = self._state.store, self._state.switches
        if name == "inventoryitem":
            rows, first = stock_listed(store, switches), "productUrl"
        else:
            resource = _resource(name)
            rows, first = listed(resource, store, switches), URL_FIELDS[resource]
        found = chosen(rows, asked, switches, store.stamp())
        if not found and switches.empty_collection == "arrays":
            return encode({first: []})
        return encode(columns(found))

    def _record(self, resource: Resource, rest: list[str]) -> Record:
        identifier, *more = rest
        if more not in ([], [""]):
            raise KeyError(more)
        return self._state.store.get(resource, self._state.store.url(resource, identifier))

    async def _post(self, request: web.Request, segments: list[str]) -> web.Response:
        name, *rest = segments
        resource = _resource(name)
        body = await request.read()
        try:
            document = decode(body) if body.strip() else {}
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise RefusedError("the body is not JSON") from None
        if not isinstance(document, dict):
            raise RefusedError("the body is not a JSON object")
        _check_lists(document)
        if rest in ([], [""]):
            return json_answer(shown(resource, self._create(resource, document)))
        url = self._state.store.url(resource, rest[0])
        self._state.store.get(resource, url)
        action = [part for part in rest[1:] if part]
        if not action:
            return json_answer(shown(resource, self._update(resource, url, document)))
        if len(action) > 1:
            raise KeyError(action)
        return json_answer(shown(resource, self._act(resource, url, action[0])))

    def _create(self, resource: Resource, document: Record) -> Record:
        state = self._state
        if resource == "product":
            product_id = document.pop("productId", None)
            if not isinstance(product_id, str):
                raise RefusedError("productId is required")
            return state.store.get("product", state.catalog.add_product(product_id, **document))
        if resource == "partygroup":
            name, roles = document.pop("groupName", ""), document.pop("roleTypeIdList", [])
            if not isinstance(name, str) or not name or not isinstance(roles, list):
                raise RefusedError("groupName is required, and roleTypeIdList is a list")
            document.pop("party_id", None)
            return state.store.get("partygroup", state.catalog.add_party(name, *map(str, roles), **document))
        makers: dict[Resource, Callable[[Record], Record]] = {
            "order": state.orders.create,
            "shipment": state.shipments.create,
            "inventoryvariance": state.catalog.vary_stock,
        }
        if resource not in makers:
            raise RefusedError(f"{resource} cannot be created here")
        return makers[resource](document)

    def _update(self, resource: Resource, url: str, document: Record) -> Record:
        state = self._state
        if resource == "order":
            return state.orders.update(url, document, status_by_post=state.switches.status_by_post)
        if resource == "product":
            return state.catalog.edit_product(url, **document)
        if resource in ("partygroup", "facility"):
            return state.catalog.edit(resource, url, **document)
        raise RefusedError(f"{resource} cannot be changed here")

    def _act(self, resource: Resource, url: str, action: str) -> Record:
        state = self._state
        for order_action in ORDER_ACTIONS:
            if resource == "order" and action == order_action:
                return state.orders.act(url, order_action)
        for shipment_action in SHIPMENT_ACTIONS:
            if resource == "shipment" and action == shipment_action:
                return state.shipments.act(url, shipment_action)
        if resource == "product" and action in ("activate", "deactivate"):
            return state.catalog.activate(url, active=action == "activate")
        raise KeyError(action)


def _check_lists(document: Record) -> None:
    for name, value in document.items():
        kind = str if name in _TEXT_LISTS else dict
        if name.endswith("List") and not (isinstance(value, list) and all(isinstance(one, kind) for one in value)):
            raise RefusedError(f"{name} is a list of {'texts' if kind is str else 'objects'}")


def _resource(name: str) -> Resource:
    if name not in RESOURCES:
        raise KeyError(name)
    return name
