"""R54: what connections prove about whether a client has received a reply."""

from __future__ import annotations

from itertools import count

from sojourn.service.calls import Call, ConnectionBook, Origin


class Scene:
    """A book with a clock that moves by one second at each step, and clients that use it."""

    def __init__(self) -> None:
        ticks = count(1000)
        self.now = 0.0
        self.book = ConnectionBook(clock=lambda: self.now)
        self._ticks = ticks
        self.tick()

    def tick(self) -> None:
        self.now = float(next(self._ticks))

    def connect(self) -> str:
        self.tick()
        return self.book.opened("192.0.2.1:5000")

    def request(self, connection: str, *, proxied: bool = False) -> Call:
        self.tick()
        number = self.book.request_started(connection)
        previous = self.book.request_of(connection, number, "ada")
        return Call(
            connection=connection,
            number=number,
            received=self.now,
            previous=previous,
            proxied=proxied,
            book=self.book,
        )

    def reply(self, call: Call, status: int = 200) -> None:
        self.tick()
        self.book.reply_done(call.connection, call.number, status)

    def exchange(self, connection: str) -> Call:
        call = self.request(connection)
        self.reply(call)
        return call

    def lose(self, connection: str) -> None:
        self.tick()
        self.book.closed(connection, clean=False)


def test_r54_a_retry_after_the_connection_was_lost_shows_nothing() -> None:
    scene = Scene()
    first = scene.connect()
    scene.exchange(first)
    submit = scene.request(first)
    scene.lose(first)
    retry = scene.request(scene.connect())
    assert not retry.shows_receipt_of(submit.origin)


def test_r54_a_reply_that_was_written_is_not_yet_received() -> None:
    scene = Scene()
    first = scene.connect()
    submit = scene.exchange(first)
    scene.lose(first)
    assert scene.book.replied(first, submit.number)
    assert not scene.request(scene.connect()).shows_receipt_of(submit.origin)


def test_r54_the_next_request_on_the_connection_shows_receipt() -> None:
    scene = Scene()
    connection = scene.connect()
    submit = scene.exchange(connection)
    assert scene.request(connection).shows_receipt_of(submit.origin)


def test_r54_a_later_request_shows_receipt_also_when_the_connection_is_gone() -> None:
    scene = Scene()
    connection = scene.connect()
    submit = scene.exchange(connection)
    scene.exchange(connection)
    scene.lose(connection)
    assert scene.request(scene.connect()).shows_receipt_of(submit.origin)


def test_r54_two_threads_that_submit_the_same_at_once_mean_two_jobs() -> None:
    scene = Scene()
    first, second = scene.connect(), scene.connect()
    submit = scene.request(first)
    assert scene.request(second).shows_receipt_of(submit.origin)


def test_r54_a_program_that_looks_around_before_it_submits_again_means_a_new_job() -> None:
    scene = Scene()
    first = scene.connect()
    submit = scene.request(first)
    scene.lose(first)
    second = scene.connect()
    scene.exchange(second)
    assert scene.request(second).shows_receipt_of(submit.origin)


def test_r54_another_threads_requests_before_the_loss_show_nothing() -> None:
    scene = Scene()
    first, second = scene.connect(), scene.connect()
    submit = scene.request(first)
    scene.exchange(second)
    scene.lose(first)
    assert not scene.request(second).shows_receipt_of(submit.origin)


def test_r54_a_reply_with_5xx_counts_as_lost_on_the_same_connection() -> None:
    scene = Scene()
    connection = scene.connect()
    submit = scene.request(connection)
    scene.reply(submit, 503)
    retry = scene.request(connection)
    assert not retry.shows_receipt_of(submit.origin)
    scene.reply(retry, 503)
    assert not scene.request(connection).shows_receipt_of(retry.origin)


def test_r54_a_proxys_connections_show_nothing() -> None:
    scene = Scene()
    connection = scene.connect()
    submit = scene.exchange(connection)
    assert not scene.request(connection, proxied=True).shows_receipt_of(submit.origin)
    assert Call(connection=connection, number=7, proxied=True).origin.connection == ""


def test_r54_after_a_restart_the_old_connection_is_unknown_and_its_name_is_not_used_again() -> None:
    before, after = Scene(), Scene()
    lost = before.request(before.connect())
    connection = after.connect()
    assert connection != lost.connection
    after.now = lost.received + 100
    assert not after.request(connection).shows_receipt_of(lost.origin)
    assert not after.book.knows(lost.connection)


def test_a_port_that_is_used_again_is_another_connection() -> None:
    scene = Scene()
    first = scene.connect()
    scene.lose(first)
    assert scene.connect() != first
    assert not scene.book.is_open(first)
    assert scene.book.closed_at(first) is not None


def test_a_reply_after_the_close_is_not_delivered() -> None:
    scene = Scene()
    connection = scene.connect()
    call = scene.request(connection)
    scene.lose(connection)
    scene.reply(call)
    assert not scene.book.replied(connection, call.number)


def test_memory_is_bounded_by_the_connections_that_are_open() -> None:
    book = ConnectionBook(keep_closed=10)
    open_ones = [book.opened(f"192.0.2.1:{port}") for port in range(5)]
    for port in range(1000):
        connection = book.opened(f"192.0.2.2:{port}")
        for user in range(50):
            number = book.request_started(connection)
            book.request_of(connection, number, f"user-{user}")
            book.reply_done(connection, number, 500)
        book.closed(connection)
        book.closed(connection)
    assert len(book) == 15
    assert all(map(book.is_open, open_ones))


def test_a_call_without_a_book_shows_nothing() -> None:
    assert not Call().shows_receipt_of(Origin("somewhere", 1, 0.0))
