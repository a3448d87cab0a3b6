"""Where a worker may say that it serves depends on where it says so from."""

from __future__ import annotations

import asyncio

import pytest

from gym_queue.errors import RequestInvalid
from gym_queue.master.addresses import check_worker_url


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:5900", "http://[::1]:5900", "http://localhost:1", "http://127.9.9.9"]
)
def test_loopback_may_be_registered_from_loopback_alone(url):
    for peer in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        asyncio.run(check_worker_url(url, peer))
    for peer in ("10.0.0.7", "", "fd00::1"):
        with pytest.raises(RequestInvalid, match="--advertise-host"):
            asyncio.run(check_worker_url(url, peer))


@pytest.mark.parametrize("url", ["http://10.0.0.7:5900", "https://[fd00::7]:5900/", "http://192.168.1.2"])
def test_an_address_of_the_network_may_be_registered_from_anywhere(url):
    for peer in ("127.0.0.1", "10.0.0.7"):
        asyncio.run(check_worker_url(url, peer))


@pytest.mark.parametrize(
    "host",
    [
        *("169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "100.100.100.200"),
        *("[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]"),
        *("[fe80::1]", "[fd00:ec2::254]"),
    ],
)
def test_a_metadata_service_may_not_be_registered_however_its_address_is_written(host):
    for peer in ("127.0.0.1", "10.0.0.7"):
        with pytest.raises(RequestInvalid, match="link-local or metadata"):
            asyncio.run(check_worker_url(f"http://{host}", peer))


def test_loopback_behind_a_gateways_prefix_is_loopback():
    with pytest.raises(RequestInvalid, match="own machine"):
        asyncio.run(check_worker_url("http://[64:ff9b::7f00:1]", "10.0.0.7"))


def test_a_name_that_leads_nowhere_yet_may_be_registered():
    asyncio.run(check_worker_url("http://no-such-host.invalid:5900", "10.0.0.7"))
