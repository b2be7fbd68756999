"""Write the schemas beside this file; those of messages that are no more are removed."""

from pathlib import Path

from shared.contracts.schemas import rendered


def main() -> None:
    """Bring the folder in line with the models."""
    folder = Path(__file__).parent
    files = rendered()
    for stale in folder.glob("*.json"):
        if stale.name not in files:
            stale.unlink()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
