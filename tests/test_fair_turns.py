"""Who has a turn, on a clock that the test moves."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import FakeClock

from tl_core import fair_turns
from tl_core.fair_turns import Asker, FairTurns


class Waits(Exception):
    """Somebody would have to wait."""


@pytest.fixture
def clock(monkeypatch):
    """Return a clock in the place of the module's."""
    clock = FakeClock()
    monkeypatch.setattr(fair_turns, "time", clock)
    monkeypatch.setattr(fair_turns, "LOOK_SECONDS", 0.0)
    return clock


@pytest.fixture
def turns(clock):
    return FairTurns()


def take(turns, visitor, address="", **options):
    """Return a turn that comes at once; None where one would have to wait."""

    def look():
        raise Waits

    try:
        return turns.take(Asker(visitor, address), look, **options)
    except Waits:
        return None


def use(turns, clock, visitor, seconds, address=""):
    """Have a visitor use so many seconds in one turn."""
    turn = take(turns, visitor, address)
    clock.now += seconds
    turns.give_back(turn)


def come(turns, waiting):
    """Return which of those who wait have a turn, by the visitors' names."""
    return [turn.asker.visitor for turn in waiting if turns.has_come(turn)]


def test_two_visitors_have_a_turn_at_once_and_each_has_one(turns):
    first = take(turns, "a")
    assert take(turns, "a") is None
    second = take(turns, "b")
    assert take(turns, "c") is None
    turns.give_back(first)
    assert take(turns, "b") is None
    turns.give_back(second)
    assert take(turns, "b") is not None


def test_one_of_those_who_used_much_has_a_turn_and_others_do_not_wait_for_it(turns, clock):
    use(turns, clock, "much", 10.0)
    use(turns, clock, "more", 10.0)
    held = take(turns, "much")  # 10 / 2 ** (10 / 20) = 7.1 s are left, more than five
    assert take(turns, "more") is None
    assert take(turns, "little") is not None
    turns.give_back(held)
    assert take(turns, "more") is not None


def test_who_came_when_it_was_free_is_counted_as_having_used_much_meanwhile(turns, clock):
    held = take(turns, "long")
    use(turns, clock, "other", 6.0)
    assert take(turns, "other") is None
    turns.give_back(held)
    assert take(turns, "other") is not None


def test_half_of_what_was_used_is_forgotten_in_twenty_seconds(turns, clock):
    use(turns, clock, "a", 30.0)
    use(turns, clock, "b", 8.0)
    held = take(turns, "a")
    clock.now += 10.0  # of b, 8 / 2 ** 0.5 = 5.7 s are left
    assert take(turns, "b") is None
    clock.now += 10.0  # 4 s
    assert take(turns, "b") is not None
    turns.give_back(held)


def test_whose_use_was_least_comes_first_then_who_waited_longest(turns, clock):
    use(turns, clock, "used", 3.0)
    held = [take(turns, "x"), take(turns, "y")]
    waiting = [turns.line_up(Asker(name)) for name in ("used", "new", "newer")]
    assert come(turns, waiting) == []
    turns.give_back(held[0])
    assert come(turns, waiting) == ["new"]
    turns.give_back(held[1])
    assert come(turns, waiting) == ["new", "newer"]
    turns.give_back(waiting[1])
    assert come(turns, waiting) == ["used", "newer"]


def test_visitors_of_an_address_count_together(turns, clock):
    for number in range(4):
        use(turns, clock, f"cookie{number}", 1.0, "flood")
    use(turns, clock, "other", 2.0, "elsewhere")
    held = [take(turns, "x", "x"), take(turns, "y", "y")]
    waiting = [turns.line_up(Asker("new", "flood")), turns.line_up(Asker("other", "elsewhere"))]
    turns.give_back(held[0])
    assert come(turns, waiting) == ["other"]


def test_turns_that_take_much_memory_come_one_at_a_time(turns):
    bulky = take(turns, "a", is_bulky=True)
    assert take(turns, "b", is_bulky=True) is None
    assert take(turns, "b") is not None
    turns.give_back(bulky)
    assert take(turns, "c", is_bulky=True) is not None


def test_who_stops_waiting_is_forgotten(turns):
    held = [take(turns, "a"), take(turns, "b")]
    assert take(turns, "c") is None
    for turn in held:
        turns.give_back(turn)
    assert take(turns, "c") is not None  # the earlier one did not come instead


def test_a_thread_waits_until_its_turn_comes_and_gives_it_back_after_an_error(turns):
    held = [take(turns, "a"), take(turns, "b")]
    come = []

    def work():
        with turns.turn(Asker("c")):
            come.append(turns.has_come(held[0]))
            raise Waits

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        turns.give_back(held[0])
        with pytest.raises(Waits):
            working.result()
    assert come == [False]
    assert take(turns, "c") is not None


def test_attackers_who_never_stop_delay_a_visitor_by_nothing(turns, clock):
    """Six cookies of three addresses want photos of 1.5 s at all times, another one each 4 s."""
    attackers = [Asker(f"cookie{number}", f"address{number // 2}") for number in range(6)]
    photos = {turns.line_up(asker): 1.5 for asker in attackers}  # and the seconds that are left
    waited, next_photo = [], 20.0
    while clock.now < 60.0:
        if clock.now >= next_photo:
            next_photo += 4.0
            photos[photo := turns.line_up(Asker("visitor", "elsewhere"))] = 0.5
            waited.append(not turns.has_come(photo))
        clock.now += 0.1
        for photo in [one for one in photos if turns.has_come(one)]:
            photos[photo] -= 0.1
            if photos[photo] <= 0:
                turns.give_back(photo)
                del photos[photo]
                if photo.asker in attackers:
                    photos[turns.line_up(photo.asker)] = 1.5
    assert waited == [False] * 10
