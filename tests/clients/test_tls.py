"""Clients 0.39 to 0.48 exchange their key at a fixed host over TLS; docs/clients.md says what a site does.

nginx runs with the configuration of that page and a certificate of an authority that only they trust.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sojourn.embedded import Embedded, Key
from tests.acceptance.nginx import Nginx, program
from tests.clients.environments import ROOT, run
from tests.clients.test_v2 import checked
from tests.clients.tls import Authority, Names

pytestmark = pytest.mark.skipif(program() is None, reason="nginx is not installed")

PAGE = ROOT / "docs" / "clients.md"
NEEDED = {"quantum.example.org", "iam.cloud.ibm.com"}
"""What 0.39 to 0.41 connect to; later ones look instances up as well."""


def documented() -> str:
    """The configuration of nginx on the page."""
    (text,) = re.findall(r"```nginx\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return str(text)


def names(configuration: str) -> list[str]:
    """The hosts that it answers for, as the certificate must name them."""
    (listed,) = re.findall(r"server_name ([^;]*);", configuration)
    return str(listed).split()


@pytest.fixture(scope="module")
def site(server: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Names, Path]]:
    """The name service of a site whose reverse proxy is up, and the certificate of its authority."""
    folder = tmp_path_factory.mktemp("site")
    authority = Authority(folder)
    text = documented()
    certificate, secret = authority.sign(names(text))
    for before, after in (
        ("listen 443 ssl", "listen ADDRESS ssl"),
        ("127.0.0.1:8420", urlsplit(server.url).netloc),
        ("/etc/ssl/quantum.pem", str(certificate)),
        ("/etc/ssl/quantum.key", str(secret)),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    with Nginx(folder / "nginx", {"site": text}) as nginx:
        address = urlsplit(nginx.url("site"))
        assert address.hostname is not None
        assert address.port is not None
        with Names((address.hostname, address.port)) as leading:
            yield leading, authority.certificate


def variables(site: tuple[Names, Path], key: Key) -> dict[str, str]:
    leading, certificate = site
    return {
        "QISKIT_IBM_TOKEN": key.api_key,
        "QISKIT_IBM_URL": "https://quantum.example.org/experimental/api/v1",
        "QISKIT_IBM_INSTANCE": key.instance,
        "REQUESTS_CA_BUNDLE": str(certificate),
        "https_proxy": leading.url,
    }


@pytest.mark.parametrize(("client", "usage"), [("0.46", "True"), ("0.40", "not asked")])
def test_a_client_that_insists_on_tls_runs_unchanged_behind_the_documented_proxy(
    server: Embedded, key: Key, site: tuple[Names, Path], tmp_path: Path, client: str, usage: str
) -> None:
    site[0].hosts.clear()
    checked(run(client, "v2.py", variables(site, key), tmp_path), server, usage)
    asked = {host.removesuffix(":443") for host in site[0].hosts}
    looking_up = set(names(documented())) - NEEDED
    assert asked == (NEEDED | looking_up if client == "0.46" else NEEDED)
