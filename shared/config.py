"""The only reader of the environment: settings as frozen models, errors that name the variable."""

import os
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import StartupError

PREFIX = "HEADRACE_"


class SettingsModel(BaseModel):
    """Base of all settings: a field `database_url` is read from HEADRACE_DATABASE_URL; unknown ones are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


_Settings = TypeVar("_Settings", bound=SettingsModel)


def load(model: type[_Settings], environ: Mapping[str, str] | None = None) -> _Settings:
    """Settings from the environment (or from `environ`). Raises StartupError naming the variable, never its value."""
    variables = os.environ if environ is None else environ
    names = [field.alias or name for name, field in model.model_fields.items()]
    told = {name: variables.get(PREFIX + name.upper(), "") for name in names}
    values = {name: text for name, text in told.items() if text != ""}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            (f"{PREFIX}{str(problem['loc'][0]).upper()}: " if problem["loc"] else "")
            + problem["msg"].removeprefix("Value error, ")
            for problem in error.errors(include_input=False, include_url=False, include_context=False)
        )
        raise StartupError(problems, hint="See the settings table in docs/operations.md.") from None


def environment() -> dict[str, str]:
    """A copy of the whole environment, for handing on to child processes."""
    return dict(os.environ)
