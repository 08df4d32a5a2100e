"""The program that transcodes: one video in, one MP4 out. It runs by itself (`python -I transcoder.py`), in its own process.

What it reads is a stranger's, so it knows nothing of ours: no module, no address, no secret. It opens no file that the video
names, has bounds for memory and disk, and gives way to whatever else wants the processor. It dies with whoever started it, as
the end of its standard input tells. What it has to say are lines of JSON:

    {"share": 0.25}                                              so much is done
    {"width": 854, "height": 480, "seconds": 12.5}               all is done, and the last line
    {"fault": "there is no picture in it"}                       it can't be done, and the last line
"""

from __future__ import annotations

import errno
import json
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from threading import Thread
from time import monotonic
from typing import Any

import av
from av.audio.resampler import AudioResampler

FORMATS = "mov,matroska,avi,mpeg,mpegts,flv,asf,ogg"
"""What is opened (mov is MP4's, too; matroska WebM's). Playlists are not among them: they name other files."""
MOST_PIXELS = 8192 * 4352
MOST_SECONDS = 2 * 3600
MOST_FRAMES_PER_SECOND = 60
MOST_BROKEN = 200
"""Packets that can't be decoded."""
MOST_EARLY = 5_000
"""Frames of sound, about 20 ms each."""
MEMORY_BYTES = 6 * 1024**3
LOWER_PRIORITY = 10
TELL_SECONDS = 0.5
TICKS = Fraction(1, 90_000)
VIDEO = {"preset": "veryfast", "crf": "23", "profile": "high"}
AUDIO_RATE = 48_000
AUDIO_BITS = 128_000
SLACK = AUDIO_RATE // 10
"""Samples by which sound may come too early or too late before anything is done about it: many files' times are not exact."""
UNSPECIFIED = 2
"""Of colours, and 0 is a colour space that YUV pictures are not in."""
TURNS = {90: "cclock", -90: "clock", 270: "clock", -270: "cclock", 180: "180", -180: "180"}
"""By the degrees, against the clock, that a frame says it is to be turned."""


class Refused(Exception):
    """This video can't be transcoded; the words say why."""


@dataclass(frozen=True)
class Shape:
    """How the pictures come out. `width` and `height` are before they are turned."""

    width: int
    height: int
    turn: str | None

    @property
    def turned(self) -> tuple[int, int]:
        return (self.height, self.width) if self.turn in ("clock", "cclock") else (self.width, self.height)


def shape_for(frame: Any, aspect: Fraction | None, quality: int) -> Shape:
    """Square pixels, the shorter side `quality` or what it was if that is less, both sides even."""
    width, height = frame.width * float(aspect or 1), float(frame.height)
    if not 0.1 <= width / height <= 10:  # no such picture; it is the pixels' shape that is wrong
        width = float(frame.width)
    scale = min(1.0, quality / min(width, height))
    return Shape(_even(width * scale), _even(height * scale), TURNS.get(frame.rotation))


def _even(side: float) -> int:
    return max(2, 2 * round(side / 2))


class Sound:
    """The MP4's sound: of one rate and one layout, and without gaps, whatever becomes of the source's on its way."""

    def __init__(self, container: Any, channels: int) -> None:
        self._container = container
        self._layout = "mono" if channels == 1 else "stereo"
        self._stream = container.add_stream("aac", rate=AUDIO_RATE, layout=self._layout)
        self._stream.bit_rate = AUDIO_BITS
        self._resampler: Any = None
        self._taken: tuple[str, str, int] | None = None
        self._written = 0

    def play(self, frame: Any) -> None:
        """Add sound. What is missing before it becomes silence; what should have been heard long ago is left out."""
        early = 0 if frame.pts is None else round(frame.pts * frame.time_base * AUDIO_RATE) - self._written
        if early < -SLACK:
            return
        while early > SLACK:
            silence = min(early, AUDIO_RATE)
            self._write(_silence(silence, self._layout))
            early -= silence
        taken = (frame.format.name, frame.layout.name, frame.sample_rate)
        if taken != self._taken:
            self._flush()
            self._resampler, self._taken = AudioResampler("fltp", self._layout, AUDIO_RATE), taken
        for resampled in self._resampler.resample(frame):
            self._write(resampled)

    def close(self) -> None:
        self._flush()
        self._container.mux(self._stream.encode(None))

    def _flush(self) -> None:
        for resampled in self._resampler.resample(None) if self._resampler else []:
            if resampled is not None:
                self._write(resampled)

    def _write(self, frame: Any) -> None:
        """Right behind what there is."""
        frame.pts, frame.time_base = self._written, Fraction(1, AUDIO_RATE)
        self._written += frame.samples
        self._container.mux(self._stream.encode(frame))


