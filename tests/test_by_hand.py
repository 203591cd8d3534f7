"""Whose clears the page names."""

from __future__ import annotations

from dag_retry._redis.views import Event
from dag_retry.plugin.page.by_hand import Clear, by_hand


def event(name: str, at: int, reason: str = "") -> Event:
    return Event.of(f"{at}-0", {"event": name, "reason": reason})


WON, CLEARED = event("won", 10_000, "claimed"), event("cleared", 10_300, "cleared")


def test_a_clear_by_hand_within_the_clocks_difference_of_ours() -> None:
    """A run that fails again at once, and a person who is quick."""
    clears = [Clear(10_250, "admin"), Clear(14_000, "editor")]

    assert by_hand(clears, [WON, CLEARED]) == [Clear(14_000, "editor")]


def test_a_clear_by_hand_just_before_the_claim() -> None:
    clears = [Clear(7_000, "editor"), Clear(10_250, "admin")]

    assert by_hand(clears, [WON, CLEARED]) == [Clear(7_000, "editor")]


def test_the_databases_clock_is_two_seconds_behind() -> None:
    clears = [Clear(8_250, "admin"), Clear(40_000, "editor")]

    assert by_hand(clears, [WON, CLEARED]) == [Clear(40_000, "editor")]


def test_where_a_person_was_first_ours_was_none() -> None:
    found = event("cleared", 10_300, "already_cleared")

    assert by_hand([Clear(10_200, "editor")], [WON, found]) == [Clear(10_200, "editor")]


def test_ours_of_a_claim_that_waited() -> None:
    taken = event("cleared", 70_000, "cleared")

    assert by_hand([Clear(30_000, "editor"), Clear(69_900, "admin")], [WON, taken]) == [Clear(30_000, "editor")]


def test_a_clear_that_the_log_does_not_have() -> None:
    assert by_hand([], [WON, CLEARED]) == []


def test_a_line_of_our_route_is_ours_even_if_nobody_confirmed_the_claim() -> None:
    clears = [Clear(10_250, "retry", ours=True), Clear(14_000, "editor"), Clear(20_000, "retry", ours=True)]

    assert by_hand(clears, [WON, CLEARED]) == [Clear(14_000, "editor")]


def test_a_clear_by_the_command_line_is_told_by_its_event() -> None:
    """The event names the person, and the audit log the login: one act is not shown as two people's."""
    clears = [Clear(20_000, "editor"), Clear(30_900, "admin"), Clear(40_000, "editor")]

    assert by_hand(clears, [event("retried", 31_000, "by_hand")]) == [Clear(20_000, "editor"), Clear(40_000, "editor")]
