"""An app pod with Flask: people's orders, and payments for who came with a second factor.

pip install openshow-guard flask gunicorn
export AUTH_ISSUER=http://127.0.0.1:8000 AUTH_AUDIENCE=openshow
export AUTH_JWKS_URL=http://127.0.0.1:8000/.well-known/jwks.json
export AUTH_REDIS_URL=redis://openshow-guard:password@127.0.0.1:6379
gunicorn --chdir docs/examples --bind 127.0.0.1:8001 --threads 8 orders_flask:app
"""

import os

from flask import Flask
from openshow_guard import Verifier, current_identity
from openshow_guard.wsgi import GuardMiddleware, Requirement

verifier = Verifier(
    issuer=os.environ["AUTH_ISSUER"],
    audience=os.environ["AUTH_AUDIENCE"],
    jwks_url=os.environ["AUTH_JWKS_URL"],
    redis_url=os.environ["AUTH_REDIS_URL"],
)
app = Flask(__name__)
app.wsgi_app = GuardMiddleware(
    app.wsgi_app,
    verifier=verifier,
    public=["/health"],
    require={"/payments": Requirement(methods={"otp"}, max_age=600)},
)


@app.get("/orders")
def orders() -> dict[str, str]:
    """Needs an access token, as all but public paths do."""
    return {"ordersOf": current_identity().user_id}


@app.post("/payments")
def pay() -> dict[str, str]:
    """Needs one from a login with a TOTP code, at most ten minutes ago."""
    return {"paidBy": current_identity().user_id}


@app.get("/health")
def health() -> dict[str, bool]:
    """For the load balancer."""
    return {"ok": True}
