"""A new key for an embedded Headrace: put first, everything sealed anew while it runs; a wrong one is refused."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from up_harness import COMMAND, Up, headrace_up, shop_source

from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from shared.sealing.keyring import generate_key
from shared.storage.sources import SourceView


async def test_a_key_is_replaced_while_headrace_runs(tmp_path: Path) -> None:
    data_dir, log = tmp_path / "data", tmp_path / "log"
    state = JsonApiState.northwind()
    async with running(build_app(state)) as base:
        allow = urlsplit(base).netloc
        async with headrace_up(data_dir, log, "--embedded", egress_allow=allow) as up:
            source = await up.add_source(shop_source(base))
            await synced(up, source)
            assert await up.stop() == 0

        file, new = data_dir / "master.keys", generate_key("local-2")
        old = file.read_text().strip()
        file.write_text(f"{new},{old}")
        async with headrace_up(data_dir, log, "--embedded", egress_allow=allow) as up:
            await synced(up, source)
            code, document = await command("keys", "rotate", "--json", "--data-dir", str(data_dir))
            assert (code, document["resealed"], document["keys"]) == (0, 1, {"local-2": 1})
            await synced(up, source)
            code, document = await command("keys", "check", "--json", "--data-dir", str(data_dir))
            assert (code, document["boxes"]) == (0, {"local-2": 1})
            assert await up.stop() == 0

        file.write_text(generate_key("local-2"))
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "up", "--embedded", "--data-dir", str(data_dir), "--port", "0",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
        assert process.returncode == 2, said
        assert b"local-2 is not the" in said


async def synced(up: Up, source: SourceView) -> None:
    run = await up.finished(await up.start_sync(source))
    assert run.status == "succeeded", run


async def command(*words: str) -> tuple[int | None, Any]:
    """Exit code and the JSON on standard output."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert out, err
    return process.returncode, json.loads(out)
