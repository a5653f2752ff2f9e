"""Whose pages run when many are asked for: counted in runs, on a clock that the test moves."""

import asyncio
import threading
from types import SimpleNamespace

import pytest
from demo_helpers import run_async
from streamlit.runtime.scriptrunner import add_script_run_ctx

from ui.hosted import turns
from ui.hosted.turns import RUNS_EACH, Page, Turns

RUN_SECONDS = 0.2  # of one script that runs alone


@pytest.fixture
def server(monkeypatch):
    """Return a server on whose clock scripts share one core."""
    clock = SimpleNamespace(now=0.0)

    async def sleep(seconds):
        clock.now += seconds

    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return Simulated(clock)


class Simulated:
    """A server whose scripts share one core, and the pages that ask for runs."""

    def __init__(self, clock):
        self.clock, self.turns = clock, Turns()
        self.waiting, self.left, self.done, self.waited = {}, {}, {}, set()
        self.asked_at, self.took = {}, {}  # of each visitor's runs, from asking to the end

    def run(self, seconds, *askers):
        """Let time pass; each of ``askers`` gives the pages that would run now, and how long.

        A page that runs when it is let through begins again. None stands for a message that makes
        nothing run.
        """
        step, end = 0.01, self.clock.now + seconds
        while self.clock.now < end:
            for ask in askers:
                for page, seconds in ask(self.clock.now):
                    if page not in self.waiting:
                        self.waiting[page] = seconds
                        self.turns.line_up(page)
                        self.asked_at[page] = self.clock.now
            for page in list(self.waiting):
                if self.turns.may_run(page):
                    seconds = self.waiting.pop(page)
                    self.turns.step_out(page)
                    self.turns.reserve(page)
                    if seconds is not None:
                        self.left[page] = seconds
                        self.turns.began(page)
                else:
                    self.waited.add(page.visitor)
            self.clock.now += step
            for page in list(self.left):
                self.left[page] -= step / len(self.left)
            for page in [page for page, left in self.left.items() if left <= 0]:
                del self.left[page]
                self.turns.ended(page)
                self.done[page.visitor] = self.done.get(page.visitor, 0) + 1
                took = self.clock.now - self.asked_at[page]
                self.took.setdefault(page.visitor, []).append(took)


def pages(visitor, number, address=None):
    return [Page(visitor, address or visitor) for _ in range(number)]


def floods(page_list):
    """Return an asker whose pages all ask for a run at all times."""
    return lambda now: [(page, RUN_SECONDS) for page in page_list]


def every(seconds, page, takes=RUN_SECONDS):
    """Return an asker of one page, each so many seconds."""
    next_at = 0.0

    def ask(now):
        nonlocal next_at
        if now < next_at:
            return []
        next_at = now + seconds
        return [(page, takes)]

    return ask


def test_a_flood_gets_fewer_than_two_runs_for_one_of_another_visitor(server):
    flood = floods(pages("flood", 11))
    server.run(20, flood)
    server.done.clear()
    server.run(60, flood, every(1.0, Page("honest", "other")))
    assert server.done["honest"] in (60, 61)
    assert "honest" not in server.waited
    assert server.done["flood"] <= 130


def test_messages_that_make_nothing_run_take_no_turn_of_others(server):
    silent = [every(0.5, page, None) for n in range(2) for page in pages(f"silent{n}", 3)]
    server.run(10, *silent)
    server.run(30, *silent, every(1.0, Page("honest", "other")))
    assert server.done == {"honest": 30}
    assert max(server.took["honest"]) < 1.0


def test_what_is_reserved_does_not_shorten_a_run_nor_is_it_charged_like_one(server):
    page = Page("visitor", "address")
    server.turns.began(page)
    server.turns.reserve(page)
    server.clock.now += 20
    server.turns.may_run(page)
    assert page in server.turns._runs
    server.turns.ended(page)
    server.clock.now += 1_000
    other = Page("other", "address")
    server.turns.reserve(other)
    server.clock.now += 20
    server.turns.may_run(other)
    assert other not in server.turns._runs
    assert server.turns._visitors._debts.get("other", 0.0) <= 0.5


