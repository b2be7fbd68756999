"""On PreviewRequested: what a mapping makes of some raw records, field by field. Nothing is written."""

from services.transformer.engine import Explained, compile_mapping
from shared.contracts.messages import MappedSample, PreviewReply, PreviewRequested, SampleProblem, decode, encode
from shared.contracts.records import FIELDS, LINE_FIELDS
from shared.errors import MappingError
from shared.messaging.ports import Message

_LINE_NAMES = [spec.name for spec in LINE_FIELDS]


async def on_preview_requested(message: Message) -> Message:
    """The reply; a mapping that cannot be compiled is one too. Raises PoisonMessageError alone."""
    request = decode(PreviewRequested, message.body)
    names = [spec.name for spec in FIELDS[request.entity]]
    try:
        mapper = compile_mapping(request.entity, request.mapping)
        mapper.verify(request.records)
        results = [_result(names, mapper.explain(record)) for record in request.records]
        reply = PreviewReply(ok=True, message="", results=results)
    except MappingError as error:
        reply = PreviewReply(
            ok=False, category=error.category, message=error.message, hint=error.hint or None, results=[]
        )
    return Message(PreviewReply.KIND, encode(reply))


def _result(names: list[str], explained: Explained) -> MappedSample:
    row = explained.row
    lines = None
    if row is not None and row.lines is not None:
        lines = [dict(zip(_LINE_NAMES, line, strict=True)) for line in row.lines]
    return MappedSample(
        external_id=explained.external_id,
        filtered=explained.filtered,
        mapped=None if row is None else dict(zip(names, row.cells, strict=True)),
        lines=lines,
        errors=[SampleProblem(field=name, reason=reason) for name, reason in explained.problems],
    )
