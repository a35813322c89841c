"""The use cases of operators, for whatever takes their orders."""

import msgspec

from service.account_lifecycle.export import AccountExports
from service.api_keys.administration import ApiKeyAdministration
from service.authentication.account_limits import AccountLimits
from service.authentication.password_reset import ResetLinks
from service.confirmations.status import GuardStatuses
from service.events.reading import EventReader
from service.mail.notices import Notices
from service.operators.accounts import AccountAdministration
from service.operators.lookup import AccountLookup
from service.operators.sessions import SessionAdministration
from service.relying_parties.administration import RelyingPartyAdministration


class Operations(msgspec.Struct, frozen=True):
    """What operators can do. `limits` and `reset_links` need the keys to be open."""

    lookup: AccountLookup
    accounts: AccountAdministration
    sessions: SessionAdministration
    limits: AccountLimits
    reset_links: ResetLinks
    exports: AccountExports
    api_keys: ApiKeyAdministration
    relying_parties: RelyingPartyAdministration
    events: EventReader
    guards: GuardStatuses
    notices: Notices
