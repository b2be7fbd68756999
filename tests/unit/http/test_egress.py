"""Which addresses are public, what the operator may add, and what no spelling gets past."""

import pytest

from shared.errors import ConfigurationError, EgressRefusedError
from shared.http.egress import EgressPolicy
from shared.http.urls import join_url, origin, parse_url, place

NOBODY = EgressPolicy()

REFUSED = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.8.8.8",
    "169.254.169.254",
    "168.63.129.16",
    "172.16.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",  # IPv4-compatible
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",  # NAT64
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",  # 6to4
    "2002:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo, to 127.0.0.1
    "2001:db8::1",
    "2001:2::1",
    "3fff::1",
    "100::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "4000::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",  # how a public IPv4 address looks in an IPv6-only network
    "2002:808:808::1",
]


@pytest.mark.parametrize("ip", REFUSED)
def test_what_is_not_public_is_refused(ip: str) -> None:
    with pytest.raises(EgressRefusedError, match=r"not public") as caught:
        NOBODY.check_address(ip, 443, "api.example.com")
    assert "HEADRACE_EGRESS_ALLOW" in caught.value.hint
    assert caught.value.category == "CONFIG_ERROR"


@pytest.mark.parametrize("ip", PUBLIC)
def test_public_addresses_pass(ip: str) -> None:
    NOBODY.check_address(ip, 443, "api.example.com")


@pytest.mark.parametrize(
    ("allow", "ip", "port"),
    [
        ("10.0.0.0/8", "10.1.2.3", 443),
        ("10.0.0.0/8", "::ffff:10.1.2.3", 443),
        ("10.0.0.0/8", "64:ff9b::a01:203", 443),
        ("127.0.0.1", "127.0.0.1", 1),
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("[::1]:8080", "::1", 8080),
        ("fe80::/10", "fe80::1%eth0", 80),
        (" 192.168.0.0/16 , ,FD00::/8", "fd00::1", 80),
        ("::ffff:0:0/96", "::ffff:10.1.2.3", 80),
    ],
)
def test_networks_and_addresses_are_allowed(allow: str, ip: str, port: int) -> None:
    EgressPolicy.parse(allow).check_address(ip, port, "whatever")


@pytest.mark.parametrize(
    ("allow", "ip", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8081),
        ("127.0.0.1:8080", "127.0.0.2", 8080),
        ("10.0.0.0/8", "192.168.0.1", 443),
        ("localhost:8080", "127.0.0.1", 8080),  # reached under another name
    ],
)
def test_no_more_than_that_is_allowed(allow: str, ip: str, port: int) -> None:
    with pytest.raises(EgressRefusedError):
        EgressPolicy.parse(allow).check_address(ip, port, "rebound.example.com")


def test_a_name_is_allowed_with_its_port_only_while_it_is_called() -> None:
    policy = EgressPolicy.parse("ERP.internal:443")

    policy.check_address("10.0.0.1", 443, "erp.internal")
    policy.check_address("10.0.0.1", 443, "ERP.INTERNAL.")
    for host, port in (("erp.internal", 80), ("other.internal", 443), ("", 443)):
        with pytest.raises(EgressRefusedError):
            policy.check_address("10.0.0.1", port, host)


@pytest.mark.parametrize(
    "entry",
    [
        "localhost",
        "10.0.0.0/33",
        "10.1.0.0/8",
        "host:0",
        "host:99999",
        "host:http",
        "a b:80",
        "http://x:80",
        "[::1]",
        "*:80",
    ],
)
def test_a_wrong_entry_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match=r"is not|must be") as caught:
        EgressPolicy.parse(f"127.0.0.1, {entry}")
    assert entry in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1:5432/x",
        "https://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[fe80::1%25eth0]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0.0.0.0:8000",
    ],
)
def test_a_written_address_is_refused_before_any_dialling(url: str) -> None:
    with pytest.raises(EgressRefusedError):
        NOBODY.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://2130706433/",
        "http://127.1/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://017700000001/",
        "http://127.0.0.1.5/",
        "http://%31%32%37.0.0.1/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "//example.com/",
        "example.com",
        "",
        "http://",
        "http:///x",
        "http://user:hunter2@example.com/",
        "http://user@example.com/",
        "http://example.com:99999/",
        "http://example.com\\@127.0.0.1/",
        "http://exam ple.com/",
        "http://example.com/\r\nHost: evil",
        "http://[::1",
        "http://example.com/" + "a" * 9_000,
    ],
)
def test_what_is_no_plain_http_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        NOBODY.check_url(url)
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"


def test_names_pass_to_the_socket() -> None:
    assert str(NOBODY.check_url("https://Bücher.example:8443/a?b=c#frag")) == "https://xn--bcher-kva.example:8443/a?b=c"


def test_lists_tells_what_the_operator_named() -> None:
    policy = EgressPolicy.parse("erp.internal:8080,127.0.0.0/8")

    assert policy.lists("http://erp.internal:8080/x")
    assert policy.lists("http://127.0.0.1:9/x")
    assert policy.lists("http://localhost:9/x"), "the one name that says which address it is"
    assert not policy.lists("http://erp.internal:8081/x")
    assert not policy.lists("http://localhost.example.com:9/x")
    assert not policy.lists("https://api.example.com/")
    by_name = EgressPolicy.parse("localhost:8080,10.0.0.0/8")
    assert by_name.lists("http://localhost:8080/x")
    assert not by_name.lists("http://localhost:8081/x")


def test_origins_are_equal_exactly_when_they_are_the_same() -> None:
    assert origin(parse_url("HTTPS://Api.Example.com./a")) == origin(parse_url("https://api.example.com:443/b"))
    assert origin(parse_url("https://a.example")) == "https://a.example:443"
    assert origin(parse_url("http://[::1]:80/")) == "http://[::1]:80"
    assert origin(parse_url("http://a.example:443")) != origin(parse_url("https://a.example:443"))


def test_the_place_that_messages_name_has_no_query() -> None:
    assert place(parse_url("https://a.example:443/items?api_key=hunter2#x")) == "https://a.example/items"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("/b?x=1", "https://a.example/b?x=1"),
        ("?page=2", "https://a.example/v1/items?page=2"),
        ("next", "https://a.example/v1/next"),
        ("//evil.example/x", "https://evil.example/x"),
        ("http://b.example/", "http://b.example/"),
    ],
)
def test_references_are_joined_as_browsers_do(reference: str, expected: str) -> None:
    assert str(join_url(parse_url("https://a.example/v1/items?page=1"), reference)) == expected
