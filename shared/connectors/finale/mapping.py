"""Finale's records to internal fields, as data. Pure. README.md says which raw fields the connector adds."""

from typing import Final

from shared.connectors.finale.config import FinaleConfig
from shared.contracts.ids import Entity
from shared.contracts.mapping import EntityMapping, FieldMappings, FieldRule

ID_FIELDS: Final[dict[Entity, str]] = {
    "inventory": "productUrl",
    "vendors": "partyGroupUrl",
    "purchase_orders": "orderUrl",
}
"""The identity of a record is its address, not its id, which people may change (Finale documentation, resource
patterns)."""

_MAIN_SUPPLIER = (
    "((supplierList[?supplierPartyUrl && supplierPrefOrderId && contains(supplierPrefOrderId, 'MAIN')] | [0])"
    " || (supplierList[?supplierPartyUrl] | [0]))"
)
"""An entry may have an empty address; without a main one the first counts."""
_LOCATION = "containerId || (stockLocations && stockLocationNames && join(', ', stockLocationNames))"
"""The standard bin, else the locations that hold stock. The places are read too, though the names would do: what no
rule reads is kept in `extra`, which is not written again when stock moves and nothing else of the row changes."""
_LISTED = "priceList[?productPriceTypeId == 'LIST_PRICE']"


def _reorder(field: str) -> str:
    """The sum over all facilities, as stock is; null where nothing is to be reordered. A number may be a text."""
    numbers = f"reorderGuidelineList[?reorderCalculationMethodId != '##doNotReorder'].to_number({field})"
    return f"({numbers} || `null`) && sum({numbers})"


def _contact(kind: str, *purposes: str) -> str:
    """`infoString` of the first contact with the first purpose that there is, else of any of its kind but a fax."""
    choices = [f"(contactMechList[?contactMechPurposeTypeId == '{purpose}'].infoString | [0])" for purpose in purposes]
    any_kind = f"contactMechTypeId == '{kind}' && contactMechPurposeTypeId != 'FAX_NUMBER'"
    return " || ".join([*choices, f"(contactMechList[?{any_kind}].infoString | [0])"])


def _address(condition: str) -> str:
    parts = "[address1, address2, city, stateProvinceGeoId, postalCode, countryGeoId][?@].to_string(@)"
    return f"(contactMechList[?contactMechTypeId == 'POSTAL_ADDRESS'{condition}].join(', ', {parts}) | [0])"


def _rules(**fields: str | FieldRule) -> dict[str, FieldRule]:
    return {name: FieldRule(path=rule) if isinstance(rule, str) else rule for name, rule in fields.items()}


DEFAULT_MAPPINGS: Final[FieldMappings] = {
    "inventory": _rules(
        sku="productId",
        name="internalName || productId",
        description="longDescription",
        category="userCategory || category",
        status=FieldRule(path="statusId", map={"PRODUCT_ACTIVE": "active", "PRODUCT_INACTIVE": "inactive"}),
        quantity_on_hand="quantityOnHand",
        quantity_on_order="quantityOnOrder",
        quantity_reserved="quantityReserved",
        reorder_point=_reorder("reorderPoint"),
        reorder_quantity=_reorder("reorderQuantity"),
        unit_cost=f"{_MAIN_SUPPLIER}.price || cost",
        unit_price=f"{_LISTED}.price | [0]",
        currency=f"({_LISTED}.currencyUomId | [0]) || {_MAIN_SUPPLIER}.currencyUomId",
        barcode="universalProductCode",
        location=_LOCATION,
        preferred_vendor_id=f"{_MAIN_SUPPLIER}.supplierPartyUrl",
    ),
    "vendors": _rules(
        name="groupName || description",
        contact_email=_contact("EMAIL_ADDRESS", "WORK_EMAIL", "BILLING_EMAIL", "PAYMENT_EMAIL", "HOME_EMAIL"),
        contact_phone=_contact("TELECOM_NUMBER", "PHONE_WORK", "PHONE_MOBILE", "PHONE_HOME"),
        address=" || ".join(
            [
                _address(f" && contactMechPurposeTypeId == '{purpose}'")
                for purpose in ("GENERAL_LOCATION", "BILLING_LOCATION", "SHIPPING_LOCATION")
            ]
            + [_address("")]
        ),
        payment_terms="settlementTermId",
        lead_time_days="leadTime",
        status=FieldRule(path="statusId", map={"PARTY_ENABLED": "active", "PARTY_DISABLED": "inactive"}),
    ),
    "purchase_orders": _rules(
        order_number="orderId",
        vendor_id="vendorUrl",
        status=FieldRule(
            path="(statusId == 'ORDER_LOCKED' && receiptState == 'some' && 'some') || statusId",
            map={
                "ORDER_EMBRYONIC": "draft",
                "ORDER_CREATED": "draft",
                "ORDER_LOCKED": "submitted",
                "some": "partially_received",
                "ORDER_COMPLETED": "received",
                "ORDER_CANCELLED": "cancelled",
                "ORDER_CANCELED": "cancelled",
            },
        ),
        order_date="orderDate",
        expected_date="dueDate || receiveDate",
        received_date="((statusId == 'ORDER_COMPLETED' || receiptState == 'all') && lastReceiptDate) || `null`",
        subtotal="orderItemListTotal",
        total=(
            "orderItemListTotal && sum([to_number(orderItemListTotal), "
            "sum(not_null(orderAdjustmentList, `[]`)[].to_number(amount))])"
        ),
        notes="publicNotes",
        lines=(
            "orderItemList[].{item_id: productUrl, sku: productId, description: itemDescription, quantity: quantity, "
            "quantity_received: quantityReceived, unit_cost: unitPrice, line_total: lineTotal}"
        ),
    ),
}


REPORT_MAPPINGS: Final[FieldMappings] = {
    "vendors": _rules(
        contact_email=f'{DEFAULT_MAPPINGS["vendors"]["contact_email"].path} || "Email address 0"',
        contact_phone=f'{DEFAULT_MAPPINGS["vendors"]["contact_phone"].path} || "Phone number 0"',
        notes="Notes",
    ),
}
"""What a report adds to the rules above. Products' stock and orders' lines come under the names that REST has."""


def entity_mapping(config: FinaleConfig, entity: Entity, rules: FieldMappings) -> EntityMapping:
    """`version` is the caller's to set. The user's rules for an entity take the place of the default ones."""
    added = REPORT_MAPPINGS.get(entity, {}) if entity in config.report_urls else {}
    return EntityMapping(
        id_path=ID_FIELDS[entity],
        updated_at_path="lastUpdatedDate",
        thousands="," if entity in config.report_urls else "",  # as Finale formats numbers in CSV
        time_zone=config.time_zone,
        fields=rules.get(entity) or DEFAULT_MAPPINGS[entity] | added,
    )
