"""The bearer token: from a login, or from the user's function."""

from __future__ import annotations

from pkgutil import resolve_name

from dag_retry._airflow import sdk
from dag_retry._airflow.http import Http
from dag_retry._airflow.settings import ApiSettings
from dag_retry._errors import ApiError, ApiRefused, ApiUnanswered, ApiUnusable


def obtain_token(settings: ApiSettings, http: Http) -> str:
    """Return a new bearer token, masked in the logs.

    :param settings: the credentials of a function, a client or a user.
    :param http: sends the login.
    :raises ApiUnusable: Airflow refused the login, or the function can't be used.
    :raises ApiUnanswered: no clear answer came in time, or the function raised.
    """
    token = _call(settings.token_callable) if settings.token_callable else _log_in(settings, http)
    sdk.mask(token)
    return token


def _log_in(settings: ApiSettings, http: Http) -> str:
    url = settings.url + settings.token_path
    if settings.client_id:
        # `TokenClientCredentialsBody` of apache-airflow-providers-keycloak 0.11.2: 201, and 403 for a wrong secret.
        who = settings.client_id
        body = {"grant_type": "client_credentials", "client_id": who, "client_secret": settings.client_secret}
    else:
        # The simple, the FAB and the Keycloak auth managers take this body.
        who = settings.username or ""
        body = {"username": who, "password": settings.password}
    try:
        token = http.send("POST", url, body).good(f"login of {who!r} at {url}").get("access_token")
    except ApiError as error:
        if isinstance(error, ApiRefused) or error.reason == "login":
            raise ApiUnusable(f"{error}: correct the credentials", reason="login", status=error.status) from error
        raise
    if not isinstance(token, str) or not token:
        raise ApiUnusable(f"{url} gave no access_token: is it Airflow's API?", reason="not_airflow")
    return token


def _call(path: str) -> str:
    """Call the user's function. The text of its exception is not shown, since it may hold a secret."""
    named = f"api_token_callable ({path!r})"
    try:
        if ":" not in path:
            raise ValueError("no colon")
        function = resolve_name(path)
    except Exception as error:  # noqa: BLE001 - the user's module
        why = f": {error}" if isinstance(error, (ImportError, AttributeError)) else ""
        raise ApiUnusable(
            f"{named} can't be imported ({type(error).__name__}{why}): use module:function, e.g. our_tokens:airflow",
            reason="config",
        ) from None
    if not callable(function):
        raise ApiUnusable(f"{named} is not callable: name a function that returns a bearer token", reason="config")
    try:
        token = function()
    except Exception as error:  # noqa: BLE001 - the user's function
        raise ApiUnanswered(
            f"{named} raised {type(error).__name__} and returned no token. The text is not shown, since it may hold a "
            "secret: call the function by hand to see it"
        ) from None
    if not isinstance(token, str) or not token:
        raise ApiUnusable(f"{named} returned no token but a {type(token).__name__}: return a str", reason="config")
    return token