def _silence(samples: int, layout: str) -> Any:
    frame = av.AudioFrame(format="fltp", layout=layout, samples=samples)
    frame.sample_rate = AUDIO_RATE
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    return frame


class Film:
    """The MP4 that is being written. Its pictures' shape is the first one's."""

    def __init__(self, path: str, quality: int, source: Any, audio: Any | None) -> None:
        self._container = av.open(path, "w", format="mp4", options={"movflags": "faststart"})
        self._quality = quality
        self._source = source
        self._video: Any = None
        self._turning: Any = None
        self._last = Fraction(-1)
        self.shape: Shape | None = None
        self.seconds = Fraction(0)
        self._audio = audio
        self._sound: Sound | None = None
        self._early: list[Any] = []
        """Sound from before the first picture: the file begins once all of its streams are known."""

    def show(self, frame: Any, at: Fraction) -> None:
        """Add a picture. One that comes too soon after the one before is left out."""
        if at - self._last < Fraction(1, MOST_FRAMES_PER_SECOND + 1):
            return
        if frame.width * frame.height > MOST_PIXELS:
            raise Refused(f"its pictures have more than {MOST_PIXELS // 10**6} million pixels")
        if self._video is None:
            self._begin(frame)
        assert self.shape is not None
        small = frame.reformat(self.shape.width, self.shape.height, "yuv420p", interpolation="BICUBIC")
        small.pts, small.time_base = round(at / TICKS), TICKS
        if self._turning is not None:
            self._turning.vpush(small)
            small = self._turning.vpull()
            small.pts, small.time_base = round(at / TICKS), TICKS
        small.pict_type = 0  # the encoder's choice, not the source's
        self._container.mux(self._video.encode(small))
        self._last = at
        self.seconds = max(self.seconds, at)

    def play(self, frame: Any) -> None:
        """Add sound."""
        if self._sound is not None:
            self._sound.play(frame)
            return
        self._early.append(frame)
        if len(self._early) > MOST_EARLY:
            raise Refused("its pictures begin long after its sound")

    def close(self) -> None:
        if self._video is None:
            raise Refused("none of its pictures can be decoded")
        self._container.mux(self._video.encode(None))
        if self._sound is not None:
            self._sound.close()
        self._container.close()

    def _begin(self, frame: Any) -> None:
        rate = self._source.average_rate or self._source.guessed_rate or Fraction(25)
        rate = min(max(Fraction(rate), Fraction(1)), Fraction(MOST_FRAMES_PER_SECOND))
        self.shape = shape_for(frame, self._source.sample_aspect_ratio, self._quality)
        self._video = self._container.add_stream("libx264", rate=rate, options=VIDEO)
        self._video.width, self._video.height = self.shape.turned
        self._video.pix_fmt = "yuv420p"
        context = self._video.codec_context
        context.time_base = TICKS
        context.thread_count = min(4, os.cpu_count() or 1)
        if frame.colorspace not in (0, UNSPECIFIED):
            context.colorspace = frame.colorspace
            context.color_primaries = frame.color_primaries
            context.color_trc = frame.color_trc
        if self.shape.turn:
            self._turning = _turning(self.shape)
        if self._audio is not None:
            self._sound = Sound(self._container, self._audio.layout.nb_channels)
            early, self._early = self._early, []
            for each in early:
                self._sound.play(each)


def _turning(shape: Shape) -> Any:
    graph = av.filter.Graph()
    pictures = graph.add_buffer(
        width=shape.width, height=shape.height, format=av.VideoFormat("yuv420p"), name=None, time_base=TICKS
    )
    turns = [graph.add("transpose", shape.turn)] if shape.turn != "180" else [graph.add("hflip"), graph.add("vflip")]
    graph.link_nodes(pictures, *turns, graph.add("buffersink")).configure()
    return graph


