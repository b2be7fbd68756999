"""A sandbox as a program of its own, as people start it."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import sandboxes


@asynccontextmanager
async def sandbox_process(directory: Path, name: str, *options: str) -> AsyncIterator[str]:
    """Its address. It says that it listens there, and told to end it does so with exit code 0."""
    port_file = directory / "port"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"sandboxes.{name}", "--port", "0", "--port-file", str(port_file), *options),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(sandboxes.__file__).parent.parent,
    )
    try:
        assert process.stdout is not None
        said = await asyncio.wait_for(process.stdout.readline(), 30)
        url = f"http://127.0.0.1:{port_file.read_text()}"
        assert said.decode() == f"listening on {url}\n"
        yield url
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
