"""Sentinel, Cluster, replicas and restarts, with real servers: claims go on, and what is forgotten breaks no cap."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import redis

from dag_retry import AttemptCounter, Claim, ConfigError, CounterError, DagRetry, Status, Verdict
from dag_retry._redis.connection import connect
from dag_retry._redis.due import DueRuns
from dag_retry._redis.keys import Keys
from dag_retry._redis.overview import Overview
from tests.contexts import task_failed
from tests.servers import RedisServer, until
from tests.test_readme import commands
from tests.test_redis import retry_once

RUN = ("daily", "run")
QUICK = ("repl-diskless-sync-delay 0",)


def claim(client: Any, generation: int = 0, max_attempts: int = 2, **options: Any) -> Claim:
    return AttemptCounter(client).claim(*RUN, generation=generation, max_attempts=max_attempts, **options)


def retry(client: Any, generation: int, max_attempts: int = 2) -> None:
    won = claim(client, generation, max_attempts)
    assert (won.verdict, won.attempt) == (Verdict.WON, generation + 1)
    assert AttemptCounter(client).confirm(won)


def be_old(client: Any, namespace: str = "dag-retry") -> datetime:
    """Let the namespace be two hours old; return when a run began an hour ago."""
    seconds, _ = client.time() if isinstance(client, redis.Redis) else client.time(target_nodes="random")
    client.hset(Keys(namespace).born(), "at", str((seconds - 7200) * 1000))
    return datetime.fromtimestamp(seconds - 3600, timezone.utc)


@dataclass
class Pair:
    """A primary, and a replica that is up to date."""

    primary: RedisServer
    replica: RedisServer


@contextmanager
def run_pair(folder: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        primary = stack.enter_context(RedisServer(folder / "primary", *QUICK))
        replica = stack.enter_context(RedisServer(folder / "replica", f"replicaof 127.0.0.1 {primary.port}", *QUICK))
        client = stack.enter_context(primary.client())
        until(lambda: client.set("other", "written", px=1) and client.wait(1, 100) == 1)
        yield Pair(primary, replica)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with run_pair(tmp_path) as servers:
        yield servers


class TestLoss:
    """G2: Airflow's clear_number is the second witness, whatever Redis has forgotten."""

    def test_restart_without_persistence(self, tmp_path: Path) -> None:
        with RedisServer(tmp_path) as server, closing(connect(server.url)) as client:
            for generation in (0, 1):
                retry(client, generation)
                server.kill()
                server.start().ready()
            last = claim(client, 2)
            assert (last.verdict, last.reason) == (Verdict.EXHAUSTED, "generation")

    def test_failover_to_a_stale_replica(self, pair: Pair) -> None:
        with closing(connect(pair.primary.url)) as client:
            retry(client, 0)
            assert client.wait(1, 5000) == 1
            with pair.replica.client() as replica:
                replica.replicaof("NO", "ONE")
            retry(client, 1)
        pair.primary.kill()
        with closing(connect(pair.replica.url)) as client:
            record = AttemptCounter(client).read(*RUN)
            assert record
            assert record.attempt == 1
            last = claim(client, 2)
            assert (last.verdict, last.reason, last.attempt) == (Verdict.EXHAUSTED, "generation", 2)

    def test_after_a_failover_all_clears_count(self, pair: Pair) -> None:
        """The replica may lack the last writes: the run that it does not know may have been retried."""
        with closing(connect(pair.primary.url)) as client:
            counter = AttemptCounter(client)
            counter.claim("other", "run", generation=0, max_attempts=1)
            run_after = be_old(client)
            known = counter.claim("known", "run", generation=5, max_attempts=2, run_after=run_after)
            assert (known.verdict, known.attempt) == (Verdict.WON, 1)
            assert client.wait(1, 5000) == 1
        pair.primary.kill()
        with closing(connect(pair.replica.url)) as client:
            client.replicaof("NO", "ONE")
            last = claim(client, 5, run_after=run_after)
            assert (last.verdict, last.reason) == (Verdict.EXHAUSTED, "generation")

    def test_restart_with_aof_forgets_nothing(self, tmp_path: Path) -> None:
        with RedisServer(tmp_path, "appendonly yes", "appendfsync always") as server:
            with closing(connect(server.url)) as client:
                retry(client, 0)
                before = {key: client.dump(key) for key in client.scan_iter()}
                server.kill()
                server.start().ready()
                assert {key: client.dump(key) for key in client.scan_iter()} == before
                retry(client, 1)
                last = claim(client, 2)
            assert (last.verdict, last.reason) == (Verdict.EXHAUSTED, "max_attempts")


