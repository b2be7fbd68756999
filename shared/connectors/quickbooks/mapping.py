"""The default mapping of QuickBooks' records, as data: JMESPath on the raw records. Pure."""

from typing import Final

from pydantic import TypeAdapter

from shared.contracts.ids import Entity
from shared.contracts.mapping import EntityMapping, FieldMappings

ON_ORDER: Final = "QtyOnOrder"
"""Our own addition to an Item: what open purchase orders still bring. The vendor has no such field."""

_ACTIVE = {"path": "to_string(Active)", "map": {"true": "active", "false": "inactive"}, "default": "active"}
_TEXT_OF = "([{parts}][?@] | [0]) && join({glue}, [{parts}][?@])"
"""The parts that are there, joined; null when none is. `glue` is a literal: `'…'` knows no escapes, backquotes do."""

_INVENTORY = {
    "sku": "Sku || Name",
    "name": "Name",
    "description": "Description",
    "category": "ParentRef.name",
    "status": _ACTIVE,
    "quantity_on_hand": "QtyOnHand",
    "quantity_on_order": ON_ORDER,
    "reorder_point": "ReorderPoint",
    "unit_cost": "PurchaseCost",
    "unit_price": "UnitPrice",
    "preferred_vendor_id": "PrefVendorRef.value",
}
_VENDORS = {
    "name": "DisplayName",
    "contact_name": _TEXT_OF.format(glue="' '", parts="Title, GivenName, MiddleName, FamilyName, Suffix"),
    "contact_email": "PrimaryEmailAddr.Address",
    "contact_phone": "PrimaryPhone.FreeFormNumber || Mobile.FreeFormNumber || AlternatePhone.FreeFormNumber",
    "address": _TEXT_OF.format(
        glue="', '",
        parts="BillAddr.Line1, BillAddr.Line2, BillAddr.Line3, BillAddr.Line4, BillAddr.Line5, BillAddr.City, "
        "BillAddr.CountrySubDivisionCode, BillAddr.PostalCode, BillAddr.Country",
    ),
    "website": "WebAddr.URI",
    "payment_terms": "TermRef.name",
    "currency": "CurrencyRef.value",
    "status": _ACTIVE,
}
_ARRIVED = "Line[?Received > `0`]"
_OUTSTANDING = "Line[?ItemBasedExpenseLineDetail.Qty > not_null(Received, `0`)]"
_PURCHASE_ORDERS = {
    # DocNumber is absent where the company numbers its orders by hand, and did not.
    "order_number": "DocNumber || join('', ['QBO-', Id])",
    "vendor_id": "VendorRef.value",
    "status": (
        f"POStatus == 'Closed' && 'received' || {_ARRIVED} && {_OUTSTANDING} && 'partially_received' || 'submitted'"
    ),
    "order_date": "TxnDate",
    "expected_date": "DueDate",
    "currency": "CurrencyRef.value",
    "subtotal": "sum(Line[?DetailType != 'SubTotalLineDetail'].Amount)",
    "tax": "TxnTaxDetail.TotalTax",
    "total": "TotalAmt",
    "notes": _TEXT_OF.format(glue='`"\\n"`', parts="PrivateNote, Memo"),
    # Numbered by their place: LineNum may be missing or there twice, which would refuse the whole order.
    "lines": (
        "Line[].{item_id: ItemBasedExpenseLineDetail.ItemRef.value, "
        "description: Description, quantity: ItemBasedExpenseLineDetail.Qty, quantity_received: Received, "
        "unit_cost: ItemBasedExpenseLineDetail.UnitPrice, line_total: Amount}"
    ),
}
_FILTERS: Final[dict[Entity, str]] = {"inventory": "Type == 'Inventory' || Type == 'NonInventory'"}
"""Services, groups and categories are no goods. Full reads do not ask for them; where they come they are filtered."""

DEFAULT_MAPPINGS: Final[FieldMappings] = TypeAdapter(FieldMappings).validate_python(
    {"inventory": _INVENTORY, "vendors": _VENDORS, "purchase_orders": _PURCHASE_ORDERS}
)


def entity_mapping(entity: Entity, rules: FieldMappings) -> EntityMapping:
    """The user's rules for the entity, else the default ones. `version` is the caller's to set."""
    return EntityMapping(
        id_path="Id",
        filter=_FILTERS.get(entity),
        updated_at_path="MetaData.LastUpdatedTime",
        fields=rules.get(entity, DEFAULT_MAPPINGS[entity]),
    )
