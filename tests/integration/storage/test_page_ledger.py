"""What the ledger says of a page that is read again."""

from core_rig import Core

from shared.contracts.messages import FetchPage
from shared.storage import pages


async def test_ids_that_were_missing_are_not_when_the_page_is_read_again_and_finds_them(core: Core) -> None:
    run = await core.running(await core.source(), trigger="webhook", targeted=True)
    await core.admin.execute("update sync_run_entities set targets = '{a}' where run_id = $1", run)
    epoch = await core.page(run, 1, 0)
    async with core.databases["fetcher"].for_run(run) as (conn, _):
        message = FetchPage(run_id=run, entity="inventory", page_no=1, cursor="1", parent_epoch=0)
        await pages.note_missing(conn, message, epoch, 1)
    assert (await core.view(run)).entities["inventory"].missing == 1

    await core.page(run, 1, 1)
    assert (await core.view(run)).entities["inventory"].missing == 0