class TestWait:
    def test_acknowledged(self, pair: Pair) -> None:
        with closing(connect(pair.primary.url, timeout=10)) as client, pair.replica.client() as replica:
            counter = AttemptCounter(client, wait_replicas=1)
            won = counter.claim(*RUN, generation=0, max_attempts=2)
            assert replica.hget(f"{{dag-retry}}:v1:run:{RUN[0]}:{RUN[1]}", "claim_id") == won.claim_id
            assert counter.claim(*RUN, generation=0, max_attempts=2).verdict is Verdict.LOST

    def test_replica_does_not_answer(self, pair: Pair) -> None:
        with closing(connect(pair.primary.url, timeout=0.5)) as client:
            counter = AttemptCounter(client, wait_replicas=1)
            pair.replica.send(signal.SIGSTOP)
            with pytest.raises(CounterError, match="attempt 1 is claimed, but only 0 of 1 replicas have it") as error:
                counter.claim(*RUN, generation=0, max_attempts=2, claim_id="one")
            assert "nothing was cleared, and the claim stays due" in str(error.value)
            with pytest.raises(CounterError, match="only 0 of 1"):
                counter.claim(*RUN, generation=0, max_attempts=2, claim_id="one")
            record = counter.read(*RUN)
            assert record
            assert (record.status, record.attempt, record.claim_id) == (Status.CLAIMED, 1, "one")
            assert client.zscore("{dag-retry}:v1:active", ":".join(RUN)) == record.due_at > 0
            # The replica is back: the Dag-level callback finishes what the task's could not.
            pair.replica.send(signal.SIGCONT)
        with closing(connect(pair.primary.url, timeout=10)) as client:
            counter = AttemptCounter(client, wait_replicas=1)
            again = counter.claim(*RUN, generation=0, max_attempts=2, takeover=True, level="dag")
            assert (again.verdict, again.reason, again.attempt) == (Verdict.WON, "taken_over", 1)
            assert counter.confirm(again)

    def test_too_few_replicas(self, pair: Pair) -> None:
        too_few = pytest.raises(CounterError, match=r"only \d of 2 replicas have it")
        with closing(connect(pair.primary.url, timeout=0.4)) as client, too_few:
            AttemptCounter(client, wait_replicas=2).claim(*RUN, generation=0, max_attempts=2)

    def test_a_repeat_on_a_new_connection_waits_anew(self, pair: Pair) -> None:
        """A connection that breaks while it waits must not be taken for an acknowledgement."""
        with (
            closing(connect(pair.primary.url)) as client,
            pair.primary.client() as admin,
            ThreadPoolExecutor(1) as pool,
        ):
            pair.replica.send(signal.SIGSTOP)
            waiting = pool.submit(AttemptCounter(client, wait_replicas=1).claim, *RUN, generation=0, max_attempts=2)

            def cut() -> bool:
                blocked = [each for each in admin.client_list() if each["cmd"] == "wait"]
                return bool(blocked) and bool(admin.client_kill_filter(_id=blocked[0]["id"]))

            until(cut)
            with pytest.raises(CounterError, match="only 0 of 1 replicas have it"):
                waiting.result()

    def test_a_claim_with_a_delay(self, pair: Pair) -> None:
        """It waits, and is not about to be cleared."""
        with closing(connect(pair.primary.url, timeout=10)) as client, pair.replica.client() as replica:
            counter = AttemptCounter(client, wait_replicas=1)
            won = counter.claim(*RUN, generation=0, max_attempts=2, delays=[timedelta(hours=1)])
            assert (won.verdict, won.due_at > 0) == (Verdict.WON, True)
            assert replica.hget(f"{{dag-retry}}:v1:run:{RUN[0]}:{RUN[1]}", "status") == "waiting"

    def test_a_sweeper_waits_too(self, pair: Pair) -> None:
        with closing(connect(pair.primary.url, timeout=1)) as client:
            counter, due = AttemptCounter(client), DueRuns(client, wait_replicas=1)
            counter.claim(*RUN, generation=0, max_attempts=2, delays=[timedelta(milliseconds=1)])
            until(lambda: due.read()[0] == [RUN])
            pair.replica.send(signal.SIGSTOP)
            with pytest.raises(CounterError, match="attempt 1 is claimed, but only 0 of 1 replicas have it"):
                due.take(*RUN, holder="sweeper:1")
            pair.replica.send(signal.SIGCONT)
            record = counter.read(*RUN)
            assert record
            assert (record.status, record.level, record.due_at > 0) == (Status.CLAIMED, "sweeper", True)
            with pair.replica.client() as replica:
                until(lambda: replica.hget(f"{{dag-retry}}:v1:run:{RUN[0]}:{RUN[1]}", "level") == "sweeper")
            counter.claim("daily", "other", generation=0, max_attempts=2, delays=[timedelta(milliseconds=1)])
            until(lambda: due.read()[0] == [("daily", "other")])
            taken = due.take("daily", "other", holder="sweeper:1")
            assert taken
            assert (taken.verdict, taken.reason) == (Verdict.WON, "due")

    def test_rights(self, pair: Pair) -> None:
        """What lua/README.md says its user needs beside the others."""
        (_, *user), _ = commands("ACL SETUSER")
        url = f"redis://retry:secret@127.0.0.1:{pair.primary.port}"
        with pair.primary.client() as admin, closing(connect(url, timeout=10)) as client:
            counter = AttemptCounter(client, wait_replicas=1)
            for rights in ([], ["+wait"]):
                admin.acl_deluser("retry")
                admin.execute_command("ACL", *user, *rights)
                if rights:
                    assert counter.claim("daily", str(rights), generation=0, max_attempts=2).verdict is Verdict.WON
                else:
                    with pytest.raises(CounterError, match="its user lacks a right"):
                        counter.claim("daily", str(rights), generation=0, max_attempts=2)

    def test_dag_retry_clears_nothing(self, pair: Pair, deploy: Any) -> None:
        deploy(redis=f"{pair.primary.url}?socket_timeout=0.2", api_url="http://u:p@127.0.0.1:9", wait_replicas=2)
        with pytest.raises(CounterError, match=r"only \d of 2 replicas"):
            DagRetry().on_failure(task_failed())


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pair, list[RedisServer]]]:
    """A primary, a replica, and three sentinels that know both and each other."""
    folder = tmp_path_factory.mktemp("sentinels")
    with ExitStack() as stack:
        pair = stack.enter_context(run_pair(folder))
        watch = (
            f"sentinel monitor mymaster 127.0.0.1 {pair.primary.port} 2",
            "sentinel down-after-milliseconds mymaster 2000",
        )
        servers = [
            stack.enter_context(RedisServer(folder / f"sentinel{number}", *watch, sentinel=True)) for number in range(3)
        ]
        for server in servers:
            with server.client() as client:
                until(lambda: known(client) == (pair.primary.port, 1, 2))
        yield pair, servers


