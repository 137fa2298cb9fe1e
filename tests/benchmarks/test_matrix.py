"""The matrix of clients: the page shows its rows, and every row is a test that exists."""

from annotator.learning.exporting.bundle import MONAI
from benchmarks.common import ROOT
from benchmarks.hub.matrix import CLIENTS, NOT_HERE, row_of

RESULTS = ("works", "fails", NOT_HERE)


def test_every_row_of_the_matrix_is_on_the_page_with_a_result():
    page = (ROOT / "docs" / "measured" / "clients.md").read_text("utf-8")
    for client in CLIENTS:
        assert sum(page.count(row_of(client, result)) for result in RESULTS) == 1, client.name
        file, _, name = client.test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text("utf-8"), client.test


def test_the_monai_of_the_tests_is_the_one_that_a_bundle_asks_for():
    pinned = (ROOT / "requirements-dev.txt").read_text("utf-8").split()
    assert set(MONAI) <= set(pinned)
    assert {f"monai=={client.version}" for client in CLIENTS if "monai." in client.name} <= set(MONAI)
