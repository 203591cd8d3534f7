"""The options of the ``[dag_retry]`` section, as ``airflow config list --section dag_retry`` shows them."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple


class Option(NamedTuple):
    """One option.

    :param description: what it does, in one sentence or two.
    :param type: Airflow's name of its type.
    :param default: what holds where it is not set, None for nothing.
    :param example: a value to copy.
    :param sensitive: whether Airflow hides it, and takes it from ``AIRFLOW__DAG_RETRY__<OPTION>_CMD`` and ``_SECRET``
        too.
    :param version_added: the version of this package that brought it.
    """

    description: str
    type: Literal["string", "integer", "float", "boolean"] = "string"
    default: str | None = None
    example: str | None = None
    sensitive: bool = False
    version_added: str = "0.1.0"

    def schema(self) -> dict[str, Any]:
        """Return it as ``provider_info.schema.json`` of Airflow wants it."""
        return self._asdict()


OPTIONS = {
    "max_attempts": Option(
        "How often a Dag run that fails is cleared, unless its Dag or the run says otherwise.", "integer", "3", "5"
    ),
    "max_attempts_limit": Option(
        "More attempts than this no Dag and no run may ask for; 0 for no limit.", "integer", "0", "10"
    ),
    "delay": Option(
        "Seconds to wait before each attempt, or several with commas between them, the last one holding for all that "
        "follow. A sweeper clears the run then.",
        example="300",
    ),
    "backoff": Option("What the delay is multiplied with for each further attempt.", "float", "1", "2"),
    "max_delay": Option("Seconds to which a delay grows at most, but for the jitter.", "float", example="3600"),
    "jitter": Option("Seconds up to which are added to each delay at random.", "float", example="30"),
    "max_elapsed": Option(
        "Seconds from the first failure, after which no further attempt begins.", "float", example="86400"
    ),
    "scope": Option(
        "What is cleared: the whole 'run', or the tasks that 'failed' and those after them.",
        default="run",
        example="failed",
    ),
    "run_on_latest_version": Option(
        "Whether an attempt runs with the latest version of the Dag.", "boolean", "False", "True"
    ),
    "retry_on": Option(
        "Names of exceptions with commas between them: no other is retried.",
        example="requests.exceptions.ConnectionError,TimeoutError",
    ),
    "give_up_on": Option(
        "Names of exceptions with commas between them, which are not retried.", example="ValueError,KeyError"
    ),
    "task_ids": Option(
        "The tasks whose failure is retried, with commas between them; all where it is not set.", example="extract,load"
    ),
    "reasons": Option(
        "Which of Airflow's reasons for a failed run are retried at the Dag level; all where it is not set.",
        example="task_failure,timed_out",
    ),
    "skip_if_newer_run": Option(
        "Whether a run is left alone once a newer one of its Dag has succeeded.", "boolean", "False", "True"
    ),
    **{
        f"on_{name}": Option(
            f"A function, module:function, called {when}, where the Dag names none.", example=f"our_alerts:{name}"
        )
        for name, when in {
            "retry": "when a run has been cleared, or its delay begins",
            "exhausted": "once when every attempt has failed",
            "blocked": "once when Airflow refused the clear for good",
            "skipped": "once when a failure is not to be retried",
            "succeeded": "when a run that had failed succeeded",
        }.items()
    },
    "on_missing_record": Option(
        "Where Redis knows nothing of a run: all clears it ever had count ('count_from_zero'), or none "
        "('start_fresh').",
        default="count_from_zero",
        example="start_fresh",
    ),
    "on_manual_clear": Option(
        "What a clear by hand of a run that had ended begins: a fresh budget ('start_fresh'), or none ('keep').",
        default="start_fresh",
        example="keep",
    ),
    "redis_url": Option(
        "Where attempts are counted: redis://, rediss:// (TLS), unix://, redis+sentinel:// or redis+cluster://. The "
        "Airflow Connection dag_retry_redis wins.",
        example="redis://:password@redis.example.com:6379/0",
        sensitive=True,
    ),
    "namespace": Option(
        "What the keys in Redis begin with: one for each deployment or team that shares a Redis.",
        default="dag-retry",
        example="team-a",
    ),
    "ttl": Option(
        "For how many seconds Redis keeps the record of a run after its last change.", "float", "2592000", "604800"
    ),
    "wait_replicas": Option(
        "How many replicas must have a claim before the run is cleared. Not for a Cluster.", "integer", "0", "1"
    ),
    "api_url": Option(
        "Where tasks and the dag processor reach Airflow's REST API; [api] base_url where it is not set. The Airflow "
        "Connection dag_retry_api wins.",
        example="https://airflow.example.com",
    ),
    "api_token": Option("A bearer token for the REST API.", example="eyJhbGciOiJIUzUxMiJ9…", sensitive=True),
    "api_username": Option("Who logs in to the REST API; may edit the runs of the Dags that retry.", example="retry"),
    "api_password": Option("The password of api_username.", example="secret", sensitive=True),
    "api_client_id": Option("The client that logs in with the grant client_credentials (Keycloak).", example="retry"),
    "api_client_secret": Option("The secret of api_client_id.", example="secret", sensitive=True),
    "api_token_callable": Option(
        "A function without arguments that returns a bearer token, for Composer, Astro or Vault.",
        example="my_company.airflow:token",
    ),
    "api_token_path": Option("Where one logs in, below api_url.", default="/auth/token", example="/auth/token"),
    "api_ca_file": Option(
        "The PEM file of the CA that alone is trusted to speak for the REST API.", example="/etc/ssl/company-ca.pem"
    ),
    "api_proxy": Option(
        "The proxy on the way to the REST API, in place of that of the environment.",
        example="http://proxy.example.com:3128",
        sensitive=True,
    ),
}
