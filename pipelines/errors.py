"""The errors of the app, for the rooms above `pipelines`, which do not reach down to `models` themselves."""

from models.errors import Cancelled, DeviceError, EveryageError, InputError

__all__ = ["Cancelled", "DeviceError", "EveryageError", "InputError"]
