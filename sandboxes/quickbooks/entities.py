"""What the entities look like: their fields, which of them a query may use, and what a create needs."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

EntityName = Literal["Item", "Vendor", "PurchaseOrder", "CompanyInfo", "Account", "Term", "Customer", "Employee"]
FieldKind = Literal["text", "number", "bool", "date", "ref", "object", "list", "server", "ignored"]
"""`server`: the vendor computes it and takes no notice of what is sent; `ignored`: known, but never kept."""


class Spec(NamedTuple):
    """One entity. `kind` list: never deleted, only made inactive; transaction: can be deleted; single: read only."""

    name: EntityName
    kind: Literal["list", "transaction", "single"]
    fields: Mapping[str, FieldKind]
    filters: frozenset[str]
    """The fields that WHERE and ORDERBY know, beside `Id` and the two of `MetaData`."""
    required: tuple[str, ...] = ()
    name_field: str = ""
    """The field that must be unique."""
    lengths: Mapping[str, int] = {}
    enums: Mapping[str, frozenset[str]] = {}
    volatile: str = ""
    """The field that `change_percent` changes."""


def _fields(**kinds: str) -> dict[str, FieldKind]:
    known: dict[str, FieldKind] = dict.fromkeys(("Id", "SyncToken", "MetaData", "domain", "sparse", "status"), "server")
    for kind in ("text", "number", "bool", "date", "ref", "object", "list", "server", "ignored"):
        known |= dict.fromkeys(kinds.get(kind, "").split(), kind)
    return known


_PERSON = "Title GivenName MiddleName FamilyName Suffix DisplayName CompanyName PrintOnCheckName AcctNum TaxIdentifier"
_CONTACT = "PrimaryPhone AlternatePhone Mobile Fax PrimaryEmailAddr WebAddr BillAddr ShipAddr"

ITEM = Spec(
    "Item",
    "list",
    _fields(
        text="Name Sku Type Description PurchaseDesc",
        number="UnitPrice PurchaseCost QtyOnHand ReorderPoint",
        bool="Active SubItem Taxable SalesTaxIncluded PurchaseTaxIncluded TrackQtyOnHand",
        date="InvStartDate",
        ref="ParentRef PrefVendorRef IncomeAccountRef ExpenseAccountRef AssetAccountRef ClassRef SalesTaxCodeRef "
        "PurchaseTaxCodeRef",
        server="FullyQualifiedName Level",
        ignored="AbatementRate ReverseChargeRate ServiceType ItemCategoryType",
    ),
    frozenset({"Name", "Sku", "Type", "Active"}),
    required=("Name",),
    name_field="Name",
    lengths={"Name": 100, "Sku": 100, "Description": 4000, "PurchaseDesc": 1000},
    enums={"Type": frozenset({"Inventory", "Service", "NonInventory", "Group", "Category"})},
    volatile="QtyOnHand",
)
VENDOR = Spec(
    "Vendor",
    "list",
    _fields(
        text=_PERSON,
        number="BillRate CostRate",
        bool="Active Vendor1099",
        ref="TermRef CurrencyRef APAccountRef",
        object=_CONTACT,
        server="Balance",
        ignored="TaxReportingBasis",
    ),
    frozenset({"DisplayName", "Active", "Balance"}),
    required=("DisplayName",),
    name_field="DisplayName",
    lengths={"DisplayName": 500, "CompanyName": 100},
    volatile="AcctNum",
)
PURCHASE_ORDER = Spec(
    "PurchaseOrder",
    "transaction",
    _fields(
        text="DocNumber POStatus EmailStatus Memo PrivateNote GlobalTaxCalculation",
        number="ExchangeRate",
        date="TxnDate DueDate",
        ref="VendorRef APAccountRef ShipTo ShipMethodRef SalesTermRef ClassRef DepartmentRef CurrencyRef TaxCodeRef",
        object="VendorAddr ShipAddr POEmail TxnTaxDetail",
        list="Line CustomField",
        server="TotalAmt LinkedTxn",
        ignored="AttachableRef",
    ),
    frozenset({"DocNumber", "TxnDate", "TotalAmt", "POStatus"}),
    required=("VendorRef", "APAccountRef", "Line"),
    lengths={"DocNumber": 21, "Memo": 4000, "PrivateNote": 4000},
    enums={
        "POStatus": frozenset({"Open", "Closed"}),
        "EmailStatus": frozenset({"NotSet", "NeedToSend", "EmailSent"}),
    },
    volatile="PrivateNote",
)
COMPANY_INFO = Spec(
    "CompanyInfo",
    "single",
    _fields(
        server="CompanyName LegalName CompanyAddr Country FiscalYearStartMonth SupportedLanguages CompanyStartDate"
    ),
    frozenset({"CompanyName"}),
)
ACCOUNT = Spec(
    "Account",
    "list",
    _fields(
        text="Name AcctNum Description AccountType AccountSubType Classification",
        bool="Active SubAccount",
        ref="CurrencyRef",
        server="FullyQualifiedName CurrentBalance",
    ),
    frozenset({"Name", "AccountType", "Active"}),
    required=("Name", "AccountType"),
    name_field="Name",
    lengths={"Name": 100},
    volatile="Description",
)
TERM = Spec(
    "Term",
    "list",
    _fields(text="Name Type", number="DueDays DiscountDays", bool="Active"),
    frozenset({"Name", "Active"}),
    required=("Name",),
    name_field="Name",
    volatile="DueDays",
)
CUSTOMER = Spec(
    "Customer",
    "list",
    _fields(text=_PERSON + " Notes", bool="Active", object=_CONTACT, server="Balance FullyQualifiedName"),
    frozenset({"DisplayName", "Active"}),
    required=("DisplayName",),
    name_field="DisplayName",
    lengths={"DisplayName": 500},
    volatile="Notes",
)
EMPLOYEE = Spec(
    "Employee",
    "list",
    _fields(text=_PERSON, bool="Active", object=_CONTACT),
    frozenset({"DisplayName", "Active"}),
    required=("DisplayName",),
    name_field="DisplayName",
    lengths={"DisplayName": 500},
    volatile="AcctNum",
)

SPECS: Mapping[EntityName, Spec] = {
    spec.name: spec for spec in (ITEM, VENDOR, PURCHASE_ORDER, COMPANY_INFO, ACCOUNT, TERM, CUSTOMER, EMPLOYEE)
}
SPECS_BY_PATH: Mapping[str, Spec] = {name.lower(): spec for name, spec in SPECS.items()}
PEOPLE: tuple[EntityName, ...] = ("Vendor", "Customer", "Employee")
"""Their display names share one name space."""

REFERENCES: Mapping[str, EntityName] = {
    "VendorRef": "Vendor",
    "PrefVendorRef": "Vendor",
    "ItemRef": "Item",
    "ParentRef": "Item",
    "IncomeAccountRef": "Account",
    "ExpenseAccountRef": "Account",
    "AssetAccountRef": "Account",
    "APAccountRef": "Account",
    "AccountRef": "Account",
    "TermRef": "Term",
    "SalesTermRef": "Term",
    "CustomerRef": "Customer",
}
"""What each reference points to. References of other names (currency, class, tax code) are kept as they are sent."""
