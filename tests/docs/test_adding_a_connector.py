"""docs/adding-a-connector.md says what the code does."""

import re
from pathlib import Path

from services.cli.conformance.running import map_records
from shared.connector_sdk.conformance.checking import rules

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding-a-connector.md").read_text()
EXAMPLE = ROOT / "examples" / "sample_connector"


def test_the_table_of_rules_is_the_kit() -> None:
    table = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.partition("| rule | what must hold |")[2], re.MULTILINE)

    assert table == [(rule.name, rule.meaning) for rule in rules(map_records).values()]


def test_every_passage_is_from_the_example() -> None:
    sources = [path.read_text() for path in EXAMPLE.rglob("*") if path.suffix in {".py", ".toml", ".md"}]
    passages = re.findall(r"^( *)```(?:python|toml|sh)\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)

    assert len(passages) == 3
    for indent, passage in passages:
        lines = [line.removeprefix(indent).strip() for line in passage.strip().splitlines()]
        assert any(_holds(source, lines) for source in sources), passage


def _holds(source: str, lines: list[str]) -> bool:
    return "\n".join(lines) in "\n".join(line.strip() for line in source.splitlines())


def test_files_that_it_names_exist() -> None:
    for name in re.findall(r"`((?:shared|services|tests|examples|sandboxes)/[\w/.]+)`", PAGE):
        assert (ROOT / name).exists(), name
