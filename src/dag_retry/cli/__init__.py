"""The command line: ``dag-retry VERB``, and the same as ``airflow dag-retry VERB``.

Exit codes, for scripts::

    0    done
    1    no: the run is not in a state for that, or was never retried; doctor found a fault
    2    the command or a setting is wrong
    3    Redis is unreachable or refuses
    4    Airflow is unreachable or refuses
    130  stopped
"""

from dag_retry.cli.main import airflow_commands, main

__all__ = ["airflow_commands", "main"]
