"""A placeholder article: readable, of the asked length, the same for the same request."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import count, cycle, islice
from random import Random

from providers import local_phrases as phrases
from providers.local_phrases import Angle
from providers.requests import ArticleRequest
from providers.words import count_words

SECTION_WORDS = 150
"""The length a section has while there are angles enough."""
SHORTEST_WITH_ENDING = 220
"""Shorter articles have no section of their own for the ending."""
SHORTEST_WITH_INTRODUCTION = 150
"""Shorter articles begin with a sentence."""
NEAR_ENOUGH_WORDS = 3
MENTION_WORDS = 15
"""A longer topic, keyword or heading is cut where it stands inside the text."""
OPENING_WORDS = 24
LONG_SECTION_WORDS = 220
"""A longer section has a second angle, a third, and so on, while there are some."""
CHECKLIST_FROM_WORDS = 90
FILLS_TRIED = 12
SENTENCES_IN_PARAGRAPH = 3, 4, 5

SIGNATURE = "*Placeholder text by Pressroom's local provider.*"
SIGNATURE_FOREIGN = "*Placeholder text in English by Pressroom's local provider, which writes no other language.*"
NOT_ALL_HEADINGS = "*Not every heading of the outline had room in so few words.*"

QUESTION = re.compile(r"(?i)^(how|why|what|when|where|who|which|should|can|could|is|are|do|does|will)\b|[.?!…:;]$")
BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class PlaceholderArticle:
    """`sections` joined are the content; the first holds the title and the introduction."""

    title: str
    sections: tuple[str, ...]

    @property
    def content(self) -> str:
        return "".join(self.sections)


def compose(request: ArticleRequest) -> PlaceholderArticle:
    """The article for `request`, within a few words of `word_count`."""
    return _Writer(request).article()


def pieces(text: str, words: int) -> Iterator[str]:
    """`text` in pieces of `words` words; joined they are `text`."""
    parts = re.findall(r"\s*\S+\s*", text)
    for start in range(0, len(parts), words):
        yield "".join(parts[start : start + words])


def plain(text: str) -> str:
    """`text` on one line, without control characters."""
    kept = (" " if char.isspace() else char for char in text if char.isspace() or not _is_control(char))
    return " ".join("".join(kept).split())


@lru_cache(maxsize=256)
def escape(text: str) -> str:
    """`text` as Markdown that shows it letter by letter, wherever it stands."""
    text = re.sub(r"[\\`*\[\]~|]", r"\\\g<0>", text)
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)  # within a word an underscore is harmless
    text = re.sub(r"&(?=#?\w+;)", "&amp;", text).replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"(?<!\S)#", r"\\#", text)
    text = re.sub(r"^([-+=])", r"\\\1", text)
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", text)


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs") or char in BIDI_CONTROLS


def _cut(text: str, words: int) -> str:
    kept = text.split()
    return text if len(kept) <= words else " ".join(kept[:words]) + "…"


def _capital(text: str) -> str:
    """`text` with a capital first letter, unless its first word has its own ways (`iPhone`)."""
    first = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if first.islower() else text


def _chosen(template: str, random: Random) -> str:
    return re.sub(r"\[([^\]]*)\]", lambda options: random.choice(options[1].split("|")), template)


@cache
def _slots(template: str) -> tuple[str, ...]:
    """The fields of `template`, in small letters; one empty name where it has none."""
    return tuple(slot.lower() for slot in re.findall(r"\{(\w+)\}", template)) or ("",)


def _seed(request: ArticleRequest) -> int:
    return int.from_bytes(hashlib.sha256(request.model_dump_json().encode()).digest()[:8])


class _Writer:
    """Writes one article. A sentence is used once; of the templates the least used come first."""

    def __init__(self, request: ArticleRequest) -> None:
        self._request = request
        self._random = Random(_seed(request))
        self._said: set[str] = set()
        self._uses: Counter[str] = Counter()
        self._signature = SIGNATURE if request.language.lower().split("-")[0] == "en" else SIGNATURE_FOREIGN
        self._subject = plain(request.subject) or "this topic"
        self._outline = [heading for line in request.outline if (heading := plain(line).lstrip("# "))]
        self._keywords = [keyword for line in request.keywords if (keyword := plain(line))]
        self._relaxed = not phrases.RELAXED_TONES.isdisjoint(re.findall(r"\w+", request.tone.lower()))
        self._mention_words = MENTION_WORDS
        self._make_room()
        marks = len(self._headings) + 2
        self._target = request.word_count - min(marks // 2, request.word_count // 20)  # near enough with and without marks

    def article(self) -> PlaceholderArticle:
        title = self._title()
        plan = list(zip(self._headings, self._angles(), strict=True))
        keywords = self._shares_of_keywords(len(plan))
        room = self._target - count_words(self._signature)
        opening = f"# {escape(title)}\n\n{self._introduction(room - count_words(title) - self._least_of_body())}\n\n"
        sections, room = [opening], room - count_words(opening)
        ending = self._ending(room) if self._has_ending() else ""
        room -= count_words(ending)
        spare = len(self._spare) // len(plan)
        for number, (heading, angle) in enumerate(plan):
            share = room // (len(plan) - number)
            if number < len(plan) - 1:
                share = min(share, room - self._least_of(self._headings[number + 1 :]))
            section = self._section(heading, [angle, *self._further_angles(share, spare)], share, keywords[number])
            room -= count_words(section)
            sections.append(section)
        sections.append(f"{ending}{self._signature}\n")
        if not ending:
            sections[-2:] = [sections[-2] + sections[-1]]
        return PlaceholderArticle(title, tuple(sections))

    # What fits

    def _make_room(self) -> None:
        """Shorten what the user's words would take, and drop the last headings, until the least article fits."""
        room = self._request.word_count
        if not self._outline:
            self._headings = self._own_headings()
        else:
            self._headings = [_cut(heading, max(6, room // 12)) for heading in self._outline]
            while len(self._headings) > 1 and self._least() > room:
                self._headings.pop()
            if len(self._headings) < len(self._outline):
                self._signature = f"{NOT_ALL_HEADINGS}\n\n{self._signature}"
                while len(self._headings) > 1 and self._least() > room:
                    self._headings.pop()
        while self._least() > room and self._mention_words > 1:
            self._mention_words -= 1
            self._headings = [_cut(heading, max(2, self._mention_words)) for heading in self._headings]

    def _least(self) -> int:
        title = len(self._mention(self._subject).split())
        return 2 * title + 3 + self._least_of_body() + count_words(self._signature)

    def _least_of_body(self) -> int:
        return self._least_of(self._headings)

    def _least_of(self, headings: Iterable[str]) -> int:
        mention = len(self._mention(self._subject).split())
        return sum(len(heading.split()) + mention + 6 for heading in headings)

    def _own_headings(self) -> list[str]:
        count = max(1, round((self._request.word_count - 100) / SECTION_WORDS))
        angles = [phrases.ANGLES[0], *self._random.sample(phrases.ANGLES[1:], len(phrases.ANGLES) - 1)]
        self._own_angles, self._spare = angles[:count], angles[count:]
        return [self._own_heading(number, angle) for number, angle in enumerate(self._own_angles)]

    def _own_heading(self, number: int, angle: Angle) -> str:
        """The angle's heading; with the topic in every other one where search engines are to be served."""
        if self._request.seo_optimization and number % 2 and self._request.word_count >= SHORTEST_WITH_ENDING:
            return f"{angle.heading}: {_cut(self._subject, 6)}"
        return angle.heading

    def _further_angles(self, room: int, most: int) -> list[Angle]:
        """What a long section has to say besides its first angle."""
        number = min(most, round(room / LONG_SECTION_WORDS) - 1)
        return [self._spare.pop() for _ in range(number)]

    def _has_ending(self) -> bool:
        return self._request.word_count >= SHORTEST_WITH_ENDING and not self._outline

    def _angles(self) -> list[Angle]:
        """One for each heading: where the user gave the headings, the angle whose hints it shares, else any other."""
        if not self._outline:
            return self._own_angles
        free = self._random.sample(phrases.ANGLES, len(phrases.ANGLES))
        found: dict[int, Angle] = {}
        self._spare = free
        for number, heading in enumerate(self._headings):
            words = set(re.findall(r"\w+", heading.lower()))
            best = max(free, key=lambda angle: len(words & set(angle.hints.split())), default=None)
            if best and words & set(best.hints.split()):
                found[number] = best
                free.remove(best)
        others = cycle(phrases.ANGLES)
        return [found.get(number) or (free.pop() if free else next(others)) for number in range(len(self._headings))]

    def _shares_of_keywords(self, sections: int) -> list[list[str]]:
        """The keywords of each section; as many as have room."""
        keywords = [word for word in self._keywords if plain(word) != self._subject] or self._keywords[:1]
        room, fitting = min(self._request.word_count // 4, self._request.word_count - self._least()), []
        for keyword in keywords:
            room -= len(self._mention(keyword).split()) + (8 if self._request.word_count >= SHORTEST_WITH_ENDING else 2)
            if room > 0:
                fitting.append(keyword)
        return [fitting[number::sections] for number in range(sections)]

    # The parts

    def _title(self) -> str:
        if self._request.mode == "keywords" and not self._request.topic and len(self._keywords) > 1:
            title = f"{self._keywords[0]} and {self._keywords[1]}: How They Belong Together"
        else:
            title = self._random.choice(phrases.TITLES).replace("{topic}", self._subject)
        generous = self._request.word_count >= SHORTEST_WITH_ENDING and not QUESTION.search(self._subject)
        fits = count_words(title) <= self._request.word_count // 10
        return _capital(title if generous and fits else _cut(self._subject, max(self._mention_words, 3)))

    def _introduction(self, room: int) -> str:
        generous = self._request.word_count >= SHORTEST_WITH_INTRODUCTION and room > self._request.word_count // 2
        pool = phrases.INTROS if generous else phrases.INTROS_SHORT
        first = self._fitting(pool, room, {})
        if not generous:
            return first
        more = self._random.sample(phrases.INTROS_MORE, 2 + (self._request.word_count >= 2 * SHORTEST_WITH_ENDING))
        return " ".join([first, *map(self._voiced, more)])

    def _ending(self, room: int) -> str:
        if room < self._least_of_body() + 3 * OPENING_WORDS:
            return ""
        heading = self._random.choice(phrases.ENDING_HEADINGS)
        first = self._fitting(phrases.ENDINGS, room, {})
        more = self._random.sample(phrases.ENDINGS_MORE, 1 + (self._request.word_count >= 2 * SHORTEST_WITH_ENDING))
        return f"## {heading}\n\n{' '.join([first, *map(self._voiced, more)])}\n\n"

    def _section(self, heading: str, angles: list[Angle], room: int, keywords: list[str]) -> str:
        room -= len(heading.split())
        lead = self._lead(self._fields(angles[0], heading), room)
        woven = self._woven(keywords, room - count_words(lead))
        room -= count_words(lead) + sum(map(count_words, woven))
        paragraphs: list[str] = []
        for number, angle in enumerate(angles):
            share = room // (len(angles) - number)
            opening = [] if number else [lead]
            written = self._passage(opening, angle, self._fields(angle, heading), share, woven[number :: len(angles)])
            room -= sum(map(count_words, written)) - sum(map(count_words, opening + woven[number :: len(angles)]))
            paragraphs += written
        return f"## {escape(heading)}\n\n" + "".join(f"{paragraph}\n\n" for paragraph in paragraphs)

    def _passage(self, opening: list[str], angle: Angle, fields: dict[str, str], room: int, woven: list[str]) -> list[str]:
        """The paragraphs about one angle: `opening` and `woven`, and `room` words besides."""
        checklist = self._checklist(angle, fields) if room > CHECKLIST_FROM_WORDS and self._random.random() < 0.4 else ""
        sentences, woven = [*opening], [*woven]
        for sentence in self._body([self._voiced(own) for own in angle.own], fields, room - count_words(checklist)):
            if woven and len(sentences) % 3 == 2:
                sentences.append(woven.pop())
            sentences.append(sentence)
        paragraphs = self._paragraphs(sentences + woven)
        if checklist:
            paragraphs.insert(min(len(paragraphs), self._random.choice((1, 2))), checklist)
        return paragraphs

    def _lead(self, fields: dict[str, str], room: int) -> str:
        long = phrases.OUTLINE_LEADS if self._outline and self._random.random() < 0.5 else phrases.LEADS
        return self._fitting(long if room > 2 * OPENING_WORDS else phrases.LEADS_SHORT, room, fields)

    def _body(self, own: list[str], fields: dict[str, str], room: int) -> Iterator[str]:
        """Sentences that fill `room` to within `NEAR_ENOUGH_WORDS`: the angle's own between others."""
        slots: Counter[str] = Counter()
        for turn in count():
            if room <= NEAR_ENOUGH_WORDS:
                return
            others = self._candidates(fields, slots)
            if room <= 2 * OPENING_WORDS:
                near = dict(islice(others, 24))
                sentence = self._closest([*own, *near, *phrases.SHORT], room)
            else:
                near = {} if own and turn % 2 else dict(islice(others, 1))
                sentence = next(iter(near), own[0] if own else "")
            if not sentence:
                return
            if sentence in own:
                own.remove(sentence)
            if template := near.get(sentence):
                self._uses[template] += 1
                slots.update(_slots(template))
            self._said.add(sentence)
            room -= count_words(sentence)
            yield sentence

    def _candidates(self, fields: dict[str, str], slots: Counter[str]) -> Iterator[tuple[str, str]]:
        """New sentences with their templates: those first that say what this section has said least, then the least used."""

        def said(template: str) -> tuple[int, int, float]:
            return max(slots[slot] for slot in _slots(template)), self._uses[template], self._random.random()

        for template in sorted(phrases.TEMPLATES, key=said):
            sentence = self._filled(template, fields)
            if sentence not in self._said:
                yield sentence, template

    def _closest(self, sentences: Iterable[str], room: int) -> str:
        """One that leaves nothing, or room for another whole sentence; else the one that misses by least."""

        def miss(sentence: str) -> int:
            left = room - count_words(sentence)
            return 0 if left >= OPENING_WORDS // 2 else abs(left)

        new = [sentence for sentence in sentences if sentence not in self._said]
        closest = min(new, key=miss, default="")
        return closest if closest and miss(closest) < room else ""

    def _woven(self, keywords: list[str], room: int) -> list[str]:
        said = [self._mention(keyword) for keyword in keywords]
        if not said:
            return []
        if room < len(said) * OPENING_WORDS:
            together = ", ".join(said[:-1]) + " and " + said[-1] if len(said) > 1 else said[0]
            return [phrases.KEYWORDS_AT_ONCE.replace("{keywords}", together)]
        return [self._fitting(phrases.KEYWORD_SENTENCES, room, {"keyword": keyword}) for keyword in said]

    def _checklist(self, angle: Angle, fields: dict[str, str]) -> str:
        points = "\n".join(f"- {check}" for check in angle.checks)
        if points in self._said:
            return ""
        self._said.add(points)
        return f"{self._filled(self._random.choice(phrases.CHECKLISTS), fields)}\n\n{points}"

    def _paragraphs(self, sentences: list[str]) -> list[str]:
        paragraphs, rest = [], sentences
        while rest:
            size = self._random.choice(SENTENCES_IN_PARAGRAPH)
            if len(rest) - size < min(SENTENCES_IN_PARAGRAPH):
                size = len(rest)
            paragraphs.append(" ".join(rest[:size]))
            rest = rest[size:]
        return paragraphs

    # The words

    def _fitting(self, pool: Iterable[str], room: int, fields: dict[str, str]) -> str:
        """A new sentence from the least used of `pool` that leaves room, else the shortest new one, else any."""
        order = sorted(pool, key=lambda template: (self._uses[template], self._random.random()))
        filled = [(self._filled(template, fields), template) for template in order for _ in range(FILLS_TRIED)]
        new = [(sentence, template) for sentence, template in filled if sentence not in self._said] or filled
        fitting = ((sentence, template) for sentence, template in new if count_words(sentence) <= room)
        sentence, template = next(fitting, None) or min(new, key=lambda pair: count_words(pair[0]))
        self._uses[template] += 1
        self._said.add(sentence)
        return sentence

    def _fields(self, angle: Angle, heading: str) -> dict[str, str]:
        own = {"thing": angle.thing, "act": angle.act, "fault": angle.fault, "gain": angle.gain, "sign": angle.sign}
        fields = {name: self._voiced(text) for name, text in own.items()}
        fields |= {"Gain": _capital(fields["gain"]), "Fault": _capital(fields["fault"])}
        return fields | {"heading": escape(_cut(heading, MENTION_WORDS))}

    def _filled(self, template: str, fields: dict[str, str]) -> str:
        sentence = self._voiced(_chosen(template, self._random))
        values = fields | {"topic": self._mention(self._subject)}
        return re.sub(r"\{(\w+)\}", lambda slot: values[slot[1]], sentence)

    def _voiced(self, text: str) -> str:
        if not self._relaxed:
            return text
        for formal, relaxed in phrases.RELAXED.items():
            text = re.sub(rf"\b{formal}\b", relaxed, text)
        return text

    def _mention(self, text: str) -> str:
        """The user's words inside a sentence: quoted where they would not pass for a noun."""
        quoted = QUESTION.search(text) or len(text.split()) > MENTION_WORDS
        shown = escape(_cut(text, self._mention_words))
        return f"“{shown}”" if quoted else shown
