"""Templates and mails: what stands in them, and what never does."""

import os
import re
from datetime import timedelta
from email import message_from_string, policy
from pathlib import Path

import pytest

from service.clock import system_clock
from service.errors import SettingsError
from service.mail import mail_url
from service.mail.composing import Composer, NotSendable
from service.mail.devices import device
from service.mail.links import links_of
from service.mail.messages import VALUES, Kind, new_message
from service.mail.templates import SHIPPED, Templates
from service.mail.transports import Folder

ALL = {name: f"<{name}&>" for names in VALUES.values() for name in names}


@pytest.fixture(scope="module")
def shipped() -> Templates:
    return Templates()


@pytest.fixture
def composer(shipped: Templates) -> Composer:
    links = links_of("https://id.example", reset="https://app.example/new")
    return Composer(shipped, links, "App", "App mail <m@id.example>", "en")


@pytest.mark.parametrize(
    "sender",
    [
        "",
        "nobody",
        "gr\u00fc\u00dfe@example.com",
        "a b",
        "A <>",
        "a@b.de, c@d.de",
        "Doe, A <a@b.de>",
    ],
)
def test_who_cannot_send(shipped: Templates, sender: str) -> None:
    """It stops the start, not each mail."""
    with pytest.raises(SettingsError, match="SERVICE_MAIL_FROM"):
        Composer(shipped, links_of("https://id.example"), "App", sender, "en")


@pytest.mark.parametrize("locale", ["en", "de"])
@pytest.mark.parametrize("kind", VALUES)
def test_every_kind_in_every_locale(shipped: Templates, kind: Kind, locale: str) -> None:
    """All that a kind has to tell stands in its text and, escaped, in its markup."""
    shown = shipped.render(kind, locale, {name: ALL[name] for name in VALUES[kind]})
    for name in VALUES[kind] - {"account"}:
        assert ALL[name] in shown.subject + shown.text, name
        assert f"&lt;{name}&amp;&gt;" in shown.html, name
    assert "<app" not in shown.html
    assert f'<html lang="{locale}">' in shown.html
    assert "$" not in shown.subject + shown.text
    for remote in ("http://", "https://", "<img", "url(", "@import", "<script"):
        assert remote not in shown.html


def test_a_link_is_a_button(shipped: Templates) -> None:
    """With the address under it, for who would rather see it."""
    values = {"app": "App", "link": "https://a/#reset=osm_x", "until": "then"}
    markup = shipped.render("reset", "en", values).html
    assert '<a class="button" href="https://a/#reset=osm_x">Choose a new password</a>' in markup
    assert markup.count("https://a/#reset=osm_x") == 3


@pytest.mark.parametrize(
    "evil", ["a\nb", "a\rb", "a\r\nBcc: x@y.de", "a\x00b", "a\u2028b", "a\x85b"]
)
def test_no_value_breaks_a_line(shipped: Templates, evil: str) -> None:
    """Else it could begin a header, or text that looks like ours."""
    with pytest.raises(ValueError, match="control character"):
        shipped.render("test", "en", {"app": evil})


@pytest.mark.parametrize(
    ("accepted", "locale"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("en-GB", "en"),
        ("fr, de", "de"),
        ("fr", ""),
        ("", ""),
        ("*", ""),
        ("x" * 100_000, ""),
        (",".join(["fr"] * 50) + ",de", ""),
    ],
)
def test_the_language_of_a_person(shipped: Templates, accepted: str, locale: str) -> None:
    """The first that we have, of those that a browser names first."""
    assert shipped.locale(accepted) == locale


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("en/reset.txt", "S\n\n$nothing", r"en/reset\.txt names \$nothing"),
        ("en/reset.txt", "S\n\n10 $", r"en/reset\.txt has a \$"),
        ("en/reset.txt", "$link\n\n$link", "the subject"),
        ("en/layout.html", "$link", r"layout\.html names \$link"),
    ],
)
def test_a_wrong_template_stops_the_start(tmp_path: Path, name: str, text: str, says: str) -> None:
    """Not the mail that somebody waits for."""
    (tmp_path / "en").mkdir()
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError, match=says):
        Templates(tmp_path)


def test_a_template_that_is_no_file_stops_the_start(tmp_path: Path) -> None:
    """A pipe, which would be waited for, and a device, which may never end."""
    (tmp_path / "en").mkdir()
    template = tmp_path / "en/reset.txt"
    os.mkfifo(template)
    with pytest.raises(SettingsError, match="readable text files"):
        Templates(tmp_path)
    template.unlink()
    template.symlink_to("/dev/zero")
    with pytest.raises(SettingsError, match="readable text files"):
        Templates(tmp_path)


def test_templates_of_an_operator(tmp_path: Path) -> None:
    """File by file before ours; a locale of their own takes what it lacks from English."""
    for locale in ("en", "fr"):
        (tmp_path / locale).mkdir()
    (tmp_path / "en/reset.txt").write_text("Ours for $app\n\nGo: $link, $until")
    (tmp_path / "fr/test.txt").write_text("Essai\n\nÇa marche, $app.")
    templates = Templates(tmp_path)
    values = {"app": "A", "link": "l", "until": "u"}
    assert templates.render("reset", "en", values).text == "Go: l, u\n"
    assert templates.render("test", "fr", {"app": "A"}).text == "Ça marche, A.\n"
    assert templates.render("reset", "fr", values).subject == "Ours for A"
    assert 'lang="en"' in templates.render("reset", "fr", values).html
    assert 'lang="fr"' in templates.render("test", "fr", {"app": "A"}).html
    assert templates.locales == ["de", "en", "fr"]
    assert SHIPPED.is_dir()


