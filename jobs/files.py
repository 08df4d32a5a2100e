"""Where the bytes of images and videos lie: MongoDB's GridFS, or an S3 bucket when `MEDIA_BUCKET` is set."""

from __future__ import annotations

import shutil
from contextlib import suppress
from functools import cache
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from botocore.exceptions import BotoCoreError, ClientError
from gridfs.errors import NoFile

from jobs.database import Database, available, database
from jobs.errors import Retryable
from queues.clients import make_client
from settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

S3_READ_SECONDS = 60
SPOOL_BYTES = 8 * 1024 * 1024
"""Files up to this size stay in memory while they are read."""


class StorageUnavailable(Retryable):
    """The store of images and videos does not answer just now. The job is tried again."""

    code = "internal"


class Files(Protocol):
    """A store of files by key. Keys hold a lease token, so no attempt writes over another's file."""

    def put(self, key: str, file: BinaryIO, content_type: str) -> None:
        """Store the file, read from where it stands to its end. Storing a key again is harmless."""

    def open(self, key: str) -> BinaryIO | None:
        """The file, readable and seekable, or None."""

    def url(self, key: str, *, name: str) -> str | None:
        """A link that lets its holder fetch the file for a while, or None where the store has none."""

    def delete(self, key: str) -> None:
        """Delete the file if it is there."""


class GridFSFiles:
    """Files in MongoDB: nothing else has to be run.

    A file's id there is its key. So its pieces can be found by it and deleted even where a kill in the middle left no more of
    the file than pieces.
    """

    def __init__(self, source: Database) -> None:
        self._source = source

    def put(self, key: str, file: BinaryIO, content_type: str) -> None:
        with available():
            bucket = self._source.files()
            with suppress(NoFile):
                bucket.delete(key)
            bucket.upload_from_stream_with_id(key, key, file, metadata={"content_type": content_type})

    def open(self, key: str) -> BinaryIO | None:
        with available():
            try:
                return cast(BinaryIO, self._source.files().open_download_stream_by_name(key))
            except NoFile:
                return None

    def url(self, key: str, *, name: str) -> str | None:
        return None

    def delete(self, key: str) -> None:
        with available():
            bucket = self._source.files()
            with suppress(NoFile):
                bucket.delete(key)
            for found in bucket.find({"filename": key}):  # as an earlier release named it
                bucket.delete(found._id)


class S3Files:
    """Files in an S3 bucket; users fetch them from S3 by presigned links."""

    def __init__(self, bucket: str, url_seconds: int) -> None:
        self._bucket = bucket
        self._url_seconds = url_seconds
        self._client: S3Client = make_client("s3", read_seconds=S3_READ_SECONDS)

    def put(self, key: str, file: BinaryIO, content_type: str) -> None:
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=file, ContentType=content_type, ServerSideEncryption="AES256"
            )
        except (BotoCoreError, ClientError) as error:
            raise StorageUnavailable(f"The bucket {self._bucket} did not take the file: {error}") from error

    def open(self, key: str) -> BinaryIO | None:
        try:
            found = SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 - the caller closes it
            shutil.copyfileobj(self._client.get_object(Bucket=self._bucket, Key=key)["Body"], found)
            found.seek(0)
            return cast(BinaryIO, found)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in {"NoSuchKey", "404"}:
                return None
            raise StorageUnavailable(f"The bucket {self._bucket} did not give the file: {error}") from error
        except BotoCoreError as error:
            raise StorageUnavailable(f"The bucket {self._bucket} did not give the file: {error}") from error

    def url(self, key: str, *, name: str) -> str | None:
        return self._client.generate_presigned_url(
            "get_object",
            Params={"Bucket": self._bucket, "Key": key, "ResponseContentDisposition": f'inline; filename="{name}"'},
            ExpiresIn=self._url_seconds,
        )

    def delete(self, key: str) -> None:
        try:
            self._client.delete_object(Bucket=self._bucket, Key=key)
        except (BotoCoreError, ClientError) as error:
            raise StorageUnavailable(f"The bucket {self._bucket} did not delete the file: {error}") from error


@cache
def files() -> Files:
    """The process's store of files."""
    configured = settings()
    if configured.media_bucket:
        return S3Files(configured.media_bucket, configured.media_url_seconds)
    return GridFSFiles(database())
