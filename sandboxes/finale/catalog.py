"""Products, parties and facilities: creating and changing them."""

from typing import Any

from sandboxes.finale.store import URL_FIELDS, Number, Record, RefusedError, Resource, StockKey, Store

PRODUCT_LISTS = (
    "priceList",
    "supplierList",
    "productStoreList",
    "reorderGuidelineList",
    "glAccountList",
    "contentList",
    "userFieldDataList",
    "productAssocList",
)
_PRODUCT_FIELDS = {
    "productId",
    "internalName",
    "productTypeId",
    "cost",
    "leadTime",
    "userCategory",
    "category",
    "normalizedPackingString",
    "universalProductCode",
    "manufacturerName",
    "manufacturerProductId",
    "weight",
    "weightUomId",
    "distanceUomId",
    "containerId",
    "longDescription",
    "expandBillOfMaterialsPolicy",
    "reorderPointPolicy",
    *PRODUCT_LISTS,
}
_PARTY_FIELDS = {
    "groupName",
    "description",
    "roleTypeIdList",
    "statusId",
    "contactMechList",
    "settlementTermId",
    "leadTime",
    "userFieldDataList",
    "contentList",
}
_FACILITY_FIELDS = {"facilityName", "statusId", "parentFacilityUrl"}
WRITABLE: dict[Resource, set[str]] = {
    "product": _PRODUCT_FIELDS,
    "partygroup": _PARTY_FIELDS,
    "facility": _FACILITY_FIELDS,
}
"""What a POST may set; other keys are ignored without a word, as Finale ignores them."""


class Catalog:
    """The operations on products, parties and facilities."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.product_ids: dict[str, str] = {}
        """SKU to address."""

    def clear(self) -> None:
        """Forget the SKUs."""
        self.product_ids.clear()

    def add_product(self, product_id: str, /, **fields: Any) -> str:
        """Create an active product and return its address. RefusedError when the SKU is taken or empty."""
        if not product_id:
            raise RefusedError("productId is required")
        if product_id in self.product_ids:
            raise RefusedError(f"productId {product_id} exists already")
        url = self._store.url("product", product_id)
        if url in self._store.rows["product"]:  # a product that has another SKU by now keeps its address
            url = self._store.url("product", str(self._store.number("product")))
        self.product_ids[product_id] = url
        self._store.put(
            "product",
            {
                "productId": product_id,
                "productTypeId": "GOOD",
                "statusId": "PRODUCT_ACTIVE",
                "productUrl": url,
                "weightUomId": "WT_lb",
                "distanceUomId": "LEN_ft",
                **{name: [] for name in PRODUCT_LISTS},
                **_known("product", {**fields, "productId": product_id}),
            },
        )
        return url

    def edit_product(self, url: str, /, **fields: Any) -> Record:
        """Set fields; a new `productId` leaves the address as it is."""
        record = self._store.get("product", url)
        fields = _known("product", fields)
        new = fields.get("productId", record["productId"])
        if not isinstance(new, str) or not new:
            raise RefusedError("productId is a text and not empty")
        if self.product_ids.get(new, url) != url:
            raise RefusedError(f"productId {new} exists already")
        del self.product_ids[record["productId"]]
        self.product_ids[new] = url
        return self._store.put("product", {**record, **fields})

    def activate(self, url: str, *, active: bool) -> Record:
        """Make a product active or inactive; RefusedError when it is already."""
        record = self._store.get("product", url)
        status = "PRODUCT_ACTIVE" if active else "PRODUCT_INACTIVE"
        if record["statusId"] == status:
            raise RefusedError(f"{record['productId']} is {status} already")
        return self._store.put("product", {**record, "statusId": status})

    def add_party(self, name: str, /, *roles: str, party_id: str | None = None, **fields: Any) -> str:
        """Create a supplier, customer, carrier or company, and return its address."""
        party_id = party_id or str(self._store.number("party"))
        url = self._store.url("partygroup", party_id)
        record = {
            "partyId": party_id,
            "partyGroupUrl": url,
            "groupName": name,
            "roleTypeIdList": list(roles),
            "statusId": "PARTY_ENABLED",
            "contactMechList": [],
            "userFieldDataList": [],
            "contentList": [],
        }
        self._store.put("partygroup", {**record, **_known("partygroup", fields)})
        return url

    def add_facility(self, name: str, parent: str | None = None) -> str:
        """Create a location, or a sublocation of `parent`; returns its address."""
        facility_id = str(self._store.number("facility"))
        url = self._store.url("facility", facility_id)
        record = {"facilityId": facility_id, "facilityUrl": url, "facilityName": name, "statusId": "FACILITY_ACTIVE"}
        self._store.put("facility", {**record, "parentFacilityUrl": parent})
        return url

    def edit(self, resource: Resource, url: str, /, **fields: Any) -> Record:
        """Set fields of a party or facility."""
        record = self._store.get(resource, url)
        return self._store.put(resource, {**record, **_known(resource, fields)})

    def vary_stock(self, document: Record) -> Record:
        """Store a stock change; committed, it adds its differences to what is on hand."""
        store = self._store
        items = document.get("inventoryItemVarianceList", [])
        if document.get("statusId") == "PHSCL_INV_COMMITTED":
            for key, difference in [_variance(item, document.get("facilityUrl")) for item in items]:
                store.add_stock(key, difference)
        field = URL_FIELDS["inventoryvariance"]
        url = store.url("inventoryvariance", str(store.number("inventoryvariance")))
        return store.put("inventoryvariance", {**document, field: url})


def _variance(item: Record, facility: object) -> tuple[StockKey, Number]:
    quantity, product = item.get("quantityOnHandVar"), item.get("productUrl")
    place = item.get("facilityUrl") or facility
    if isinstance(quantity, bool) or not isinstance(quantity, Number):
        raise RefusedError("quantityOnHandVar is a number")
    if not isinstance(product, str) or not isinstance(place, str):
        raise RefusedError("productUrl and facilityUrl are required")
    return StockKey(product, place, item.get("lotId"), item.get("normalizedPackingString")), quantity


def _known(resource: Resource, fields: Record) -> Record:
    return {name: value for name, value in fields.items() if name in WRITABLE[resource]}
