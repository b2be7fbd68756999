"""Create, full and sparse update, and delete, with the rules of each entity."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sandboxes.quickbooks.company import Company, Record, Row
from sandboxes.quickbooks.entities import REFERENCES, EntityName, Spec
from sandboxes.quickbooks.values import clean, number, value_of
from sandboxes.quickbooks.wire import QuickBooksError

_INVENTORY = ("QtyOnHand", "InvStartDate", "IncomeAccountRef", "ExpenseAccountRef", "AssetAccountRef")
_DETAILS = ("ItemBasedExpenseLineDetail", "AccountBasedExpenseLineDetail")
_LINE_FIELDS = {
    "Id", "LineNum", "Description", "Amount", "DetailType", "Received", "LinkedTxn", "CustomField", *_DETAILS
}  # fmt: skip
_BILLABLE = ("NotBillable", "Billable", "HasBeenBilled")
_CENT = Decimal("0.01")


def write(company: Company, spec: Spec, body: Mapping[str, Any]) -> Row:
    """Create without `Id`, else update. QuickBooksError when the vendor would refuse."""
    if spec.kind == "single":
        raise QuickBooksError("500", f"Operation on {spec.name} is not supported.")
    return update(company, spec, body) if body.get("Id") else _create(company, spec, body)


def delete(company: Company, spec: Spec, body: Mapping[str, Any]) -> Record:
    """Delete a transaction; the stub that is answered. QuickBooksError for other entities and stale versions."""
    if spec.kind != "transaction":
        raise QuickBooksError("500", f"Operation delete is not supported for {spec.name}.")
    row = _current(company, spec, body)
    _books_open(company, row.data)
    company.delete(spec, row)
    return {"status": "Deleted", "domain": "QBO", "Id": row.id}


def _create(company: Company, spec: Spec, body: Mapping[str, Any]) -> Row:
    data = {name: value for name, value in clean(spec, body).items() if value is not None}
    if spec.kind == "list":
        data.setdefault("Active", True)
    _complete(company, spec, data, None)
    return company.add(spec, data)


def update(company: Company, spec: Spec, body: Mapping[str, Any]) -> Row:
    """Sparse: what is sent; full: every writable field. QuickBooksError when stale or against a rule."""
    row = _current(company, spec, body)
    sparse = body.get("sparse") in (True, "true")
    sent = clean(spec, body)
    if sparse and company.switches.sparse_needs_required:
        _require(spec.required, sent)
    if spec.name == "Item":
        _keep_quantity(company, row, sent, sparse=sparse)
    kept = {name: value for name, value in row.data.items() if sparse or spec.fields[name] == "server"}
    data = {name: value for name, value in {**kept, **sent}.items() if value is not None}
    if spec.kind == "list":
        data.setdefault("Active", True)
    _complete(company, spec, data, row)
    company.change(spec, row, data)
    return row


def _current(company: Company, spec: Spec, body: Mapping[str, Any]) -> Row:
    row = company.find(spec.name, str(body.get("Id", "")))
    if row is None:
        raise QuickBooksError("610", f"Object Not Found : {spec.name} {body.get('Id', '')}", "Id")
    token = body.get("SyncToken")
    if token is None or token == "":
        raise QuickBooksError("2020", "Required parameter SyncToken is missing in the request", "SyncToken")
    if str(token) != str(row.token):
        detail = "Stale Object Error : You and another user were working on this at the same time."
        raise QuickBooksError("5010", detail)
    return row


def _keep_quantity(company: Company, row: Row, sent: Record, *, sparse: bool) -> None:
    """Quantities change through transactions; a full update that leaves one out does not clear it either."""
    now = row.data.get("QtyOnHand")
    if sent.get("QtyOnHand") is not None and sent["QtyOnHand"] != now and company.switches.quantity_update == "fault":
        raise QuickBooksError("6000", "QtyOnHand changes through transactions only.", "QtyOnHand")
    for name in ("QtyOnHand", "InvStartDate"):
        if name in row.data:
            sent[name] = row.data[name]
    if row.data.get("TrackQtyOnHand"):
        if sent.get("TrackQtyOnHand") is False:
            raise QuickBooksError("6000", "TrackQtyOnHand cannot be switched off again.", "TrackQtyOnHand")
        sent.setdefault("TrackQtyOnHand", True)
    if sparse and sent.get("ReorderPoint", 0) is None:
        del sent["ReorderPoint"]  # a sparse update cannot clear it


def _complete(company: Company, spec: Spec, data: Record, row: Row | None) -> None:
    """Check a record as it would be stored, and fill in what the vendor computes."""
    _require(spec.required, data)
    if spec.name == "Item":
        _item(company, data)
    elif spec.name == "PurchaseOrder":
        _order(company, data, row)
    for name, value in data.items():
        if spec.fields[name] == "ref":
            _refer(company, name, value, living=spec.kind == "transaction")
    if spec.name_field and company.taken(spec, str(data[spec.name_field]), row.id if row else None):
        detail = f"The name supplied already exists. : {data[spec.name_field]}"
        raise QuickBooksError("6240", detail, spec.name_field)
    if spec.kind == "transaction":
        _books_open(company, data)
        if row is not None:
            _books_open(company, row.data)


def _item(company: Company, data: Record) -> None:
    if any(mark in data["Name"] for mark in ":\t\n"):
        raise QuickBooksError("6000", "Name has no colon, tab or line break.", "Name")
    data.setdefault("Type", "Service")
    if data["Type"] == "Inventory":
        _require(_INVENTORY, data)
        if data.get("TrackQtyOnHand") is not True:
            raise QuickBooksError(
                "2020", "Required parameter TrackQtyOnHand is missing in the request", "TrackQtyOnHand"
            )
    parent = company.find("Item", data.get("ParentRef", {}).get("value"))
    data["FullyQualifiedName"] = data["Name"]
    if parent is not None:
        data["FullyQualifiedName"] = f"{parent.data['FullyQualifiedName']}:{data['Name']}"
        data["Level"] = parent.data.get("Level", 0) + 1


def _order(company: Company, data: Record, row: Row | None) -> None:
    switches = company.switches
    data["Line"] = [_line(company, position, line) for position, line in enumerate(data["Line"], 1)]
    tax = number("TotalTax", data.get("TxnTaxDetail", {}).get("TotalTax", 0))
    data["TotalAmt"] = sum((line.get("Amount", 0) for line in data["Line"]), Decimal(tax))
    data.setdefault("POStatus", "Open")
    data.setdefault("EmailStatus", "NotSet")
    data.setdefault("LinkedTxn", [])
    data.setdefault("CurrencyRef", {"value": "USD", "name": "United States Dollar"})
    data.setdefault("TxnDate", company.moment().date().isoformat())
    if "DocNumber" not in data:
        if row is None and switches.auto_doc_number:
            data["DocNumber"] = _next_number(company)
    elif switches.duplicate_doc_number == "fault":
        for other in company.living("PurchaseOrder"):
            if other is not row and other.data.get("DocNumber") == data["DocNumber"]:
                detail = f"You must specify a different number. : DocNumber={data['DocNumber']} TxnId={other.id}"
                raise QuickBooksError("6140", detail, "DocNumber")


def _line(company: Company, position: int, line: Any) -> Record:
    if not isinstance(line, dict):
        raise QuickBooksError("2010", "Property Name:Line holds something that is no line", "Line")
    if (unknown := next((name for name in line if name not in _LINE_FIELDS), None)) is not None:
        raise QuickBooksError("2010", f"Property Name:Can not find property {unknown} in Line", unknown)
    kept = {name: value for name, value in line.items() if value not in (None, "")}
    _require(("Amount", "DetailType"), kept)
    if kept["DetailType"] not in _DETAILS:
        raise QuickBooksError("2170", f"DetailType is one of {', '.join(_DETAILS)}", "DetailType")
    _require((kept["DetailType"],), kept)
    for name in ("Amount", "Received"):
        if name in kept:
            kept[name] = number(name, kept[name])
    detail = kept[kept["DetailType"]] = _detail(company, kept[kept["DetailType"]])
    if kept["DetailType"] == "AccountBasedExpenseLineDetail":
        _require(("AccountRef",), detail)
    if "Qty" in detail and "UnitPrice" in detail:
        product = Decimal(detail["Qty"]) * Decimal(detail["UnitPrice"])
        if abs(product - kept["Amount"]) >= _CENT:
            raise QuickBooksError("6070", f"Amount is not equal to UnitPrice * Qty : {kept['Amount']}", "Amount")
    return {**kept, "Id": str(kept.get("Id", position)), "LineNum": kept.get("LineNum", position)}


def _detail(company: Company, detail: Any) -> Record:
    if not isinstance(detail, dict):
        raise QuickBooksError("2010", "Property Name:DetailType names something that is no object", "Line")
    kept: Record = {}
    for name, value in detail.items():
        if value in (None, ""):
            continue
        kind = "ref" if name.endswith("Ref") else "number" if name in ("Qty", "UnitPrice", "TaxAmount") else None
        if kind == "ref" and isinstance(value, dict) and not value.get("value"):
            continue  # clients send empty references for none
        kept[name] = value if kind is None else value_of(kind, name, value)  # type: ignore[arg-type]
        if kind == "ref":
            _refer(company, name, kept[name], living=True)
    if kept.get("BillableStatus", "NotBillable") not in _BILLABLE:
        raise QuickBooksError("2170", f"BillableStatus is one of {', '.join(_BILLABLE)}", "BillableStatus")
    return kept


def _require(names: tuple[str, ...], data: Mapping[str, Any]) -> None:
    for name in names:
        if data.get(name) in (None, "", []):
            raise QuickBooksError("2020", f"Required parameter {name} is missing in the request", name)


def _refer(company: Company, name: str, value: Mapping[str, Any], *, living: bool) -> None:
    target: EntityName | None = REFERENCES.get(name)
    if target is None:
        return
    found = company.find(target, value["value"])
    if found is None:
        raise QuickBooksError("2500", f"Invalid Reference Id : {name} {value['value']}", name)
    if living and found.data.get("Active") is False:
        detail = "Object Not Found : Something you're trying to use has been made inactive."
        raise QuickBooksError("610", detail, name)


def _books_open(company: Company, data: Record) -> None:
    closed = company.switches.books_closed_until
    if closed is not None and data["TxnDate"] <= closed.isoformat():
        raise QuickBooksError("6210", f"The account period has closed until {closed}.", "TxnDate")


def _next_number(company: Company) -> str:
    numbers = [row.data.get("DocNumber", "") for row in company.living("PurchaseOrder")]
    return str(max((int(text) for text in numbers if text.isascii() and text.isdigit()), default=1000) + 1)