def transcode(source: str, target: str, quality: int) -> Iterator[dict[str, Any]]:
    """What there is to say while the video at `source` becomes an MP4 at `target`.

    Raises:
        Refused: it is none, or a broken one, or too long.
    """
    try:
        container: Any = av.open(source, options={"format_whitelist": FORMATS, "protocol_whitelist": "file"})
    except (av.FFmpegError, ValueError):
        raise Refused("it is no video, or cut off, or of a format that is not taken") from None
    with container:
        pictures = [stream for stream in container.streams.video if not _is_cover(stream)]
        if not pictures:
            raise Refused("there is no moving picture in it")
        video = pictures[0]
        sounds = [stream for stream in container.streams.audio if stream.codec_context is not None]
        audio = sounds[0] if sounds else None
        long = _seconds_of(container, video)
        if long > MOST_SECONDS:
            raise _too_long()
        if video.codec_context is None or video.codec_context.width * video.codec_context.height > MOST_PIXELS:
            raise Refused(f"its pictures are of an unknown kind, or have more than {MOST_PIXELS // 10**6} million pixels")
        video.thread_type = "AUTO"
        film = Film(target, quality, video, audio)
        yield from _reencode(container, video, audio, film, long)
        film.close()
    assert film.shape is not None
    with av.open(target) as made:
        width, height = film.shape.turned
        yield {"width": width, "height": height, "seconds": (made.duration or 0) / av.time_base}


def _reencode(container: Any, video: Any, audio: Any | None, film: Film, long: float) -> Iterator[dict[str, Any]]:
    streams = [stream for stream in (video, audio) if stream is not None]
    begins = min((stream.start_time * stream.time_base for stream in streams if stream.start_time is not None), default=0)
    told = monotonic()
    for stream, frame, byte in _frames(container, streams):
        if stream is video:
            at = film.seconds + Fraction(1, 25) if frame.pts is None else Fraction(frame.pts * frame.time_base) - begins
            if at > MOST_SECONDS:
                raise _too_long()
            if at >= 0:
                film.show(frame, at)
        else:
            if frame.pts is not None:
                frame.pts -= round(begins / frame.time_base)
            if frame.pts is None or frame.pts * frame.time_base <= MOST_SECONDS:  # else it is the time that is broken
                film.play(frame)
        if monotonic() - told > TELL_SECONDS:
            told = monotonic()
            share = (
                float(film.seconds) / long if long else byte / max(container.size, 1)
            )  # a recording may not say how long it is
            yield {"share": min(1.0, round(share, 4))}


def _frames(container: Any, streams: list[Any]) -> Iterator[tuple[Any, Any, int]]:
    """Until the file ends or breaks off; then what the decoders still hold. Each with how many bytes were read by then."""
    broken = byte = 0
    try:
        for packet in container.demux(*streams):
            byte = max(byte, packet.pos or 0)
            try:
                frames = packet.decode()
            except av.FFmpegError:
                broken += 1
                if broken > MOST_BROKEN:
                    raise Refused("too much of it is broken") from None
                continue
            for frame in frames:
                yield packet.stream, frame, byte
    except av.FFmpegError:
        for stream in streams:
            with suppress(av.FFmpegError, EOFError):
                for frame in stream.decode(None):
                    yield stream, frame, byte


def _seconds_of(container: Any, video: Any) -> float:
    if container.duration:
        return float(container.duration / av.time_base)
    return float(video.duration * video.time_base) if video.duration else 0.0


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _too_long() -> Refused:
    return Refused(f"it is longer than {MOST_SECONDS // 3600} hours")


def _die_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)


def main() -> None:
    source, target, quality, most_bytes = sys.argv[1:]
    Thread(target=_die_with_parent, daemon=True).start()
    os.nice(LOWER_PRIORITY)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most_bytes), int(most_bytes)))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    av.logging.set_level(None)
    try:
        for word in transcode(source, target, int(quality)):
            sys.stdout.write(json.dumps(word) + "\n")
            sys.stdout.flush()
    except Refused as fault:
        sys.stdout.write(json.dumps({"fault": str(fault)}) + "\n")
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        sys.stdout.write(json.dumps({"fault": "it is too large once it is transcoded"}) + "\n")


if __name__ == "__main__":
    main()
