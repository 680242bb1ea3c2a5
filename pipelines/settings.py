"""The settings of the app, and the only reader of its environment variables (EVERYAGE_DATA, EVERYAGE_DEVICE, ...)."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_data_dir
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.errors import InputError

SECRET = ("password", "jobs_url")  # never shown: a database address may hold a password, too
PILLOW_LIMIT = 89_000_000  # above this Pillow itself suspects a decompression bomb


class Settings(BaseSettings):
    """One immutable set of settings; each can come from EVERYAGE_NAME. Build it with `load_settings`."""

    model_config = SettingsConfigDict(env_prefix="EVERYAGE_", frozen=True, extra="forbid", env_ignore_empty=True)

    data: Path = Field(default_factory=lambda: Path(user_data_dir("everyage", appauthor=False)))
    """Folder of everything that the app stores: results, caches, logs."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    memory_gb: float | None = Field(default=None, gt=0)
    """How much memory loaded models may take; None: half of the device's."""
    idle_unload_s: float = Field(default=600, gt=0)
    """Models that nobody used for so many seconds are dropped."""
    offline: bool = False
    """Never download anything, whatever other programs' variables in the environment say."""
    port: int = Field(default=7860, ge=1, le=65535)
    host: str = Field(default="127.0.0.1", min_length=1)
    password: str | None = Field(default=None, min_length=8, repr=False)
    max_pixels: int = Field(default=64_000_000, ge=64 * 64, le=PILLOW_LIMIT)
    """Larger photos are refused, from their header alone."""
    jobs_url: str | None = Field(default=None, pattern=r"^postgres(ql)?://", repr=False)
    """PostgreSQL database of a queue that several machines share; None: a file in the data folder, for this one."""

    @field_validator("data")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @property
    def loopback(self) -> bool:
        """Whether `host` can be reached from this machine only."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    def check_serving(self) -> None:
        """Raises InputError where the app would be open to other machines without a password."""
        if not self.loopback and not self.password:
            raise InputError(
                f"The address {self.host} lets other machines in; set a password in EVERYAGE_PASSWORD "
                "(8 characters or more), or leave --host out."
            )


def _reason(message: str) -> str:
    return message.replace("Input should", "it should").replace("String should", "it should")


def load_settings(**given: Any) -> Settings:
    """Settings from the environment, with every given value that is not None taking precedence.

    Raises InputError that names the first wrong setting and its value.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        value = "" if name in SECRET else f" {first.get('input')!r}"
        raise InputError(f"The setting {name}{value} can't be used: {_reason(first['msg'])}.") from error
