"""The command line ``dag-retry VERB``. ``airflow dag-retry VERB`` is the same.

Exit codes::

    0    done
    1    not done: the status of the run does not allow it, or the run never failed; or doctor found a fault
    2    the command or a setting is wrong
    3    Redis is unreachable or refuses
    4    Airflow is unreachable or refuses
    130  stopped
"""

from dag_retry.cli.main import airflow_commands, main

__all__ = ["airflow_commands", "main"]
