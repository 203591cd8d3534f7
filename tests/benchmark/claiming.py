"""A warm claim, with all keys written, beside PING and the peers; and its round trips."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

from redis import Redis

from tests.benchmark.measuring import Bench, in_turns, sent
from tests.benchmark.peers import PEERS, Ours, Peer
from tests.benchmark.racing import winners
from tests.benchmark.table import PeerResult, Row
from tests.servers import RedisServer


def rows(bench: Bench) -> Iterator[Row | PeerResult]:
    """Yield the claim beside PING, then beside each peer, then what it sends."""
    won = winners(bench)
    with ExitStack() as stack:
        server = stack.enter_context(bench.server())
        ping = stack.enter_context(Redis.from_url(server.url))
        peers: dict[str, Peer] = {peer.name: stack.enter_context(closing(peer(server.url))) for peer in PEERS}
        ours = peers[Ours.name]
        assert isinstance(ours, Ours)
        taken = bench.run_id()
        actions: dict[str, Callable[[], Any]] = {
            "PING": ping.ping,
            "EVALSHA": ping.register_script("return 1"),
            "lost": lambda: ours.claim(taken),
            **{name: peer.claims(bench.run_id) for name, peer in peers.items()},
        }
        times = in_turns(actions, bench.counts.turns)
        yield Row(
            "a warm claim / PING",
            {"": times.ratio(Ours.name, "PING")},
            1.9,
            note=f"PING takes {1e6 * times.median('PING'):.0f} µs",
            why="what schema v1 keeps is read and written by ten commands, of which the server's own time see below",
        )
        yield Row("… EVALSHA `return 1` / PING", {"": times.ratio("EVALSHA", "PING")}, note="the floor of a script")
        yield Row("… a claim that is lost / PING", {"": times.ratio("lost", "PING")})
        for name, goal in {"WATCH/MULTI": 1.0, "redis-py Lock": 1.0, "limits, fixed window": 1.3}.items():
            why = "it keeps a number, and ours a record, indexes, an event and counters"
            yield Row(f"a warm claim / {name}", {"": times.ratio(Ours.name, name)}, goal, why=why)
        for name, peer in peers.items():
            trips = sent(server, peer.claims(bench.run_id)).round_trips
            ratio = times.ratio(Ours.name, name)
            yield PeerResult(name, 1e3 * times.median(name), ratio, trips, won[name], claimers=3)
        yield _round_trips(server, ours, bench.run_id)


def _round_trips(server: RedisServer, ours: Ours, run_id: Callable[[], str]) -> Row:
    """Count EVAL, EVALSHA and SCRIPT LOAD: redis-py waits for the answer of each."""
    with closing(Ours(server.url)) as cold, closing(Ours(server.url)) as uncached:
        cold.client.ping()
        uncached.client.ping()
        warm, fresh = sent(server, ours.claims(run_id)), sent(server, cold.claims(run_id))
        with server.client() as admin:
            admin.script_flush()
        unknown = sent(server, uncached.claims(run_id))
        with server.client() as admin:
            admin.script_flush()
        flushed = sent(server, ours.claims(run_id))
    return Row(
        "round trips of a claim",
        {
            "warm": warm.commands.total(),
            "after the handshake": fresh.commands.total(),
            "script not cached": unknown.commands.total(),
        },
        1,
        note=f"{warm}; {fresh}; {unknown}; by a client for which it was cached before: {flushed}",
        why="a Redis that was restarted is sent a script's text once, for all clients",
    )
