"""What may not be shown is left out of whatever text it stands in, and nothing else is."""

from __future__ import annotations

import pytest

from serm.core.discretion import discreet, login_of, without_login, without_logins


@pytest.mark.parametrize(
    ("text", "shown", "login"),
    [
        ("http://me:secret@h:8000/v1#qwen", "http://h:8000/v1#qwen", "me:secret"),
        ("https://token@h/v1", "https://h/v1", "token"),
        ("http://me:p@ss@h", "http://h", "me:p@ss"),
        (
            "postgresql+psycopg://me:s%2Fx@h/db?a=b",
            "postgresql+psycopg://h/db?a=b",
            "me:s%2Fx",
        ),
        ("postgresql://me:s/x#y@h/db", "postgresql://h/db", "me:s/x#y"),
        ("mysql+pymysql://h:3306/db", "mysql+pymysql://h:3306/db", ""),
        ("https://h:8000/v1#model@2024", "https://h:8000/v1#model@2024", ""),
        ("http://h:8000/v1#model@2024", "http://h:8000/v1#model@2024", ""),
        ("http://h/a@b, mail me@example.org", "http://h/a@b, mail me@example.org", ""),
        ("openai:gpt-4o", "openai:gpt-4o", ""),
        ("sqlite:///w/mlflow.db", "sqlite:///w/mlflow.db", ""),
    ],
)
def test_a_url_is_shown_without_its_login(text: str, shown: str, login: str) -> None:
    assert without_login(text) == shown
    assert login_of(text) == login


def test_every_url_of_a_text_and_every_text_of_a_config_is_looked_at() -> None:
    assert without_login("http://a:b@c and http://d:e@f/g failed") == "http://c and http://f/g failed"
    config = {
        "judges": [{"backend": "http://a:b@c#m", "grades": {"0": 1}}],
        "seed": 7,
        "agents": None,
    }
    shown = {"judges": [{"backend": "http://c#m", "grades": {"0": 1}}], "seed": 7, "agents": None}
    assert without_logins(config) == shown


def test_keys_that_variables_hold_are_left_out_of_what_servers_say() -> None:
    environment = {"OPENAI_API_KEY": "sk-0123456789", "SHORT_TOKEN": "no", "HOME": "/home/anna"}
    said = "Incorrect API key sk-0123456789 at http://a:b@c: no such file in /home/anna"
    assert discreet(said, environment) == "Incorrect API key *** at http://c: no such file in /home/anna"


@pytest.mark.parametrize(
    "name",
    [
        "WATSONX_APIKEY",
        "AWS_BEARER_TOKEN_BEDROCK",
        "AZURE_AI_CREDENTIAL",
        "PGPASSWORD",
        "MY_SECRET",
        "my_token",
    ],
)
def test_variables_that_providers_and_databases_read_hold_keys_too(name: str) -> None:
    assert discreet("it was abcdefgh1 here", {name: "abcdefgh1"}) == "it was *** here"
