"""Settings: `SERVICE_*` environment variables, checked once at the start.

A variable that is wrong or unknown raises `SettingsError` with one line that names it.
"""

from service.settings.fields import Settings
from service.settings.providers import Provider
from service.settings.values import Secret

__all__ = ["Provider", "Secret", "Settings"]