def known(sentinel: Any) -> tuple[int, int, int]:
    state = sentinel.sentinel_masters()["mymaster"]
    return state["port"], state["num-slaves"], state["num-other-sentinels"]


def sentinel_url(servers: list[RedisServer], options: str = "") -> str:
    return f"redis+sentinel://{','.join(f'127.0.0.1:{server.port}' for server in servers)}/mymaster/0{options}"


class TestSentinel:
    def test_retry(self, sentinels: tuple[Pair, list[RedisServer]]) -> None:
        retry_once(sentinel_url(sentinels[1]), "plain")
        with closing(connect(sentinel_url(sentinels[1]), timeout=10)) as client:
            counter = AttemptCounter(client, namespace="wait", wait_replicas=1)
            assert counter.claim(*RUN, generation=0, max_attempts=1).verdict is Verdict.WON

    def test_some_sentinels_are_away_or_silent(self, sentinels: tuple[Pair, list[RedisServer]]) -> None:
        _, servers = sentinels
        with RedisServer(servers[0].folder.parent / "away") as away:
            away.send(signal.SIGSTOP)
            retry_once(sentinel_url([away, servers[0]]), "silent", timeout=1)
        retry_once(sentinel_url([away, servers[0]]), "away")

    def test_unknown_name(self, sentinels: tuple[Pair, list[RedisServer]]) -> None:
        _, servers = sentinels
        unknown = pytest.raises(CounterError, match="Redis 'other' of the sentinels .* knows a primary of this name")
        with closing(connect(sentinel_url(servers).replace("mymaster", "other"))) as client, unknown:
            claim(client)

    def test_rights_at_the_sentinels(self, sentinels: tuple[Pair, list[RedisServer]]) -> None:
        """What lua/README.md says their user needs."""
        _, servers = sentinels
        url = sentinel_url(servers[:1], "?sentinel_username=retry&sentinel_password=secret")
        with servers[0].client() as admin:
            admin.execute_command("ACL", "SETUSER", "retry", "on", ">secret")
            with closing(connect(url)) as client, pytest.raises(CounterError, match="its user lacks a right"):
                claim(client)
            admin.execute_command("ACL", "SETUSER", "retry", "+sentinel|masters")
            retry_once(url, "rights")

    def test_login_of_the_sentinels(self, tmp_path: Path) -> None:
        with RedisServer(tmp_path / "primary", "requirepass pa55word") as primary:
            watch = (
                f"sentinel monitor mymaster 127.0.0.1 {primary.port} 1",
                "sentinel auth-pass mymaster pa55word",
                "requirepass oth3r",
            )
            with RedisServer(tmp_path / "sentinel", *watch, sentinel=True) as sentinel:
                with redis.Redis(port=sentinel.port, password="oth3r") as client:
                    until(lambda: client.sentinel_masters()["mymaster"]["flags"] == "master")
                url = sentinel_url([sentinel], "?sentinel_password=").replace("//", "//:pa55word@")
                retry_once(f"{url}oth3r")
                refused = pytest.raises(CounterError, match="the sentinels refuse the login: give theirs")
                with closing(connect(f"{url}wr0ng")) as client, refused as error:
                    claim(client)
                assert "wr0ng" not in str(error.value)

    def test_failover(self, sentinels: tuple[Pair, list[RedisServer]]) -> None:
        """Claims go on: of callbacks that connect anew, of a client that stood idle, and after one failed call."""
        pair, servers = sentinels
        with ExitStack() as stack:
            idle: Any = stack.enter_context(closing(connect(sentinel_url(servers))))
            busy: Any = stack.enter_context(closing(connect(sentinel_url(servers))))
            won = claim(idle, claim_id="one")
            assert claim(busy, claim_id="one") == won
            assert idle.wait(1, 5000) == 1
            admins = [stack.enter_context(server.client()) for server in servers]
            admins[0].execute_command("SENTINEL", "FAILOVER", "mymaster")
            until(lambda: all(known(admin)[0] == pair.replica.port for admin in admins))
            with pair.primary.client() as old:  # as the sentinels do it, 8 s later
                kept = busy.client_id()  # as of a client whom the failover meets amid a call
                old.replicaof("127.0.0.1", pair.replica.port)
                for each in old.client_list(_type="normal"):
                    if int(each["id"]) not in (kept, old.client_id()):
                        old.client_kill_filter(_id=each["id"])
            assert claim(idle).verdict is Verdict.LOST
            # From version 6 on, redis-py goes back to the old primary first.
            with suppress(CounterError):
                AttemptCounter(busy).confirm(won)
            assert AttemptCounter(busy).confirm(won)
            assert claim(idle, generation=1).attempt == 2
        with closing(connect(sentinel_url(servers))) as client:
            assert claim(client, generation=2).verdict is Verdict.EXHAUSTED