def test_many_cookies_of_one_address_are_held_to_the_same(server):
    flood = floods([page for n in range(30) for page in pages(f"flood{n}", 4, "one address")])
    honest = every(1.0, Page("honest", "other"))
    server.run(60, flood, honest)
    server.done.clear()
    server.run(60, flood, honest)
    assert server.done.pop("honest") in (59, 60, 61)
    assert max(server.took["honest"]) < 1.0
    assert sum(server.done.values()) <= 150  # half of the time
    assert len(server.done) == 30  # in turn


def test_visitors_behind_one_proxy_are_not_held_to_one_share(server):
    askers = [every(2.5, Page(f"visitor{n}", "proxy")) for n in range(10)]
    server.run(120, *askers)
    assert max(took for one in server.took.values() for took in one) < 2.1  # as if all ran at once


def test_who_is_alone_does_not_wait(server):
    server.run(60, every(0.1, Page("alone", "x")))
    assert server.waited == set()


@pytest.mark.parametrize("number", [1, 3, 5])
def test_visitors_who_click_while_their_pages_poll_hardly_wait(server, number):
    askers = []
    for n in range(number):
        clicked, watched = pages(f"visitor{n}", 2)
        askers += [every(2.0, clicked), every(1.5, watched, takes=0.03)]
    server.run(120, *askers)
    longest = max(took for one in server.took.values() for took in one)
    assert longest < number * (RUN_SECONDS + 0.03) + 0.05  # as if all ran at once


def test_a_burst_of_clicks_and_a_long_upload_hold_up_nobody(server):
    other = every(1.0, Page("other", "y"))
    once = iter([[(Page("uploads", "x"), 20.0)]])
    server.run(24, other, lambda now: next(once, []), every(0.2, Page("clicks", "z"), takes=0.1))
    assert server.waited == set()


def test_connections_that_close_at_once_count_as_long_as_their_scriptsmay_run(server):
    begun = 0
    for _ in range(50):
        page = Page("flood", "flood")
        if server.turns.may_run(page):
            server.turns.began(page)
            server.turns.closed(page)
            begun += 1
    assert begun == RUNS_EACH


def test_a_page_that_waits_runs_when_its_turn_comes(monkeypatch):
    async def wait():
        taken = Turns()
        for page in (others := pages("visitor", RUNS_EACH)):
            await taken.wait(page)
        waiting = asyncio.create_task(taken.wait(Page("visitor", "visitor")))
        await asyncio.sleep(0)
        was_done = waiting.done()
        taken.ended(others[0])
        await asyncio.wait_for(waiting, 60)
        return was_done

    assert run_async(wait()) is False


def test_what_was_used_is_forgotten_with_the_oldest_visitor(server, monkeypatch):
    monkeypatch.setattr(turns, "NUM_KNOWN", 3)
    for number in range(5):
        page = Page(f"visitor{number}", "x")
        server.turns.began(page)
        server.clock.now += 0.1
        server.turns.ended(page)
    use = server.turns._visitors
    assert list(use._active) == list(use._of_late) == ["visitor2", "visitor3", "visitor4"]


def expensive(server, page_list, seconds):
    """Return an asker whose pages always want another run, and cannot be interrupted in one."""
    return lambda now: [(page, seconds) for page in page_list if page not in server.left]


@pytest.mark.parametrize("seconds", [0.2, 3.0, 10.0])
def test_expensive_runs_of_one_visitor_leave_others_their_turn(server, seconds):
    flood = expensive(server, pages("flood", 11), seconds)
    honest = every(2.0, Page("honest", "other"))
    server.run(60, honest, flood)
    server.done.clear()
    server.run(120, honest, flood)
    assert server.done["honest"] in (59, 60, 61)
    assert "honest" not in server.waited
    assert server.done["flood"] > 0


