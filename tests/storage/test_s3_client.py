"""S3 is reached as the settings and boto3's own configuration say."""

import pytest

from farm.storage.s3_client import Connection


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)


@pytest.mark.parametrize(
    ("variables", "endpoint", "style"),
    [
        ({}, "https://s3.amazonaws.com", "auto"),
        ({"FARM_S3_ENDPOINT": "http://10.0.0.5:9000"}, "http://10.0.0.5:9000", "path"),
        ({"AWS_ENDPOINT_URL_S3": "http://store.lan"}, "http://store.lan", "path"),
        (
            {"FARM_S3_ENDPOINT": "http://store.lan", "FARM_S3_PATH_STYLE": "no"},
            "http://store.lan",
            "auto",
        ),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com", "auto"),
    ],
)
def test_the_endpoint_decides_where_the_bucket_goes(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], endpoint: str, style: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = Connection().client
    assert client.meta.endpoint_url == endpoint
    assert client.meta.config.s3["addressing_style"] == style
