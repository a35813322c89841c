"""Templates of mails: a text for each kind and locale, and the HTML that is made of it.

A template is a file `<locale>/<kind>.txt`: its first line is the subject, paragraphs follow, with
`$names` as in `string.Template` (`messages.VALUES`). A line that is `$link` alone belongs to the
line before it: in HTML the two are a button. Paragraphs stand in `en/layout.html` at `$body`,
besides `$title` and the `$locale` of the text, or in `<locale>/layout.html`, where there is one;
`<locale>/<kind>.html`, where there is one, takes its place for a kind.

A folder of an operator's own stands before the one that is shipped, file by file.
"""

import html
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template

import msgspec

from service.errors import SettingsError
from service.mail.messages import VALUES, Kind

SHIPPED = Path(__file__).parent / "templates"
DEFAULT = "en"
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?", re.ASCII)
_LAYOUT = "layout"
_OF_LAYOUT = frozenset({"body", "title", "app", "locale"})
_MOST_LANGUAGES = 8
"""Languages of a request that are looked at."""


class Rendered(msgspec.Struct, frozen=True):
    """What a mail says: plain text in its subject and text, markup in the other."""

    subject: str
    text: str
    html: str


class Templates:
    """All templates, read and checked once."""

    def __init__(self, folder: Path | None = None) -> None:
        """Read the templates that are shipped, and those in `folder` before them.

        Raises:
            SettingsError: a file cannot be read, or names what its kind does not have.
        """
        self._files: dict[tuple[str, str], Template] = {}
        for each in (SHIPPED, folder):
            if each is not None:
                self._read(each)
        self.locales = sorted({locale for locale, _ in self._files})

    def locale(self, accepted: str) -> str:
        """Choose the locale for the value of an `Accept-Language` header; '' if none is there."""
        for part in accepted[:200].split(",")[:_MOST_LANGUAGES]:
            wanted = part.partition(";")[0].strip().lower()
            for locale in self.locales:
                if wanted == locale.lower() or wanted.partition("-")[0] == locale.lower():
                    return locale
        return ""

    def render(self, kind: Kind, locale: str, values: Mapping[str, str]) -> Rendered:
        """Put values into the template of a kind.

        Raises:
            ValueError: a value has a line break, or another control character.
        """
        for name, value in values.items():
            if any(character < " " or character in "\x7f\x85\u2028\u2029" for character in value):
                raise ValueError(f"{name} has a control character")
        subject, _, text = self._find(locale, f"{kind}.txt").substitute(values).partition("\n")
        return Rendered(subject.strip(), text.strip() + "\n", self._html(kind, locale, values))

    def _html(self, kind: Kind, locale: str, values: Mapping[str, str]) -> str:
        escaped = {name: html.escape(value) for name, value in values.items()}
        own = self._files.get((locale, f"{kind}.html"))
        if own is not None:
            return own.substitute(escaped)
        written_in = locale if (locale, f"{kind}.txt") in self._files else DEFAULT
        title, _, text = self._files[written_in, f"{kind}.txt"].template.partition("\n")
        paragraphs = [_paragraph(part) for part in re.split(r"\n\s*\n", text.strip())]
        layout = self._find(locale, f"{_LAYOUT}.html")
        body = Template("\n".join(paragraphs)).substitute(escaped)
        heading = Template(html.escape(title.strip(), quote=False)).substitute(escaped)
        return layout.substitute(body=body, title=heading, app=escaped["app"], locale=written_in)

    def _find(self, locale: str, name: str) -> Template:
        return self._files.get((locale, name)) or self._files[DEFAULT, name]

    def _read(self, folder: Path) -> None:
        try:
            paths = sorted(folder.glob("*/*.*"))
            if not folder.is_dir():
                raise FileNotFoundError
            texts = {path: _text(path) for path in paths if _is_ours(path)}
        except (OSError, UnicodeDecodeError):
            raise SettingsError(
                "SERVICE_MAIL_TEMPLATES must be a folder of readable text files"
            ) from None
        for path, text in texts.items():
            self._files[path.parent.name, path.name] = _checked(path, text)


def _text(path: Path) -> str:
    if not path.is_file():  # a pipe would be waited for, and a device may never end
        raise FileNotFoundError
    return path.read_text(encoding="utf-8")


def _is_ours(path: Path) -> bool:
    layout = path.stem == _LAYOUT and path.suffix == ".html"
    kind = path.stem in VALUES and path.suffix in (".txt", ".html")
    return bool(_LOCALE.fullmatch(path.parent.name)) and (layout or kind)


def _checked(path: Path, text: str) -> Template:
    """Refuse a template that would not render, now and not when somebody waits for a mail."""
    template = Template(text)
    allowed = _OF_LAYOUT if path.stem == _LAYOUT else VALUES[path.stem]  # type: ignore[index]  # a Kind, as `_is_ours` has seen
    where = f"SERVICE_MAIL_TEMPLATES: {path.parent.name}/{path.name}"
    if not template.is_valid():
        raise SettingsError(f"{where} has a $ that begins no name; write $$")
    if unknown := sorted(set(template.get_identifiers()) - allowed):
        raise SettingsError(f"{where} names ${unknown[0]}, which it does not have")
    if path.suffix == ".txt" and "$" in text.partition("\n")[0].replace("$app", ""):
        raise SettingsError(f"{where} names more than $app in its first line, the subject")
    return template


def _paragraph(text: str) -> str:
    """Make the markup of a paragraph: a button of a line and the link under it."""
    lines = [html.escape(line.strip(), quote=False) for line in text.splitlines()]
    if len(lines) == 2 and lines[1] == "$link":
        label = lines[0].rstrip(":")
        button = f'<p class="action"><a class="button" href="$link">{label}</a></p>'
        return button + '\n<p class="small"><a href="$link">$link</a></p>'
    return f"<p>{'<br>'.join(lines)}</p>"
