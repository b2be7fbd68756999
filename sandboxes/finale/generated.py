"""A made shop: the same for the same seed and the same day, with every edge case that Finale's data are known for."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from sandboxes.finale.state import FinaleState
from sandboxes.finale.store import Number, Record, StockKey

_NOUNS = ("Hex bolt", "Shelf kit", "Câble plat", "Washer", 'Tube 3/4"', "Käfigmutter", "Hinge", "Gear, spur", "Label")
_SKUS = ("BOLT-{}", "KIT {}", "CÂBLE-{}", "W/{}", "T#{}", "M+{}", "H-{}", "G&{}", "L_{}")
_CATEGORIES = ("Hardware", "Kits", "Electrical", None)
_STREETS = ("Mill Lane", "Harbour Road", "Rue du Port")
_TERMS = ("NET_30", "NET_60", None)


class Size(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of each the shop has."""

    products: int = 500
    vendors: int = 60
    customers: int = 20
    carriers: int = 3
    purchase_orders: int = 80
    sales_orders: int = 20
    locations: int = 3
    sublocations: int = 4
    """Of each location."""
    stock_rows: int | None = None
    """Rows of stock on hand; by default most products have one and some have two."""

    @classmethod
    def of_products(cls, products: int) -> "Size":
        """A shop of so many products with the rest in proportion: 7,800 have 300 vendors and 2,000 purchase orders."""
        return cls(
            products=products,
            vendors=max(10, products // 26),
            customers=max(5, products // 60),
            purchase_orders=max(20, products * 10 // 39),
            sales_orders=max(10, products // 25),
        )


def filling(size: Size | None = None, seed: int = 1) -> Callable[[FinaleState], None]:
    """What fills a state with such a shop: `FinaleState(filling())`."""
    chosen = size or Size()

    def fill(state: FinaleState) -> None:
        midnight = state.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        _Shop(state, chosen, random.Random(seed), midnight).build()

    return fill


class _Shop:
    """One run of the generator. Everything is done by the shop's own operations, at moments of the past year."""

    def __init__(self, state: FinaleState, size: Size, chance: random.Random, today: datetime) -> None:
        self.state = state
        self.size = size
        self.chance = chance
        self.today = today
        self.suppliers: list[str] = []
        self.customers: list[str] = []
        self.locations: list[str] = []
        self.sublocations: list[str] = []
        self.products: list[str] = []

    def build(self) -> None:
        """Fill the state."""
        clock = self.state.clock
        with clock.at(self._ago(400)):
            self._definitions()
            self._facilities()
            self._parties()
        for index in range(self.size.products):
            # evenly over the past year: some within the 30 days that a filter may span
            with clock.at(self._ago(390 - 389 * index / max(1, self.size.products))):
                self.products.append(self._product(index))
        self._stock()
        sales = self.size.sales_orders
        orders = self.size.purchase_orders + sales
        sold = 0
        for index in range(orders):
            before, sold = sold, (index + 1) * sales // orders  # evenly between the purchases
            position = before if sold > before else index - sold
            self._order(position, 360 - 359 * index / orders, sale=sold > before)

    def _ago(self, days: float) -> datetime:
        return (self.today - timedelta(days=days)).replace(microsecond=0)

    def _cents(self, lowest: int, highest: int) -> Decimal:
        return Decimal(self.chance.randint(lowest, highest)).scaleb(-2)

    def _definitions(self) -> None:
        store = self.state.store
        fields = [{"attrName": "user_10001", "label": "Case weight"}, {"attrName": "user_10002", "label": "Buyer"}]
        url = store.url("customization", "10000")
        record: Record = {"customizationUrl": url}
        for kind, type_id in (("productTypeList", "GOOD"), ("orderTypeList", "PURCHASE_ORDER")):
            record[kind] = [{kind.replace("List", "Id"): type_id, "userFieldDefList": fields}]
        store.put("customization", record)

    def _facilities(self) -> None:
        for index in range(self.size.locations):
            location = self.state.add_facility(f"Warehouse {index + 1}")
            self.locations.append(location)
            for place in range(self.size.sublocations):
                self.sublocations.append(self.state.add_facility(f"W{index + 1}-{place + 1:02}", location))

    def _parties(self) -> None:
        add, chance = self.state.catalog.add_party, self.chance
        add("Acme Trading", party_id="PRIMARY")
        for index in range(self.size.vendors):
            fields: Record = {"contactMechList": self._contacts(index), "settlementTermId": chance.choice(_TERMS)}
            if index % 15 == 14:
                fields["statusId"] = "PARTY_DISABLED"
            roles = ["SUPPLIER", "CUSTOMER"] if index % 20 == 19 else ["SUPPLIER"]
            self.suppliers.append(add(f"Supplier {index + 1} & Söhne", *roles, **fields))
        for index in range(self.size.customers):
            self.customers.append(add(f"Customer {index + 1}", "CUSTOMER"))
        for index in range(self.size.carriers):
            add(f"Carrier {index + 1}", "CARRIER")

    def _contacts(self, index: int) -> list[Record]:
        if index % 12 == 11:
            return []
        mail = {"contactMechTypeId": "EMAIL_ADDRESS", "contactMechPurposeTypeId": "WORK_EMAIL"}
        phone = {"contactMechTypeId": "TELECOM_NUMBER", "contactMechPurposeTypeId": "PHONE_WORK"}
        address = {
            "contactMechTypeId": "POSTAL_ADDRESS",
            "contactMechPurposeTypeId": "GENERAL_LOCATION",
            "address1": f"{index + 1} {self.chance.choice(_STREETS)}",
            "city": "Springfield",
            "stateProvinceGeoId": "OR",
            "postalCode": f"{97400 + index % 90}",
            "countryGeoId": "USA",
        }
        contacts = [{**mail, "infoString": f"orders{index + 1}@supplier.example"}]
        if index % 4:
            contacts += [{**phone, "infoString": f"555-01{index % 100:02}"}, address]
        return contacts

    def _product(self, index: int) -> str:
        chance, kind = self.chance, index % len(_NOUNS)
        fields: Record = {
            "userCategory": chance.choice(_CATEGORIES),
            "cost": None if index % 9 == 4 else self._cents(5, 90_000),
            "leadTime": None if index % 3 == 1 else chance.randint(1, 90),
            "universalProductCode": None if index % 2 else f"{index:013}",
            "priceList": self._prices(index),
            "supplierList": self._supplier_list(index),
            "reorderGuidelineList": self._guidelines(index),
            "userFieldDataList": [{"attrName": "user_10001", "attrValue": "1.1993"}] if index % 5 == 0 else [],
        }
        if index % 13 == 12:
            fields["containerId"] = f"BIN-{index % 7}"
        if index % 41 != 40:  # some products have no name at all
            fields["internalName"] = f"{_NOUNS[kind]} {index + 1}"
        if index % 50 == 1 and self.products:
            part = self.state.store.get("product", self.products[0])
            item = {"productId": part["productId"], "productUrl": part["productUrl"], "quantity": 8}
            fields["productAssocList"] = [
                {"productAssocTypeId": "MANUF_COMPONENT", "productAssocItemList": [item]},
            ]
        url = self.state.add_product(_SKUS[kind].format(index + 1), **fields)
        if index % 10 == 3:
            self.state.deactivate_product(url)
        return url

    def _prices(self, index: int) -> list[Record]:
        if index % 7 == 6:
            return []
        free = index % 31 == 30  # 0 is a price, no `price` is none
        price: Number = 0 if free else self._cents(10, 150_000)
        listed = {"productPriceTypeId": "LIST_PRICE", "price": price, "currencyUomId": "USD"}
        return [listed, {"productPriceTypeId": "##user2", "currencyUomId": "USD"}]

    def _supplier_list(self, index: int) -> list[Record]:
        if index % 8 == 7 or not self.suppliers:
            return []
        main, other = (self.suppliers[self.chance.randrange(len(self.suppliers))] for _ in range(2))
        entries: list[Record] = [
            {
                "supplierPartyUrl": main,
                "supplierPrefOrderId": "10_MAIN_SUPPL",
                "price": Decimal(self.chance.randint(1, 9_999_999)).scaleb(-4),
                "currencyUomId": "USD",
                "supplierProductId": f"S-{index}",
            }
        ]
        if index % 6 == 5:  # the main supplier is not always the first, and need not have a price
            del entries[0]["price"]
            entries.insert(0, {"supplierPartyUrl": other, "supplierPrefOrderId": "90_ALT_SUPPL", "price": 1})
        if index % 25 == 24:
            entries[0]["supplierPartyUrl"] = ""
        return entries

    def _guidelines(self, index: int) -> list[Record]:
        match index % 6:
            case 0:
                return []
            case 1:
                return [{"reorderCalculationMethodId": "##doNotReorder"}]
            case 2:
                return [{"facilityUrl": url, "reorderPoint": self.chance.randint(1, 500)} for url in self.locations]
            case 3:
                return [{"facilityUrl": self.locations[0], "reorderPoint": Decimal("0.191624"), "reorderQuantity": 1}]
            case _:
                point = self.chance.randint(1, 900)
                return [{"facilityUrl": self.locations[0], "reorderPoint": point, "reorderQuantity": point * 4}]

    def _stock(self) -> None:
        store, chance, places = self.state.store, self.chance, self.sublocations
        if self.size.stock_rows is not None:
            for index in range(self.size.stock_rows):  # a product that repeats has a lot of its own in each row
                url = self.products[index % len(self.products)]
                lot = f"L_{index}" if index >= len(self.products) else None
                store.on_hand[StockKey(url, places[index % len(places)], lot)] = 1 + index % 97
            store.version += 1
            return
        for index, url in enumerate(self.products):
            if index % 5 == 4:
                continue
            quantity: Number = (
                Decimal(chance.randint(1, 99_999)).scaleb(-3) if index % 11 == 10 else chance.randint(1, 5000)
            )
            lot = f"L_{index}" if index % 17 == 16 else None
            store.add_stock(StockKey(url, chance.choice(places), lot), quantity)
            if index % 4 == 1:
                store.add_stock(StockKey(url, chance.choice(places), None, "cs 12"), chance.randint(1, 80))

    def _order(self, index: int, days: float, *, sale: bool) -> None:
        """The `index`-th of its kind."""
        state, chance = self.state, self.chance
        clock, created = state.clock, self._ago(days)
        with clock.at(created):
            url = state.create_order("SALES_ORDER" if sale else "PURCHASE_ORDER", **self._header(index, created, sale))
        step = index % 10
        lines = [line for line in state.store.get("order", url)["orderItemList"] if "productUrl" in line]
        with clock.at(min(self.today, created + timedelta(hours=5))):
            if step > 0:  # one in ten stays a draft
                state.act(url, "lock")
        with clock.at(min(self.today, created + timedelta(days=6))):
            if step == 1:
                state.act(url, "cancel")
            elif step == 2:  # completed though nothing came
                state.act(url, "complete")
            elif step > 2 and not sale:
                self._receipts(url, lines, step)
            elif step > 6:
                state.act(url, "complete")
        if step == 9 and not sale:
            with clock.at(min(self.today, created + timedelta(days=7))):
                state.shipments.create({"primaryOrderUrl": url, "shipmentItemList": _open_items(lines, chance)})

    def _receipts(self, url: str, lines: list[Record], step: int) -> None:
        """Steps 3 and 4 wait for goods, 5 and 6 have a part, 7 and 8 all and are complete, 9 has a part and a plan."""
        if step in (3, 4):
            return
        whole = step in (7, 8)
        quantities: dict[str, Number] = {}
        for line in lines:
            quantities[line["productUrl"]] = line["quantity"] if whole else max(1, line["quantity"] // 3)
        if quantities:
            self.state.receive(url, quantities)
        if whole:
            self.state.act(url, "complete")

    def _header(self, index: int, created: datetime, sale: bool) -> dict[str, Any]:
        chance, store = self.chance, self.state.store
        lines: list[Record] = []
        for _ in range(chance.randint(1, 8)):
            quantity = chance.randint(1, 400)
            lines.append({"productUrl": chance.choice(self.products), "quantity": quantity})
            lines[-1]["unitPrice"] = Decimal(chance.randint(1, 500_000)).scaleb(-3)
        if index % 23 == 22:
            lines[-1]["productUrl"] = store.url("product", "NO SUCH PRODUCT")
        party = store.get("partygroup", chance.choice(self.customers if sale else self.suppliers))
        role = "CUSTOMER" if sale else "SUPPLIER"
        fields: dict[str, Any] = {
            "orderDate": store.local(created),
            "dueDate": store.local(created + timedelta(days=chance.randint(3, 60))),
            "orderRoleList": [{"roleTypeId": role, "partyId": party["partyId"]}],
            "orderItemList": lines,
            "referenceNumber": f"R-{index}",
        }
        if index % 4 == 0:
            fields["orderAdjustmentList"] = [{"amount": self._cents(100, 9_000), "description": "Freight"}]
        if index % 6 != 5:  # the others have "multiple/unspecified"
            fields["originFacilityUrl" if sale else "destinationFacilityUrl"] = chance.choice(self.locations)
        return fields


def _open_items(lines: list[Record], chance: random.Random) -> list[Record]:
    return [{"productUrl": line["productUrl"], "quantity": chance.randint(1, 3)} for line in lines[:1]]