@pytest.mark.parametrize(("num_addresses", "each"), [(7, 2), (7, 8), (3, 6), (1, 16)])
def test_pages_of_a_few_addresses_that_ask_for_more_than_there_is_delay_others_little(
    server, num_addresses, each
):
    # All of them stay below the shares of an address and of a visitor.
    others = []
    for number in range(num_addresses):
        for place in range(each):
            page = Page(f"visitor{number}.{place % 2}", f"address{number}")
            others.append(every(0.6, page, takes=0.1))
    honest = every(2.0, Page("honest", "other"), takes=0.1)
    server.run(20, *others)
    server.took.clear()
    server.run(60, honest, *others)
    assert len(server.took["honest"]) in (29, 30)
    assert max(server.took["honest"]) < 1.0


@pytest.mark.parametrize(("each", "seconds"), [(2, 0.3), (1, 0.5)])
def test_who_uses_little_waits_little_for_ten_addresses_that_use_what_they_can(
    server, each, seconds
):
    """All stay below the shares, so that each waited for a run of each other: up to 4.5 s."""
    flood = expensive(server, of_ten_addresses(each), seconds)
    honest = patient(server, 2.0, Page("honest", "other"), takes=0.05)
    server.run(20, honest, flood)
    server.took.clear()
    server.run(60, honest, flood)
    # One of four runs ends in 0.3 or 0.5 s, and 0.05 s beside three others take 0.2.
    assert max(server.took["honest"]) < 0.9
    others = [len(taken) for name, taken in server.took.items() if name != "honest"]
    assert max(others) <= min(others) + 2  # these have equal shares of the rest


@pytest.mark.parametrize(("seconds", "most"), [(0.12, 1.0), (0.5, 2.6)])
def test_newcomers_go_behind_those_who_are_there(server, seconds, most):
    """As they had used nothing, each went first until it had used as much as who was there."""
    honest = patient(server, 2.0, Page("honest", "other"), takes=0.1)
    server.run(20, honest)
    server.took.clear()
    server.run(20, honest, expensive(server, of_ten_addresses(2), seconds))
    assert len(server.took["honest"]) >= 4
    assert max(server.took["honest"]) < most


def of_ten_addresses(each):
    return [Page(f"{n}.{place}", f"address{n}") for n in range(10) for place in range(each)]


def patient(server, seconds, page, takes):
    """Return an asker of one page, so many seconds after it has run."""
    at = server.clock.now

    def ask(now):
        nonlocal at
        if page in server.left or page in server.waiting:
            at = now
        return [(page, takes)] if now - at >= seconds else []

    return ask


def test_who_used_least_of_late_goes_first_and_it_is_forgotten(server, monkeypatch):
    monkeypatch.setattr(turns, "RUNS_AT_ONCE", 1)
    much, little, third = Page("much", "a"), Page("little", "a"), Page("third", "b")
    for page, seconds in ((third, 4.0), (much, 2.0), (little, 1.0)):
        server.turns.began(page)
        server.clock.now += seconds
        server.turns.ended(page)
    for page in (much, little, third):
        server.turns.line_up(page)

    def first():
        (page,) = [one for one in server.turns._waiting if server.turns.may_run(one)]
        return page

    assert first() is little  # of the address with 2.9 s; the other one has 3.2
    server.turns.step_out(little)
    assert first() is much
    server.clock.now += 60  # 0.04 and 0.05 s: whose turn was longest ago
    assert first() is third


@pytest.mark.parametrize(
    ("asking", "order"),
    [
        (["a1 x", "b1 x", "c1 x"], "a1 b1 c1"),  # who comes first
        (["a1 x", "a2 x", "b1 x", "b2 x"], "a1 b1 a2 b2"),  # visitors in turn
        (["a1 x", "b1 x", "c1 x", "d1 y", "d2 y"], "a1 d1 b1 d2 c1"),  # addresses in turn
    ],
)
def test_in_which_order_pages_that_wait_run(server, monkeypatch, asking, order):
    monkeypatch.setattr(turns, "RUNS_AT_ONCE", 1)
    names = {Page(name[0], address): name for name, address in map(str.split, asking)}
    for page in names:
        server.turns.line_up(page)
        server.clock.now += 0.01
    ran = []
    while left := [page for page in reversed(names) if names[page] not in ran]:
        (page,) = [one for one in left if server.turns.may_run(one)]
        server.turns.step_out(page)
        server.turns.began(page)
        server.clock.now += 0.1
        server.turns.ended(page)
        ran.append(names[page])
    assert " ".join(ran) == order


