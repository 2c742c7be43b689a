"""The configuration: names, limits and defaults of the settings, and how file, environment and flags combine.

Of Sojourn it imports the core only. It never imports a driver, opens no socket and makes no folder.
"""

from sojourn.config.errors import ConfigError
from sojourn.config.loader import load
from sojourn.config.sections.access import AccessSettings
from sojourn.config.sections.devices import DEFAULT_DEVICES, DeviceSettings
from sojourn.config.sections.limits import PROJECT_LIMITS, LimitsSettings, check_limits
from sojourn.config.sections.policy import PolicySettings
from sojourn.config.sections.profiles import PROFILE_NUMBERS, ProfileSettings
from sojourn.config.sections.projects import AccountSettings, ProjectSettings
from sojourn.config.sections.reservations import ReservationSettings
from sojourn.config.sections.retention import RetentionSettings
from sojourn.config.sections.server import ServerSettings
from sojourn.config.sections.webhooks import WebhookSettings
from sojourn.config.settings import Settings, reference
from sojourn.config.values import TEN_YEARS, as_tags

__all__ = [
    "DEFAULT_DEVICES",
    "PROFILE_NUMBERS",
    "PROJECT_LIMITS",
    "TEN_YEARS",
    "AccessSettings",
    "AccountSettings",
    "ConfigError",
    "DeviceSettings",
    "LimitsSettings",
    "PolicySettings",
    "ProfileSettings",
    "ProjectSettings",
    "ReservationSettings",
    "RetentionSettings",
    "ServerSettings",
    "Settings",
    "WebhookSettings",
    "as_tags",
    "check_limits",
    "load",
    "reference",
]