@dataclass
class Cluster:
    """Three masters with a third of the slots each."""

    nodes: list[RedisServer]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.nodes)}"

    def holder(self, namespace: str) -> tuple[int, RedisServer]:
        """Return the slot of a namespace's keys, and which node has it."""
        with self.nodes[0].client() as client:
            slot = int(client.execute_command("CLUSTER KEYSLOT", "{" + namespace + "}"))
        return slot, self.nodes[min(slot // 5461, 2)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        nodes = [stack.enter_context(RedisServer(folder / str(number), "cluster-enabled yes")) for number in range(3)]
        clients = [stack.enter_context(node.client()) for node in nodes]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER ADDSLOTS", *range(number * 5461, (5461, 10922, 16384)[number]))
            for other in nodes[number + 1 :]:
                client.execute_command("CLUSTER MEET", "127.0.0.1", other.port)
        until(lambda: all(client.execute_command("CLUSTER INFO")["cluster_state"] == "ok" for client in clients))
        yield Cluster(nodes)


def keys(node: RedisServer) -> set[str]:
    with node.client() as client:
        return {key.partition(":")[0] for key in client.scan_iter()}


class TestCluster:
    def test_a_namespace_is_on_one_node(self, cluster: Cluster) -> None:
        one, other = "team-a", "team-b"
        assert cluster.holder(one)[1] is not cluster.holder(other)[1]
        for namespace in (one, other):
            retry_once(cluster.url, namespace)
            (holding,) = (node for node in cluster.nodes if "{" + namespace + "}" in keys(node))
            assert holding is cluster.holder(namespace)[1]

    def test_an_operators_reads(self, cluster: Cluster) -> None:
        retry_once(cluster.url, "read")
        with closing(connect(cluster.url)) as client:
            overview = Overview(client, namespace="read")
            assert overview.sizes()[1:] == (0, 1, 0)
            (run,) = overview.runs("recent").runs
            assert overview.runs("active").runs == [run]
            assert overview.run(run.dag_id, run.run_id) == run
            assert overview.timeline(run.dag_id, run.run_id)[0].event == "won"
            assert overview.stats() == overview.stats(run.dag_id)
            assert overview.outcomes(since=0).keys() == {run.dag_id}

    def test_what_is_remembered(self, cluster: Cluster) -> None:
        """INFO, in a script, is that of the node which holds the namespace."""
        with closing(connect(cluster.url)) as client:
            for namespace in ("team-a", "team-b"):
                counter = AttemptCounter(client, namespace=namespace)
                counter.claim("other", "run", generation=0, max_attempts=1)
                known = counter.claim("d", "r", generation=5, max_attempts=2, run_after=be_old(client, namespace))
                assert (known.verdict, known.attempt) == (Verdict.WON, 1)
                with cluster.holder(namespace)[1].client() as node:
                    born = node.hgetall(Keys(namespace).born())
                    assert born["replication_id"] == node.info("replication")["master_replid"]

    def test_one_named_node_is_enough(self, cluster: Cluster) -> None:
        retry_once(f"redis+cluster://localhost:{cluster.nodes[0].port}/0", "one-node")
        with RedisServer(cluster.nodes[0].folder.parent / "away") as away:
            away.send(signal.SIGSTOP)
            retry_once(
                f"redis+cluster://127.0.0.1:{away.port},127.0.0.1:{cluster.nodes[1].port}", "one-silent", timeout=1
            )

    def test_a_slot_moves(self, cluster: Cluster) -> None:
        slot, source = cluster.holder("moved")
        target = next(node for node in cluster.nodes if node is not source)
        with source.client() as old, target.client() as new, closing(connect(cluster.url, timeout=0.5)) as client:
            counter = AttemptCounter(client, namespace="moved")
            won = counter.claim(*RUN, generation=0, max_attempts=2)
            ids = {node: node.execute_command("CLUSTER MYID") for node in (old, new)}
            new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[old])
            old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[new])
            with pytest.raises(CounterError, match="the Cluster is moving the slot of these keys"):
                counter.confirm(won)
            moving = [key for key in old.scan_iter() if key.startswith("{moved}")]
            old.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *moving)
            for node in (new, old):
                node.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[new])
            assert counter.confirm(won)
            assert counter.claim(*RUN, generation=1, max_attempts=2).attempt == 2
            assert "{moved}" in keys(target)

    def test_client_that_knows_no_cluster(self, cluster: Cluster) -> None:
        other = next(node for node in cluster.nodes if node is not cluster.holder("dag-retry")[1])
        moved = pytest.raises(CounterError, match=r"this is a node of a Cluster: use redis\+cluster://")
        with closing(connect(other.url)) as client, moved:
            claim(client)

    def test_a_part_is_down(self, tmp_path: Path) -> None:
        with RedisServer(tmp_path, "cluster-enabled yes") as node, node.client() as admin:
            admin.execute_command("CLUSTER ADDSLOTS", *range(16384))
            until(lambda: admin.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
            url = f"redis+cluster://127.0.0.1:{node.port}"
            with closing(connect(url)) as client:
                claim(client)
                admin.execute_command("CLUSTER DELSLOTS", 1)
                until(lambda: admin.execute_command("CLUSTER INFO")["cluster_state"] == "fail")
                with pytest.raises(CounterError, match="the Cluster has lost a part of its slots"):
                    claim(client)
            lost = pytest.raises(CounterError, match="the Cluster has lost a part of its slots")
            with lost, closing(connect(url)) as client:
                AttemptCounter(client).claim("other", "run", generation=0, max_attempts=1)

    def test_rights(self, cluster: Cluster) -> None:
        """What lua/README.md says its user needs beside the others."""
        (_, *user), _ = commands("ACL SETUSER")
        url = cluster.url.replace("//", "//retry:secret@")
        for rights in (["+command"], ["+cluster|slots"], ["+command", "+cluster|slots"]):
            for node in cluster.nodes:
                with node.client() as admin:
                    admin.acl_deluser("retry")
                    admin.execute_command("ACL", *user, *rights)
            if len(rights) == 2:
                retry_once(url)
            else:
                with pytest.raises(CounterError, match="its user lacks a right"):
                    connect(url)

    def test_replicas_are_not_waited_for(self, cluster: Cluster) -> None:
        refused = pytest.raises(ConfigError, match="wait_replicas is 1, and redis_url is a Cluster's")
        with closing(connect(cluster.url)) as client, refused:
            AttemptCounter(client, wait_replicas=1)

    def test_wrong_password(self, cluster: Cluster) -> None:
        with pytest.raises(CounterError, match="the login is refused") as error:
            connect(cluster.url.replace("//", "//nobody:pa55word@"))
        assert "pa55" not in str(error.value)