def test_no_more_pages_run_at_once_than_the_interpreter_serves_well(server):
    begun = []
    for name in "abcdefgh":
        page = Page(name, name)
        if server.turns.may_run(page):
            server.turns.began(page)
            begun.append(page)
    assert len(begun) == turns.RUNS_AT_ONCE
    server.clock.now += turns.YOUNG_SECONDS  # those seem to do something long
    assert server.turns.may_run(Page("h", "h"))


@pytest.mark.parametrize(
    ("seconds", "charged"), [(1.0, 0.75), (10.0, 7.5), (30.0, 22.5), (100.0, 5.0)]
)
def test_a_run_is_charged_whole_but_for_a_quarter_of_the_time(server, seconds, charged):
    # Of 100 s the first 30 count, and a quarter of the 100 is free.
    page = Page("visitor", "address")
    server.turns.began(page)
    for _ in range(round(seconds * 10)):
        server.clock.now += 0.1
        server.turns.may_run(Page("other", "elsewhere"))
    server.turns.ended(page)
    assert server.turns._visitors._debts["visitor"] == pytest.approx(charged, abs=0.03)


def test_who_is_kept_waiting_by_a_slow_server_has_not_left(server):
    slow = Page("slow", "x")
    server.turns.began(slow)
    server.turns.began(Page("other", "y"))
    server.turns.ended(Page("other", "y"))
    server.clock.now = 10.0
    server.turns.may_run(slow)
    assert server.turns._visitors.has_others("other", server.clock.now)
    server.turns.ended(slow)
    server.clock.now = 13.5  # more than three seconds later
    server.turns.may_run(slow)
    assert not server.turns._visitors.has_others("other", server.clock.now)


def test_of_all_who_used_too_much_two_run_at_once_and_pause_as_long_as_they_ran(server):
    heavy, other = [Page(name, name) for name in "abc"], Page("other", "elsewhere")
    for page in heavy:
        server.turns._visitors.charge(page.visitor, 100.0, server.clock.now)

    def may_run(page, now):
        server.clock.now = now
        server.turns.began(other)
        server.turns.ended(other)
        return server.turns.may_run(page)

    assert may_run(heavy[0], 1.0)
    server.turns.began(heavy[0])
    assert not may_run(heavy[1], 2.9)
    assert may_run(heavy[1], 3.1)
    server.turns.began(heavy[1])
    assert not may_run(heavy[2], 6.0)  # two do
    server.clock.now = 7.0
    server.turns.ended(heavy[0])  # after six seconds
    assert not may_run(heavy[2], 12.9)
    assert may_run(heavy[2], 13.1)


def watched(server, sessions):
    """Have the turns see scripts of these sessions; return what lets time pass."""
    server.turns = Turns(lambda session_id: session_id in sessions)

    def wait_until(now):
        while server.clock.now < now:
            server.clock.now += 0.5
            server.turns.may_run(Page("other", "elsewhere"))

    return wait_until


def sessions_of(visitor, number):
    """Return pages of a visitor, whose sessions are 0, 1, ..."""
    return [Page(visitor, visitor, str(place)) for place in range(number)]


def test_runs_that_go_on_count_until_they_end(server):
    wait_until = watched(server, sessions := {"0", "1", "2"})
    *long, fourth = sessions_of("visitor", RUNS_EACH + 1)
    for page in long:
        server.turns.began(page)
    for now in (29.0, 31.0, 300.0):
        wait_until(now)
        assert not server.turns.may_run(fourth)
    assert server.turns.may_run(long[0])  # which ends what it does
    server.turns.ended(long[0])
    assert server.turns.may_run(fourth)
    server.turns.began(long[0])
    assert not server.turns.may_run(fourth)
    sessions.remove("1")  # it has ended, unseen
    wait_until(310.0)
    assert server.turns.may_run(fourth)


