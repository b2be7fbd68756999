"""What Finale does one way or the other: where its sources disagree, the default follows its own documentation."""

from typing import Literal

import msgspec


class Switches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Set `state.switches` to another instance (`msgspec.structs.replace`) at any time."""

    limit_applied: Literal["after_filter", "before_filter"] = "after_filter"
    """Documented: last, after all filters. Observed: it bounds the rows scanned, the oldest first."""
    order_lines_in_collection: bool = False
    """Whether the order collection carries `orderItemList`, or each order must be read for its lines."""
    quantities_as_text: bool = False
    """`inventoryitem` gives `"120"` in the place of 120."""
    stock_parents: bool = False
    """`inventoryitem` has `parentFacilityUrl`, as it was seen at times."""
    missing_upper_bound: Literal["now", "refused"] = "now"
    """A `lastUpdatedDate` filter without an upper bound: documented as now, seen as a 400."""
    empty_collection: Literal["object", "arrays"] = "object"
    """A collection without rows: `{}`, or the address column with no element."""
    party_name: Literal["groupName", "description"] = "groupName"
    """The field in which the partygroup collection shows the name."""
    status_by_post: bool = True
    """Whether a legal change of `statusId` by POST is obeyed; the documentation calls it read-only."""
    unreachable_products: frozenset[str] = frozenset()
    """SKUs that the collection lists and whose own address answers 404."""
    collection_cap: int = 120_000
    """The most rows of a collection's answer; rows are capped after lastUpdatedDate and before any other filter."""
    date_range_start_end: bool = False
    """Whether GraphQL takes {start, end} besides {begin, end}."""
    report_lines_before_header: bool = False
    """A title, the date and an empty line before a CSV report's header."""
    report_bom: bool = False
    """A CSV report begins with a byte order mark."""
    report_columns_left_out: frozenset[str] = frozenset()
    """Columns that reports do not show, by their headers: people choose theirs."""
    graphql_most_rows: int | None = None
    """A page of GraphQL holds no more rows, whatever `first` says; no bound is documented."""
    one_report_at_a_time: bool = False
    """A second report at once is answered with 429."""
    retry_after: bool = False
    """Whether a 429 carries Retry-After."""
    window_scale: float = 1.0
    """Factor of the rate windows: 0.1 makes a minute 6 seconds and an hour 6 minutes."""

    def __post_init__(self) -> None:
        if not 0 < self.window_scale <= 1000:
            raise ValueError("window_scale is above 0 and at most 1000")
        if self.collection_cap < 1:
            raise ValueError("collection_cap is at least 1")
