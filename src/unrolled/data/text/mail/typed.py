"""From the text of a mail body to the words of its writer: no HTML, no quoted reply, no signature.

The rules are conservative: where a line could be the writer's own, it stays. They are this project's own: of the
libraries that were tried, reply parsers keep half of the quotations below and take minutes over hostile lines, and
HTML parsers lay tables and lists out in Markdown, or take minutes over deep nesting.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_LONGEST_HTML = 2 << 20
_SKIPPED_ELEMENTS = ("style", "script", "title", "template")
_PARAGRAPHS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "table", "pre", "hr"}
_LINES = {"br", "div", "li", "tr", "section", "article", "header", "footer", "dt", "dd"}
# how mail programs mark quotations and signatures
_QUOTING_CLASSES = {
    "gmail_quote",
    "gmail_quote_container",
    "gmail_signature",
    "yahoo_quoted",
    "moz-cite-prefix",
    "moz-signature",
    "protonmail_quote",
    "protonmail_signature_block",
}

_QUOTED = re.compile(r"^\s{0,2}(>|\|\s?>)")
# "On Mon, Jan 5, 2004, Ann wrote:" in several languages; a digit must stand before the verb
_ATTRIBUTION = re.compile(
    r"""^\s*(?:
        On\s.*\d.*\bwrote | Am\s.*\d.*\bschrieb\b.* | Le\s.*\d.*\ba\s[ée]crit | El\s.*\d.*\bescribi[óo]
      | Il\s.*\d.*\bha\sscritto | Op\s.*\d.*\b(?:schreef|het\svolgende\sgeschreven)\b.* | Em\s.*\d.*\bescreveu
      | Den\s.*\d.*\bskrev\b.* | W\sdniu\s.*\d.*\bnapisał(?:\(a\))?
    )\s*:\s*$""",
    re.VERBOSE | re.IGNORECASE,
)
# a year, a time or a date in figures: "On Monday 5 people wrote:" has none
_DATED = re.compile(r"\b(19|20)\d\d\b|\d[:/.-]\d")
_ATTRIBUTION_START = re.compile(r"^\s*(On|Am|Le|El|Il|Op|Em|Den|W dniu)\s.*\d")
# everything below one of these is somebody else's, or the list server's
_CUT = re.compile(
    r"""^\s*(?:
        [-_]{2,}\s*(?:
            Original\s(?:Message|Appointment) | Forwarded\s(?:Message|by\b.*) | Forwarded | Reply\sMessage
          | Urspr[üu]ngliche\sNachricht | Weitergeleitete\sNachricht | Message\sd['’]origine | Message\stransf[ée]r[ée]
          | Mensaje\s(?:original|reenviado) | Messaggio\s(?:originale|inoltrato)
          | Oorspronkelijk\sbericht | Doorgestuurd\sbericht | Mensagem\s(?:original|encaminhada)
          | Oprindelig\smeddelelse | Ursprungligt\smeddelande | Alkuper[äa]inen\sviesti
        )\s*[-_]*
      | Begin\sforwarded\smessage:
      | -{8,}\snext\spart\s-{8,}
    )\s*$""",
    re.VERBOSE | re.IGNORECASE,
)
# "From:" and its sisters; a block of them is the head of a quoted message
_BLOCK_START = re.compile(r"^\s*\*?(From|Von|De|Da|Van|Från|Fra|Od)\s?:\*?\s*\S", re.IGNORECASE)
_BLOCK_LINE = re.compile(
    r"""^\s*\*?(?:
        From|Sent|To|Cc|Bcc|Date|Subject|Reply-To|Importance|Attachments?
      | Von|Gesendet|Datum|An|Betreff | De|Envoy[ée]|Date|[ÀA]|Objet | Enviado(?:\sel|\sem)?|Para|Asunto|Fecha
      | Da|Inviato|Data|A|Oggetto | Van|Verzonden|Aan|Onderwerp | Assunto
      | Från|Skickat|Till|Ämne | Fra|Sendt|Til|Emne
    )\s?:""",
    re.VERBOSE | re.IGNORECASE,
)
_BLOCK_PROOF = re.compile(
    r"^\s*\*?(Sent|Date|Subject|Gesendet|Datum|Betreff|Envoy[ée]|Objet|Enviado( el| em)?|Fecha|Asunto|Inviato|Data"
    r"|Oggetto|Verzonden|Onderwerp|Assunto|Skickat|Ämne|Sendt|Emne)\s?:",
    re.IGNORECASE,
)
_RULE = re.compile(r"^\s*[-_=*]{5,}\s*$")
_LIST = re.compile(r"^\s*[\w.+ -]{1,80}\s(mailing list|Liste?|lista de correo)\b|^\s*To unsubscribe\b", re.IGNORECASE)
_DEVICE = re.compile(
    r"^\s*(Sent from my \w[\w .]*|Sent from (Mail|Outlook)( for \w+)?|Get Outlook for \w+.*|Von meinem \w+ gesendet"
    r"|Envoy[ée] de mon \w+|Enviado desde mi \w+|Inviato da(l mio)? \w+|Sent via \w[\w ]*)\s*\.?\s*$",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"""^\s*(?:
        (?:(?:best|kind|kindest|warm|warmest|with\skind|with\sbest)\s)?regards | best(?:\swishes)? | all\sthe\sbest
      | (?:yours\s)?sincerely(?:\syours)? | yours(?:\struly|\sfaithfully)? | respectfully | cheers | cordially
      | (?:many\s)?thanks(?:\sagain|\sin\sadvance|\sand\s(?:best\s|kind\s)?regards)? | thank\syou
      | mit\s(?:freundlichen|besten|herzlichen)\sgr(?:ü|ue)(?:ß|ss)en
      | (?:viele|liebe|beste|herzliche)\sgr(?:ü|ue)(?:ß|ss)e
      | cordialement | bien\s(?:cordialement|à\svous) | un\ssaludo | saludos(?:\scordiales)? | atentamente
      | cordiali\ssaluti | met\svriendelijke\sgroet(?:en)? | atenciosamente | abraços
    )\s*[,.!]?\s*$""",
    re.VERBOSE | re.IGNORECASE,
)
_SIGNATURE_LINES, _SIGNATURE_WIDTH = 8, 60
# a longer line is no mark of a quotation or signature
_LONGEST_MARK = 400


def typed_text(body: str) -> str:
    r"""Return a body without quoted replies, forwarded blocks and the signature.

    Dropped are: lines that begin with ``>`` and the "On … wrote:" line above them; everything below an
    "-----Original Message-----", "Forwarded message" or "From: … Sent: …" block (in nine languages), and below an
    "On … wrote:" line that no ``>`` follows; everything below ``-- ``, below a list server's "next part", and below the
    rule above a mailing list's name; "Sent from my …"; and the up to 8 short lines below a closing such as "Best
    regards,", which itself stays.

    Args:
        body: the text of a message; ``\n`` line ends.

    Returns:
        The rest, no more than one blank line in a row and none around it.
    """
    lines = [line.rstrip().replace("\xa0", " ") if line != "-- " else line for line in body.split("\n")]
    kept = _without_signature(_without_quotes(lines))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n").rstrip()


def _matches(pattern: re.Pattern[str], line: str) -> bool:
    # the bound keeps the patterns' backtracking small, whatever a message holds
    return len(line) <= _LONGEST_MARK and pattern.match(line) is not None


def _without_quotes(lines: list[str]) -> list[str]:
    kept: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        if _matches(_CUT, line) or _starts_block(lines, at):
            # the rule that Outlook draws above its block
            while kept and (not kept[-1].strip() or _matches(_RULE, kept[-1])):
                kept.pop()
            break
        if _QUOTED.match(line):
            at += 1
            continue
        if length := _attribution(lines, at):
            following = next((later for later in lines[at + length :] if later.strip()), "")
            if not _QUOTED.match(following):
                break
            at += length
            continue
        kept.append(line)
        at += 1
    return kept


def _attribution(lines: list[str], at: int) -> int:
    """The number of lines of the "On … wrote:" that starts here; 0 if none starts here."""
    if not _ATTRIBUTION_START.match(lines[at]):
        return 0
    for length in (1, 2, 3):
        parts = lines[at : at + length]
        if not parts[-1].strip():
            return 0
        joined = " ".join(parts)
        if _matches(_ATTRIBUTION, joined) and _DATED.search(joined):
            return length
    return 0


def _starts_block(lines: list[str], at: int) -> bool:
    if not _BLOCK_START.match(lines[at]):
        return False
    block: list[str] = []
    for line in lines[at : at + 8]:
        # Outlook's plain text sometimes has a blank line between the headers' lines
        if line.strip() and not _BLOCK_LINE.match(line) and len(block) >= 2:
            break
        block.append(line)
    return sum(bool(_BLOCK_LINE.match(line)) for line in block) >= 3 and any(_BLOCK_PROOF.match(line) for line in block)


def _without_signature(lines: list[str]) -> list[str]:
    for at, line in enumerate(lines):
        footer = _matches(_RULE, line) and any(_matches(_LIST, below) for below in lines[at + 1 : at + 3])
        if line in ("-- ", "--") or footer:
            lines = lines[:at]
            break
    lines = [line for line in lines if not _matches(_DEVICE, line)]
    # the last closing counts: an earlier "Thanks," is part of the letter
    for at in range(len(lines) - 1, -1, -1):
        if _matches(_CLOSING, lines[at]):
            below = [line for line in lines[at + 1 :] if line.strip()]
            return lines[: at + 1] if _like_signature(below) else lines
    return lines


def _like_signature(lines: list[str]) -> bool:
    if len(lines) > _SIGNATURE_LINES:
        return False
    sentence = re.compile(r"(\S+\s+){4,}\S+[.!?]$")
    return all(len(line) <= _SIGNATURE_WIDTH and not sentence.search(line.strip()) for line in lines)


def html_to_text(html: str) -> str:
    """Return an HTML mail as text: paragraphs and line breaks stay, styles, scripts and marked quotations go.

    Args:
        html: the source; broken HTML is read as far as possible, and 2 Mi characters of it at most.

    Returns:
        The text; paragraphs are separated by one blank line.
    """
    parser = _TextOfHtml()
    parser.feed(_tags_only(html[:_LONGEST_HTML]))
    parser.close()
    return parser.text()


def _tags_only(html: str) -> str:
    """Remove parts of broken HTML that the standard library's parser raises on or takes quadratic time for.

    These are comments and declarations, a ``<`` whose tag never ends, and tags of absurd length; one pass each.
    """
    parts: list[str] = []
    at = 0
    while (start := html.find("<!--", at)) >= 0:
        parts.append(html[at:start])
        end = html.find("-->", start + 4)
        # a comment that never ends swallows the rest, as in a browser
        at = len(html) if end < 0 else end + 3
    parts.append(html[at:])
    html = re.sub(r"<(?=[^<>]*(?:<|\Z))", "&lt;", "".join(parts))
    return re.sub(r"<[!?][^<>]*>|<[^<>]{4096,}>", "", html)


class _TextOfHtml(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        # the element that is skipped, and how many of its name are open inside it
        self._skipping, self._depth = "", 0
        self._preformatted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":
            self._skipping = ""
        if self._skipping:
            self._depth += tag == self._skipping
            return
        values = {name: value or "" for name, value in attrs}
        cited = tag == "blockquote" and values.get("type", "").lower() == "cite"
        if tag in _SKIPPED_ELEMENTS or cited or _QUOTING_CLASSES & set(values.get("class", "").split()):
            self._skipping, self._depth = tag, 1
            return
        self._preformatted += tag == "pre"
        self._break(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._skipping:
            self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._skipping:
            self._depth -= tag == self._skipping
            if self._depth == 0:
                self._skipping = ""
            return
        if tag == "pre":
            self._preformatted = max(0, self._preformatted - 1)
        if tag != "br":
            self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            data = data.replace("\xa0", " ")
            self._parts.append(data if self._preformatted else re.sub(r"\s+", " ", data))

    def _break(self, tag: str) -> None:
        if tag == "br":
            self._parts.append("\n")
        elif tag in _PARAGRAPHS:
            self._parts.append("\x02")
        elif tag in _LINES:
            self._parts.append("\x01")
        elif tag in ("td", "th"):
            self._parts.append(" ")

    def text(self) -> str:
        r"""Return the text so far; \x01 stands for "a new line here", \x02 for "a new paragraph here"."""
        text = re.sub(r" +", " ", "".join(self._parts))
        text = re.sub(r" ?([\n\x01\x02]) ?", r"\1", text)
        return re.sub(r"[\n\x01\x02]+", _line_ends, text).strip()


def _line_ends(run: re.Match[str]) -> str:
    # as in a browser: a <br> that ends a block adds nothing to its end, one in a block of its own is an empty line
    breaks = run[0].count("\n")
    if "\x02" in run[0] or breaks > 1:
        return "\n\n"
    return "\n\n" if breaks and run[0].startswith("\x01") else "\n"
