import pytest

pytest.importorskip("docker")
