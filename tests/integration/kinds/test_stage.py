"""A copy is the very bytes of its source, wherever it goes; links that are secrets stay so."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import boto3
import pytest

from backend.db.engine import Database
from backend.errors import InvalidRequest, UnsupportedInput
from backend.jobs.resource import job_resources
from backend.settings import Settings
from tests.conftest import Said
from tests.integration.kinds.shop import Shop

BYTES = os.urandom(9 * 2**20 + 17)  # more than one block


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "Иван 1.bin"
    path.write_bytes(BYTES)
    return path


def test_a_copy_in_our_own_store_is_told_with_size_and_checksum(shop: Shop, source: Path, tmp_path: Path) -> None:
    job = shop.made("stage", str(source))
    assert shop.result(job, tmp_path / "..").read_bytes() == BYTES
    (resource,) = job_resources(shop.service.database, [job])
    assert resource["output"]["size_bytes"] == len(BYTES)
    assert resource["video"] is None and resource["sound"] is None
    told = json.loads(shop.store.get(f"jobs/{job.id}/copy.json"))
    assert told == {"size_bytes": len(BYTES), "sha256": hashlib.sha256(BYTES).hexdigest()}
    assert (job.output_key or "").endswith("_copy.bin")


def test_an_empty_file_is_copied_too(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    job = shop.made("stage", str(tmp_path / "empty"))
    assert (job.status, job.output_size) == ("done", 0)


def test_from_bucket_to_bucket_and_on_to_a_signed_link(
    s3_shop: Shop, s3: boto3.client, s3_server: str, said: list[Said]
) -> None:
    s3.put_object(Bucket="there", Key="in/a.mov", Body=BYTES)
    job = s3_shop.made("stage", "s3://there/in/a.mov", output_uri="s3://there/out/any.thing")
    assert (job.status, job.output_uri, job.warnings) == ("done", "s3://there/out/any.thing", [])
    assert s3.get_object(Bucket="there", Key="out/any.thing")["Body"].read() == BYTES
    put_url = s3.generate_presigned_url("put_object", Params={"Bucket": "there", "Key": "out/signed.mov"})
    get_url = s3.generate_presigned_url("get_object", Params={"Bucket": "there", "Key": "in/a.mov"})
    signed = s3_shop.made("stage", get_url, output_put_url=put_url)
    assert (signed.status, signed.error_message) == ("done", None)
    assert s3.get_object(Bucket="there", Key="out/signed.mov")["Body"].read() == BYTES
    assert signed.warnings == ["The copy's checksum could not be compared: a PUT link cannot be read."]
    assert signed.output_uri == f"{s3_server}/there/out/signed.mov"
    shown = json.dumps(job_resources(s3_shop.service.database, [signed])) + repr(said)
    assert "Signature" not in shown
    assert signed.output_put_url is None


def test_a_source_with_another_checksum_than_asked_for_is_not_copied(shop: Shop, source: Path) -> None:
    job = shop.made("stage", str(source), {"sha256": "0" * 64})
    assert (job.status, job.error_code) == ("failed", "source_changed")
    assert not [key for key in shop.store.list(f"jobs/{job.id}/") if "output" in key]


def test_a_link_that_has_expired_is_refused_before_anything_is_read(shop: Shop, source: Path) -> None:
    query = "X-Amz-Date=20200101T000000Z&X-Amz-Expires=60&X-Amz-Signature=secret"
    job = shop.made("stage", str(source), output_put_url=f"http://127.0.0.1:9/a.bin?{query}")
    assert (job.status, job.error_code) == ("failed", "output_unwritable")
    assert "expired" in (job.error_message or "") and "secret" not in (job.error_message or "")


def test_a_link_into_the_machines_own_network_is_refused(database: Database, settings: Settings, source: Path) -> None:
    careful = Shop(database, settings.model_copy(update={"http_allow_private": False}))
    job = careful.made("stage", str(source), output_put_url="http://127.0.0.1:9/a.bin")
    assert (job.status, job.error_code) == ("failed", "output_unwritable")


def test_two_places_and_what_is_no_link_are_refused_by_their_name(shop: Shop, source: Path) -> None:
    with pytest.raises(InvalidRequest, match="not both"):
        shop.made("stage", str(source), output_put_url="https://h/a", output_uri="s3://there/a")
    with pytest.raises(UnsupportedInput, match="output_put_url"):
        shop.made("stage", str(source), output_put_url="ftp://h/a")
    with pytest.raises(InvalidRequest, match="ends in"):
        shop.made("crop", str(source), output_put_url="https://h/a.mkv?X-Amz-Signature=secret")
