from __future__ import annotations

import socket
import threading

import httpx
import pytest

from outrider.strategies.answering.offline import NetworkError, no_network


def test_connections_and_look_ups_are_refused_and_counted() -> None:
    with no_network() as attempts:
        with socket.socket() as one, pytest.raises(NetworkError, match="switched off"):
            one.connect(("127.0.0.1", 9))
        with pytest.raises(NetworkError, match="getaddrinfo"):
            socket.getaddrinfo("example.org", 80)
        with pytest.raises(NetworkError):
            httpx.get("http://example.org")
        assert len(attempts) == 3


def test_other_threads_are_refused_too() -> None:
    caught: list[Exception] = []

    def ask() -> None:
        try:
            socket.gethostbyname("example.org")
        except NetworkError as error:
            caught.append(error)

    with no_network() as attempts:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert len(caught) == len(attempts) == 1


def test_sockets_within_the_machine_stay_and_afterwards_all_are_back() -> None:
    with no_network() as attempts:
        left, right = socket.socketpair()
        left.sendall(b"x")
        assert right.recv(1) == b"x"
        left.close()
        right.close()
        assert attempts == []
    server = socket.create_server(("127.0.0.1", 0))
    with server, socket.create_connection(server.getsockname()) as one:
        assert one.getpeername() == server.getsockname()
