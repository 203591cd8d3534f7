"""Each attempt makes a cluster, uses it and takes it down, even if the work fails."""

from airflow.sdk import DAG, setup, task, teardown

from dag_retry import DagRetry

retry = DagRetry(max_attempts=2)

# At the Dag level a run is cleared when its teardown has run. Only then does the next attempt make its cluster.
with DAG("example_setup_teardown", schedule=None, **retry.dag_args(level="dag")):

    @setup
    def make_cluster():
        return "cluster-1"

    @task
    def work(cluster, dag_run=None):
        if dag_run.clear_number == 0:
            raise RuntimeError(f"{cluster} lost a node")

    @teardown
    def take_down(cluster):
        print(f"{cluster} is gone")

    cluster = make_cluster()
    work(cluster) >> take_down(cluster)
