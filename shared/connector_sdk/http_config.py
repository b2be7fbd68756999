"""What the configurations of generic HTTP connectors have in common: addresses without secrets, expressions. Pure."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any
from urllib.parse import parse_qs

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from yarl import URL

from shared.connector_sdk.secret_names import carries_secret
from shared.contracts.mapping import MAX_EXPRESSION_CHARS
from shared.errors import ConfigurationError, MappingError, sentences
from shared.expressions.paths import compile_expression, compile_path
from shared.http.urls import parse_url


class ConfigModel(BaseModel):
    """Base of configurations: frozen, nothing unknown, no input in errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def refuse_secret_name(name: str, where: str) -> None:
    """Raises ValueError for a name whose value belongs into the credentials, which are sealed."""
    if carries_secret(name):
        raise ValueError(f"{where} {name!r} carries a secret by its name: put it into the credentials")


def public_url(text: str) -> str:
    """Validator: an absolute http(s) URL that carries no secret by name."""
    try:
        url = parse_url(text)
    except ConfigurationError as error:
        raise ValueError(sentences(error.message, error.hint)) from None
    path_params = (part.partition("=")[0] for segment in url.parts for part in segment.split(";")[1:])
    for name in (*url.query, *parse_qs(URL(text).fragment, keep_blank_values=True), *path_params):
        refuse_secret_name(name, "the URL's parameter")
    return text


def account_of(origins: Iterable[str], fingerprint: str) -> str:
    """The account of a vendor that nobody knows: its origins and the fingerprint of the credentials sent there."""
    return "|".join((*origins, fingerprint))


def _path(text: str) -> str:
    return _compiled(text, compile_path)


def _expression(text: str) -> str:
    return _compiled(text, compile_expression)


def _compiled(text: str, compiler: Callable[[str], Any]) -> str:
    try:
        compiler(text)
    except MappingError as error:
        raise ValueError(sentences(error.message, error.hint)) from None
    return text


Url = Annotated[str, Field(min_length=1, max_length=4_000), AfterValidator(public_url)]
PathText = Annotated[str, Field(min_length=1, max_length=MAX_EXPRESSION_CHARS), AfterValidator(_path)]
"""The exact name of a top-level field, or JMESPath."""
ExpressionText = Annotated[str, Field(min_length=1, max_length=MAX_EXPRESSION_CHARS), AfterValidator(_expression)]
"""JMESPath."""