@pytest.mark.parametrize(
    ("address", "wire", "header"),
    [
        ("ann@example.com", "ann@example.com", "ann@example.com"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ('"a b"@example.com', '"a b"@example.com', '"a b"@example.com'),
        (r'"a\"b\\c"@example.com', r'"a\"b\\c"@example.com', r'"a\"b\\c"@example.com'),
        ('"a,b:;<>@x"@example.com', '"a,b:;<>@x"@example.com', '"a,b:;<>@x"@example.com'),
        ("grüße@example.com", "grüße@example.com", "grüße@example.com"),
        ("a'b+c=d@example.com", "a'b+c=d@example.com", "a'b+c=d@example.com"),
    ],
)
def test_odd_addresses(composer: Composer, address: str, wire: str, header: str) -> None:
    """The envelope has A-labels; one header, with one address, which is read back as it was."""
    mail = composer.compose(new_message("test", address, "", system_clock()))
    assert mail.recipient == wire
    parsed = message_from_string(mail.content.decode(), policy=policy.SMTPUTF8)
    assert [str(each.addr_spec) for each in parsed["To"].addresses] == [header]
    assert len(parsed.get_all("To")) == 1


@pytest.mark.parametrize(
    "local",
    [
        "=?utf-8?q?=0ABcc=3Av=40x.de=0A=0AHello?=",
        '"=?utf-8?q?=0D=0ABcc=3Av=40x.de?="',
        "=?utf-8?b?CkJjYzp2QHguZGU=?=",
        '"a =?utf-8?q?=0AX?= b"',
    ],
)
def test_an_encoded_word_is_none_in_an_address(composer: Composer, local: str) -> None:
    """Decoded, it would end the header and begin others, or the text."""
    content = composer.compose(
        new_message("test", f"{local}@example.com", "", system_clock())
    ).content
    head, _, body = content.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert f"To: {local}@example.com".encode() in lines
    assert all(line[:1].isspace() or re.match(rb"[A-Za-z-]+: ", line) for line in lines)
    assert b"\n" not in head.replace(b"\r\n", b"")
    assert b"Bcc" not in head.replace(local.encode(), b"")
    assert b"Hello" not in body


@pytest.mark.parametrize(
    "address",
    [
        "a\r\nBcc: b@example.com", "a@example.com\r\nDATA", "a\n@b.de", "a@b\x00.de",
        "\"a\r\n b\"@c.de",
        "nobody", "@b.de", "a@", "a@b c", "a@" + "x" * 300 + ".de", "a@-\u00df\u2028.de",
    ],
)  # fmt: skip
def test_what_is_no_address_makes_no_mail(composer: Composer, address: str) -> None:
    """Whoever has put it into the user store."""
    with pytest.raises(NotSendable):
        composer.compose(new_message("test", address, "", system_clock()))


def test_links(composer: Composer) -> None:
    """A page of an app's own for resets; the account page for the others. Tokens in fragments."""
    links: dict[Kind, str] = {
        "reset": "https://app.example/new#reset=osm_t",
        "verify": "https://id.example/account#verify=osm_t",
        "change": "https://id.example/account#change=osm_t",
    }
    for kind, link in links.items():
        life = timedelta(minutes=1)
        message = new_message(kind, "a@b.de", "de", system_clock(), token="osm_t", life=life)
        mail = composer.compose(message)
        assert mail.link == link
        assert link in mail.content.decode().replace("=\r\n", "").replace("=3D", "=")
        assert "osm_t" not in repr(mail) + repr(message)


async def test_the_folder(composer: Composer, tmp_path: Path) -> None:
    """A file for each mail, for its owner alone; the same mail twice is one."""
    folder = Folder(tmp_path / "a" / "b")
    mail = composer.compose(new_message("test", "a@b.de", "", system_clock()))
    await folder.send(mail)
    await folder.send(mail)
    [file] = (tmp_path / "a" / "b").iterdir()
    assert file.suffix == ".eml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.read_bytes() == mail.content


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://h", ("h", 587, "required")),
        ("smtp://127.0.0.1:25", ("127.0.0.1", 25, "opportunistic")),
        ("smtp://[::1]:25?tls=required", ("::1", 25, "required")),
        ("smtp://h?tls=opportunistic", ("h", 587, "opportunistic")),
        ("smtps://u:p@h", ("h", 465, "from the start")),
    ],
)
def test_urls(url: str, expected: tuple[str, int, str]) -> None:
    """TLS is demanded but on loopback, unless the URL says otherwise."""
    parsed = mail_url.parse(url)
    assert (parsed.host, parsed.port, parsed.tls) == expected


@pytest.mark.parametrize(
    "url",
    [
        "smtp://", "smtp://h:0x", "smtp://h:99999", "smtp://h?tls=off", "smtps://h?tls=required", "smtp://h?x=1",
        "smtp://h?tls=required&tls=opportunistic",
        "smtp://h/path", "smtp://h#x", "file://host/x", "file:relative", "file:///x?links=mail", "smtp://h?tls",
    ],
)  # fmt: skip
def test_what_is_no_url(url: str) -> None:
    """One reason, which quotes nothing."""
    with pytest.raises(ValueError, match=r"^(must|takes) ") as refused:
        mail_url.parse(url.replace("//h", "//u:s3cret@h"))
    assert "s3cret" not in str(refused.value)


def test_no_text_of_a_client_in_a_mail() -> None:
    """A user agent is named by words of ours."""
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
    assert device(firefox) == "Firefox, Linux"
    assert device("Call +1 555 to save your account https://evil.example") == "-"
    assert device("") == "-"
    assert os.linesep not in device("curl/8\n")
