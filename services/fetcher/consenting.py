"""On ConsentRequested: the code of a consent becomes the source's refresh token. Neither is ever told to anybody."""

from services.fetcher.opening import SourceOpener
from services.fetcher.probing import category_of
from shared.connector_sdk.token_endpoint import ConsentOverError
from shared.contracts.messages import ConsentReply, ConsentRequested, decode, encode
from shared.errors import HeadraceError, PlatformAwayError
from shared.messaging.ports import Message
from shared.storage import cache_rules, consents
from shared.storage.consents import SealedCode
from shared.storage.database import Database

_AGAIN = "Open the source and connect it again."


class ConsentHandler:
    """Answers every request: what fails is the answer, not an error."""

    def __init__(self, db: Database, opener: SourceOpener) -> None:
        self._db = db
        self._opener = opener

    async def on_consent_requested(self, message: Message) -> Message:
        """The reply. Raises PlatformAwayError alone.

        The code is marked as used before the vendor sees it: one that is shown twice may end what the first use gave
        (RFC 6749, section 4.1.2), so a message that comes again finds nothing to do.
        """
        request = decode(ConsentRequested, message.body)
        async with self._db.transaction() as conn:
            code = await consents.take_code(conn, request.consent_id)
        if code is None:
            reply = _failed("AUTH_FAILED", "The sign-in's code was used already, or waited too long.", _AGAIN)
        else:
            reply = await self._exchanged(code)
        return Message(ConsentReply.KIND, encode(reply))

    async def _exchanged(self, code: SealedCode) -> ConsentReply:
        try:
            renewed = await self._opener.redeem(code)
            async with self._db.for_tenant(code.source.user_id) as conn:
                kept = await consents.keep(conn, code, renewed)
                if kept:
                    await cache_rules.forget(conn, code.source.box_id)
        except PlatformAwayError:
            raise
        except ConsentOverError:
            return _failed("AUTH_FAILED", "The vendor did not accept the sign-in's code.", _AGAIN)
        except HeadraceError as error:
            return _failed(category_of(error), error.message, error.hint or _AGAIN)
        if not kept:
            return _failed("CONFIG_ERROR", "The source was changed while it was being connected.", _AGAIN)
        return ConsentReply(ok=True, message="The source is connected.")


def _failed(category: str, message: str, hint: str) -> ConsentReply:
    return ConsentReply.model_validate({"ok": False, "category": category, "message": message, "hint": hint})
