"""ETag, Last-Modified and 304 of the sandboxes: each kind, and the two faults."""

import json

import aiohttp
import pytest

from sandboxes.behaviour.validators import ValidatorMode
from sandboxes.files.app import build_app as build_files
from sandboxes.files.state import FilesState
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running


async def asked(session: aiohttp.ClientSession, path: str, **headers: str) -> tuple[int, str | None]:
    async with session.get(path, headers=headers) as response:
        body = await response.read()
        assert (response.status == 304) is (body == b"")
        return response.status, response.headers.get("ETag")


@pytest.mark.parametrize("mode", ["strong", "weak"])
async def test_a_page_of_the_api_has_a_tag_that_changes_with_it(mode: ValidatorMode) -> None:
    state = JsonApiState.northwind()
    state.behaviour.validators = mode
    async with running(build_app(state)) as url, aiohttp.ClientSession(url) as session:
        status, tag = await asked(session, "/page/products?size=5")
        assert tag is not None
        assert tag.startswith("W/") is (mode == "weak")
        assert await asked(session, "/page/products?size=5", **{"If-None-Match": tag}) == (304, tag)
        assert (await asked(session, "/page/products?size=6", **{"If-None-Match": tag}))[0] == 200
        state.edit("products", 77, unitPrice=1)
        assert await asked(session, "/page/products?size=5", **{"If-None-Match": tag}) == (304, tag)
        state.edit("products", 1, unitPrice=1)
        status, other = await asked(session, "/page/products?size=5", **{"If-None-Match": tag})
        assert (status, other == tag) == (200, False)


async def test_the_api_has_none_unless_it_is_told_to() -> None:
    state = JsonApiState.northwind()
    async with running(build_app(state)) as url, aiohttp.ClientSession(url) as session:
        assert await asked(session, "/all/products", **{"If-None-Match": "*"}) == (200, None)
        body = json.dumps({"mode": "strong"})
        async with session.post("/_control/validators", data=body) as response:
            assert response.status == 200
        assert (await asked(session, "/all/products"))[1] is not None
        async with session.post("/_control/validators", data='{"mode": "odd"}') as response:
            assert response.status == 400
        state.reset()
        assert (await asked(session, "/all/products"))[1] is None


@pytest.mark.parametrize("mode", ["lying", "confused"])
async def test_faults_say_304_whatever_has_changed(mode: ValidatorMode) -> None:
    state = FilesState.northwind()
    state.behaviour.validators = mode
    async with running(build_files(state)) as url, aiohttp.ClientSession(url) as session:
        _, tag = await asked(session, "/products.csv")
        assert tag is not None
        state.put("products.csv", b"a,b\n1,2\n")
        status, named = await asked(session, "/products.csv", **{"If-None-Match": tag})
        assert (status, named == tag) == (304, mode == "lying")
        assert (await asked(session, "/products.csv"))[0] == 200


async def test_a_file_without_tags_goes_by_its_time() -> None:
    state = FilesState.northwind()
    state.behaviour.validators = "modified"
    async with running(build_files(state)) as url, aiohttp.ClientSession(url) as session:
        async with session.get("/products.csv") as response:
            modified = response.headers["Last-Modified"]
            assert "ETag" not in response.headers
        assert await asked(session, "/products.csv", **{"If-Modified-Since": modified}) == (304, None)
        state.put("products.csv", b"a,b\n1,2\n")
        assert await asked(session, "/products.csv", **{"If-Modified-Since": modified}) == (200, None)
