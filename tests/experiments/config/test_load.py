from __future__ import annotations

import pytest

from sb3_integral.experiments.config.load import ConfigError, load_config


@pytest.mark.parametrize("text", ["sizes: [16", "a: b: c", "\tname: x", "a: !!python/object:list {}"])
def test_what_is_not_yaml_is_an_error_that_names_the_file(tmp_path, text):
    path = tmp_path / "broken.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"{path} cannot be read as YAML: "):
        load_config(path)


def test_what_is_not_text_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "binary.yml"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ConfigError, match=rf"{path} cannot be read as YAML: "):
        load_config(path)


@pytest.mark.parametrize("text", ["", "just text", "[1, 2]", "3"])
def test_yaml_of_something_else_is_an_error_that_names_the_file(tmp_path, text):
    path = tmp_path / "other.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"{path} is not a valid experiment"):
        load_config(path)


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yml cannot be read as YAML: .*No such file"):
        load_config(tmp_path / "nowhere.yml")
    with pytest.raises(ConfigError, match=f"{tmp_path} cannot be read as YAML"):
        load_config(tmp_path)
