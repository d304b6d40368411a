"""The variables of the environment that Signoff reads, each with its kind, default and meaning.

A new one is a field here and nothing else: docs/reference/environment.md is made from this file (`python -m
research_app.environment_page`). A wrong value is refused in one sentence that names the variable, the value and what is
allowed; values that may hold a password are not repeated.
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from research_app.environment_values import (
    DatabaseUrl,
    Flag,
    HostNames,
    HttpAddress,
    MailAddress,
    Network,
    Networks,
    Number,
    OneOf,
    Refused,
    ServiceUrl,
    Site,
    WholeNumber,
    WorkerDevices,
)

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
AS_IT_IS = ("EMAIL_HOST_PASSWORD", "SIGNOFF_TOKEN", "SIGNOFF_CHECKPOINT_TOKEN", "CUDA_VISIBLE_DEVICES")
"""White space may be part of a password, and an empty mask of GPUs means none."""
POSTGRESQL = "postgresql://signoff@db.example.org/signoff"
REDIS = "redis://broker.example.org:6379/0"
OF_A_RUN = (
    "SIGNOFF_SEED", "SIGNOFF_OUT", "SIGNOFF_DATA", "SIGNOFF_SCALE", "SIGNOFF_BUDGET", "SIGNOFF_BUDGET_KIND", "SIGNOFF_GROWTH",
    "SIGNOFF_BATCH", "SIGNOFF_TEXT", "SIGNOFF_CHECKPOINT_SECONDS",
)  # fmt: skip
"""What a run's command is given (docs/reference/project-file.md): nothing of Signoff's own reads it."""


class BadEnvironment(Exception):
    """The environment asks for something that cannot be; the message names each variable and the fix, one a line."""


def variable(meaning: str, default: Any, unset: str = "", *, secret: bool = False, group: str = "") -> Any:
    """A field: what it is for, its value where nothing is set, and how the documentation says that value.

    A `secret` is never repeated. A `group` begins a new table of the documentation, with the fields that follow.
    """
    return Field(
        default, description=meaning, repr=not secret, json_schema_extra={"unset": unset, "secret": secret, "group": group}
    )


class Environment(BaseSettings):
    """Every variable, read and checked. `read()` gives the one of this moment."""

    model_config = SettingsConfigDict(
        case_sensitive=True, extra="ignore", frozen=True, validate_default=False, enable_decoding=False
    )

    SIGNOFF_HOME: str = variable("the folder where all state lies", "", "`var/` beside `manage.py`", group="Where it is")
    PORT: Annotated[int, BeforeValidator(WholeNumber(1, 65535, "8001"))] = variable(
        "port of the web server; `signoff up --port` says the same", 8000
    )
    SIGNOFF_LISTEN: str = variable(
        "address to listen on, also `signoff up --listen`; set `ALLOWED_HOSTS` and `SITE_URL` with it", "127.0.0.1"
    )
    SITE_URL: Annotated[str, BeforeValidator(Site())] = variable(
        "how browsers reach it, as links in mail and for signing in name it; with `https://`, cookies are sent over TLS only",
        "",
        "where it runs in this home, otherwise `http://127.0.0.1:$PORT`",
    )
    ALLOWED_HOSTS: Annotated[tuple[str, ...], BeforeValidator(HostNames())] = variable(
        "host names to answer for, separated by commas", (), "`localhost,127.0.0.1,[::1]` and the host of `SITE_URL`"
    )
    SIGNOFF_PROXIES: Annotated[tuple[Network, ...], BeforeValidator(Networks())] = variable(
        "reverse proxies whose word for a client's address is taken (docs/explanation/door.md)", ()
    )
    SECRET_KEY: SecretStr = variable(
        "signs sessions; the same on all hosts", SecretStr(""), "made on first start, kept in the home", secret=True
    )

    SIGNOFF_DEVICES: str = variable(
        "which devices train here, for example `cuda:4,cpu:2`. All GPUs of a host are one pool that lends them one by one or "
        "several together (docs/decisions/0027-device-pool.md); `cuda*8` asks for at least eight, and `cuda:8,cuda*8` are "
        "eight. The number says how many, not which: `CUDA_VISIBLE_DEVICES` chooses among GPUs",
        "",
        "every GPU; without one, every core",
        group="Devices",
    )
    SIGNOFF_RUNS_PER_GPU: Annotated[int, BeforeValidator(WholeNumber(1, 16, "2"))] = variable(
        "so many small runs may share a GPU, where `[limits] device_memory_gb` says what each takes", 1
    )
    CUDA_VISIBLE_DEVICES: str | None = variable(
        "your own choice of GPUs: with `4,5,6,7` the devices are `cuda:4` to `cuda:7`, and with UUIDs (`GPU-…`, `MIG-…`) "
        "those. Numbers are those of `nvidia-smi`",
        None,
        "all GPUs and MIG slices",
    )
    SIGNOFF_DEVICE: Annotated[str, BeforeValidator(WorkerDevices())] = variable(
        "the devices of one worker, where you start it yourself: `cpu:0`, `cuda:0,1,2,3`, or `cuda:UUID` for a GPU or slice",
        "",
        "`cpu:0`",
    )
    SIGNOFF_QUEUE: str = variable("the queue of one worker, where it is not that of its kind of device", "")
    LEASE_SECONDS: Annotated[float, BeforeValidator(Number(1, 86_400, "seconds"))] = variable(
        "how long a worker may be silent before its work is given to another; it reports four times as often", 20.0
    )

    DATABASE_URL: Annotated[str, BeforeValidator(DatabaseUrl(("postgresql", "postgres", "sqlite"), POSTGRESQL))] = variable(
        f"the database, for example `{POSTGRESQL}`", "", "SQLite in the home", secret=True, group="Services that it uses"
    )
    REDIS_URL: Annotated[str, BeforeValidator(ServiceUrl(("redis", "rediss", "redis+socket"), REDIS))] = variable(
        f"the broker, for example `{REDIS}`", "", "the embedded broker", secret=True
    )
    ANTHROPIC_API_KEY: SecretStr = variable("lets Claude propose changes", SecretStr(""), secret=True)
    ANTHROPIC_BASE_URL: Annotated[str, BeforeValidator(HttpAddress())] = variable(
        "another address of that service, such as a gateway of yours", "", "Anthropic's own"
    )
    SIGNOFF_AGENTS_HAVE_KEY: str = variable(
        "set by `signoff up` for services that may know that there is a key and not which; not for you to set", ""
    )
    CHROMIUM: str = variable("the browser for tests and `signoff screenshots`", "", "`chromium`, found on the path")
    XDG_RUNTIME_DIR: str = variable("where the broker's socket lies when the home's path is too long for one", "", "`/tmp`")

    EMAIL_HOST: str = variable(
        "the mail server for “your turn” (docs/how-to/notifications.md)", "", "each mail is a file in `mail/` in the home",
        group="Mail and webhooks",
    )  # fmt: skip
    EMAIL_PORT: Annotated[int, BeforeValidator(WholeNumber(1, 65535, "587"))] = variable("its port", 25)
    EMAIL_HOST_USER: str = variable("its user", "")
    EMAIL_HOST_PASSWORD: SecretStr = variable("the password of that user, just as it is", SecretStr(""), secret=True)
    EMAIL_USE_TLS: Annotated[bool, BeforeValidator(Flag())] = variable("begin with STARTTLS", False)
    EMAIL_USE_SSL: Annotated[bool, BeforeValidator(Flag())] = variable(
        "TLS from the first byte; excludes `EMAIL_USE_TLS`", False
    )
    EMAIL_FROM: Annotated[str, BeforeValidator(MailAddress())] = variable("the sender", "signoff@localhost")
    SIGNOFF_WEBHOOK_HOSTS: Annotated[tuple[str, ...], BeforeValidator(HostNames(ports=True))] = variable(
        "hosts (with a port where it matters) that people's webhooks may name although they are not https or not public", ()
    )

    SIGNOFF_CHECKPOINTS: Annotated[str, BeforeValidator(HttpAddress(or_path=True))] = variable(
        "where signed heads of the audit log go: a file, an `http(s)://` address, or `off` (docs/explanation/audit.md)",
        "",
        "`checkpoints.jsonl` in the home",
        group="Audit log",
    )
    SIGNOFF_CHECKPOINT_KEY: str = variable(
        "the file of the private key, never in the database", "", "`checkpoint_key.pem` in the home, made on first use"
    )
    SIGNOFF_CHECKPOINT_EVERY: Annotated[float, BeforeValidator(Number(1, 31_536_000, "seconds"))] = variable(
        "seconds between two of them", 3600.0
    )
    SIGNOFF_CHECKPOINT_TOKEN: SecretStr = variable("sent to the address as a bearer token", SecretStr(""), secret=True)

    SIGNOFF_API_READS: Annotated[int, BeforeValidator(WholeNumber(1, 1_000_000, "600"))] = variable(
        "reading requests of one token in a minute, counted in each web process", 600, group="API and logs"
    )
    SIGNOFF_API_SUBMISSIONS: Annotated[int, BeforeValidator(WholeNumber(1, 1_000_000, "60"))] = variable(
        "submitting requests of one token in a minute", 60
    )
    SIGNOFF_TOKEN: SecretStr = variable("the access token that `signoff mcp` works with", SecretStr(""), secret=True)
    LOG_LEVEL: Annotated[str, BeforeValidator(OneOf(LEVELS))] = variable("of all services", "INFO")
    DEBUG: Annotated[bool, BeforeValidator(Flag())] = variable("Django's pages about errors; only for work on Signoff", False)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (env_settings,)

    @model_validator(mode="before")
    @classmethod
    def without_white_space(cls, given: dict[str, str]) -> dict[str, str]:
        """An empty value counts as none, and white space around one is not part of it."""
        trimmed = {name: value if name in AS_IT_IS else value.strip() for name, value in given.items()}
        return {name: value for name, value in trimmed.items() if value or name in AS_IT_IS}

    @model_validator(mode="after")
    def one_kind_of_tls(self) -> "Environment":
        if self.EMAIL_USE_TLS and self.EMAIL_USE_SSL:
            raise Refused("EMAIL_USE_TLS and EMAIL_USE_SSL are both 1: they exclude each other, so set one of them.")
        return self


OURS = "SIGNOFF_"
KNOWN = (*Environment.model_fields, *OF_A_RUN)
OF_OTHERS = ("XDG_RUNTIME_DIR", "CHROMIUM")  # many programs have names like these


def read() -> Environment:
    """The environment of this moment. Raises BadEnvironment with a line for each variable that is wrong."""
    return _read_of(tuple(os.environ.get(name) for name in Environment.model_fields))


@lru_cache(maxsize=8)  # checked again only where a variable changed: a millisecond
def _read_of(values: tuple[str | None, ...]) -> Environment:
    try:
        return Environment()
    except ValidationError as error:
        sentences = [_sentence(problem["loc"], problem["ctx"]["error"]) for problem in error.errors()]
        raise BadEnvironment("\n".join(sentences)) from None


def refused(name: str, allowed: str) -> BadEnvironment:
    """The sentence about a wrong value of a variable: the value, where it is no secret, and what is allowed."""
    given = os.environ.get(name, "")
    hidden = facts_of(Environment.model_fields[name])["secret"] or ("://" in given and "@" in given)
    return BadEnvironment(f"{name} is {'not what it may be' if hidden else _short(given)}: {allowed}")


def allowed(name: str) -> str:
    """What a variable may hold; empty where any text will do."""
    kinds = [fact.func for fact in Environment.model_fields[name].metadata if isinstance(fact, BeforeValidator)]
    return str(kinds[0].allowed(name)) if kinds else ""  # type: ignore[union-attr]


def facts_of(field: FieldInfo) -> Mapping[str, Any]:
    """What `variable` keeps of a field: unset, secret, group."""
    assert isinstance(field.json_schema_extra, dict)
    return field.json_schema_extra


def unread(names: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables that look like ours and that nothing reads, such as a typing error, each with what may be meant."""
    advice = {}
    for name in sorted(os.environ if names is None else names):
        near = "" if name in KNOWN else _nearest(name.upper())
        if near:
            advice[name] = f"Did you mean {near}?"
        elif name not in KNOWN and name.upper().startswith(OURS):
            advice[name] = "All of them are in docs/reference/environment.md."
    return advice


def _nearest(name: str) -> str:
    """The known variable that a name is a slip of; empty where there is none."""
    if name in KNOWN:  # in small letters
        return name
    ours = [known for known in KNOWN if known not in OF_OTHERS]
    close = get_close_matches(name, ours, n=1, cutoff=0.85) if len(name) >= len("LOG_LEVEL") - 1 else []
    if name.startswith(OURS) and not close:
        rests = [known.removeprefix(OURS) for known in KNOWN if known.startswith(OURS)]
        close = [f"{OURS}{rest}" for rest in get_close_matches(name.removeprefix(OURS), rests, n=1, cutoff=0.6)]
    return close[0] if close else ""


def _sentence(place: tuple[int | str, ...], error: Exception) -> str:
    """What is said of one variable, or of several that exclude each other."""
    own = str(error) if isinstance(error, Refused) else ""
    if not place:
        return own
    return str(refused(str(place[0]), own or allowed(str(place[0]))))


def _short(given: str) -> str:
    return repr(given if len(given) <= 200 else f"{given[:200]}…")


def without_password(given: str) -> str:
    """An address as people may see it."""
    return re.sub(r"//[^/@]*@", "//…@", given)