def test_a_turn_is_reserved_as_long_as_the_script_is_seen_to_run(server):
    wait_until = watched(server, sessions := {"0"})
    slow, nothing = sessions_of("visitor", 2)
    server.turns.reserve(slow)  # the message that its script begins is late
    server.turns.reserve(nothing)
    wait_until(5.0)
    assert list(server.turns._runs) == [slow]
    sessions.clear()
    wait_until(7.0)
    assert list(server.turns._runs) == []


def test_a_run_that_goes_on_is_charged_for_half_a_minute(server):
    wait_until = watched(server, {"0"})
    server.turns.began(*sessions_of("visitor", 1))
    wait_until(100.0)  # 30 s count, and a quarter of the 100 is free
    assert server.turns._visitors._debts["visitor"] == pytest.approx(5.0, abs=0.5)


def test_runs_that_go_on_divide_no_charge_of_others(server):
    wait_until = watched(server, {"0", "1", "2"})
    for page in sessions_of("long", RUNS_EACH):
        server.turns.began(page)
    wait_until(60.0)
    server.turns.began(page := Page("visitor", "address"))
    wait_until(68.0)
    server.turns.ended(page)
    # Eight seconds less a quarter.
    assert server.turns._visitors._debts["visitor"] == pytest.approx(6.0, abs=0.2)


def test_heavy_runs_that_go_on_do_not_hold_up_all_others_who_used_much(server):
    wait_until = watched(server, {"a", "b"})
    heavy, other = [Page(name, name, name) for name in "abc"], Page("other", "elsewhere")
    for page in heavy:
        server.turns._visitors.charge(page.visitor, 1000.0, server.clock.now)
    for page in heavy[:2]:
        server.turns.began(other)
        server.turns.ended(other)
        server.turns.began(page)
    wait_until(29.0)
    server.turns.began(other)
    server.turns.ended(other)
    assert not server.turns.may_run(heavy[2])
    wait_until(31.0)
    assert server.turns.may_run(heavy[2])


def test_a_page_that_was_closed_counts_while_its_script_goes_on(server):
    """Its computation may hear no stop; who opens and closes pages would begin many."""
    running = {"0", "1", "2"}
    wait_until = watched(server, running)
    *closed, fourth = sessions_of("visitor", RUNS_EACH + 1)
    for page in closed:
        server.turns.began(page)
        server.turns.closed(page)
    wait_until(2.5)
    assert not server.turns.may_run(fourth)
    wait_until(60.0)
    assert not server.turns.may_run(fourth)
    running.remove("1")
    wait_until(62.0)
    assert server.turns.may_run(fourth)


def test_a_closed_page_is_charged_as_long_as_its_script_goes_on(server):
    running = {"0"}
    wait_until = watched(server, running)
    server.turns.began(page := sessions_of("visitor", 1)[0])
    server.turns.closed(page)
    wait_until(12.0)
    running.clear()
    wait_until(20.0)
    # Some 12 s less a quarter of 20.
    assert server.turns._visitors._debts["visitor"] == pytest.approx(8.0, abs=1.1)


def test_which_sessions_have_a_script_that_runs():
    going_on, threads = threading.Event(), []
    for session, name in (("one", "ScriptRunner.scriptThread"), ("two", "background")):
        thread = threading.Thread(target=going_on.wait, args=(60,), name=name, daemon=True)
        add_script_run_ctx(thread, SimpleNamespace(session_id=session))
        thread.start()
        threads.append(thread)
    running = [name for name in ("one", "two", "") if turns.has_script(name)]
    going_on.set()
    for thread in threads:
        thread.join()
    assert running == ["one"]
    assert not turns.has_script("one")
