"""Which top-level fields of a record an expression reads by name."""

from shared.expressions.syntax import Node

_CHAINS = ("subexpression", "pipe", "index_expression")
_PROJECTIONS = ("projection", "filter_projection", "value_projection", "flatten")


def root_fields(node: Node) -> frozenset[str]:
    """The names that the expression looks up in the record itself; what it reaches as a whole (`@`) names nothing."""
    names: set[str] = set()
    _walk(node, True, names)
    return frozenset(names)


def _walk(node: Node, at_root: bool, names: set[str]) -> bool:
    """Add the names; True when the node's value is (or may be) the record itself."""
    if node.kind in ("identity", "current"):
        return at_root
    if node.kind == "field":
        if at_root:
            names.add(node.value)
        return False
    if node.kind in _CHAINS:
        for child in node.children:
            at_root = _walk(child, at_root, names)
        return at_root
    if node.kind in _PROJECTIONS:
        _walk(node.children[0], at_root, names)
        for child in node.children[1:]:
            _walk(child, False, names)  # relative to an element, not to the record
        return False
    if node.kind == "expref":
        return False
    results = [_walk(child, at_root, names) for child in node.children]
    return node.kind in ("or_expression", "and_expression") and any(results)
