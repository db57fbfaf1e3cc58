"""The knowledge base over a real Chroma: what it holds, what it never finds, and what a kill leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from knowledge_world import PAIRS, STRANGER, Counting

from serm.core.columns import document_text
from serm.core.errors import StorageError, WorkspaceLockedError
from serm.core.records import Pair
from serm.storage import chroma
from serm.storage.chroma import Floats
from serm.storage.knowledge import open_knowledge


def pair_of(row: Any) -> Pair:
    return Pair(row.query_id, row.doc_id, row.query, row.text, row.title)


def test_a_search_finds_what_is_nearest_by_the_encoder(
    tmp_path: Path, encoder: Any, labels: pd.DataFrame
) -> None:
    texts = list(dict.fromkeys(document_text(PAIRS["title"], PAIRS["text"])))
    documents = document_text(labels["title"], labels["text"])
    given = set(zip(labels["query"], documents, labels["grade"], strict=True))
    with open_knowledge(tmp_path, None, encoder, PAIRS, labels) as knowledge:
        assert knowledge.sizes == {"passages": len(texts), "judged": 40}
        for query in ("red lamp", "a golden violin", "सस्ती घड़ी"):
            found = knowledge.search(query, 4, STRANGER)
            cosines = encoder.embed_documents(texts) @ encoder.embed_queries([query])[0]
            best = np.sort(cosines)[::-1][:4]
            assert [passage.similarity for passage in found.passages] == pytest.approx(best, abs=1e-5)
            assert found.passages[0].text in {texts[i] for i in np.flatnonzero(cosines > best[0] - 1e-5)}
            assert len(found.judged) == 4
            for judged in found.judged:
                assert (judged.query, judged.document, judged.grade) in given
                assert judged.outcome == "unanimous"


def test_a_pair_finds_neither_its_own_document_nor_its_own_label(
    tmp_path: Path, encoder: Any, labels: pd.DataFrame
) -> None:
    with open_knowledge(tmp_path, None, encoder, PAIRS, labels) as knowledge:

        def judged(query: str, pair: Pair) -> list[tuple[str, str]]:
            return [(item.query, item.document) for item in knowledge.search(query, 40, pair).judged]

        for row in labels.itertuples():
            document = document_text([row.title], [row.text])[0]
            found = knowledge.search(f"{row.query}\n{document}", 40, pair_of(row))
            assert document not in [passage.text for passage in found.passages]
            assert len(found.judged) == 39
            own = (row.query, document)
            assert own not in [(item.query, item.document) for item in found.judged]
        reworded = Pair(row.query_id, row.doc_id, "another wording", "another text")
        renamed = Pair("q-new", "d-new", row.query, row.text, row.title)
        other = Pair("q-new", "d-new", row.query, "another text")
        assert own not in judged(row.query, reworded), "known by its ids"
        assert own not in judged(row.query, renamed), "known by its texts"
        assert own in judged(row.query, other), "another document of the query may see it"


def test_filling_again_adds_what_is_new_and_removes_what_is_gone(
    tmp_path: Path, encoder: Any, labels: pd.DataFrame
) -> None:
    counting = Counting(encoder)
    versions = []
    for pairs, judged in (
        (PAIRS, labels),
        (PAIRS, labels),
        (PAIRS, labels.assign(grade=0)),
        (PAIRS.head(8), None),
        (PAIRS, labels),
    ):
        before = len(counting.documents)
        with open_knowledge(tmp_path, None, counting, pairs, judged) as knowledge:
            texts = set(document_text(pairs["title"], pairs["text"]))
            assert knowledge.sizes == {
                "passages": len(texts),
                "judged": 0 if judged is None else 40,
            }
            versions.append(knowledge.version)
            if len(versions) == 2:
                assert len(counting.documents) == before, "what is there is not embedded again"
            if len(versions) == 3:
                assert {item.grade for item in knowledge.search("red lamp", 10, STRANGER).judged} == {0}
    same, again, regraded, smaller, back = versions
    assert same == again == back
    assert len({same, regraded, smaller}) == 3
    with open_knowledge(tmp_path / "elsewhere", None, encoder, PAIRS.sample(frac=1), labels) as knowledge:
        assert knowledge.version == same, "the version says what is in, not when or where it came in"


def test_equal_texts_are_one_row_and_the_last_label_counts(tmp_path: Path, encoder: Any) -> None:
    twice = pd.concat([PAIRS.head(3), PAIRS.head(3).assign(query_id="other", doc_id="copy")])
    labels = twice.assign(grade=[0, 0, 0, 3, 3, 3], outcome="majority")
    with open_knowledge(tmp_path, None, encoder, twice, labels) as knowledge:
        assert knowledge.sizes == {"passages": 3, "judged": 3}
        assert {item.grade for item in knowledge.search("red lamp", 9, STRANGER).judged} == {3}


def test_vectors_of_another_encoder_are_never_mixed_in(tmp_path: Path, encoder: Any) -> None:
    first, second = Counting(encoder), Counting(encoder, id="other weights")
    with open_knowledge(tmp_path, None, first, PAIRS) as knowledge:
        version, size = knowledge.version, knowledge.sizes["passages"]
    with open_knowledge(tmp_path, None, second, PAIRS) as knowledge:
        assert len(second.documents) == size == knowledge.sizes["passages"]
        assert knowledge.version != version


def test_nothing_in_it_and_nothing_is_found(tmp_path: Path, encoder: Any) -> None:
    with open_knowledge(tmp_path, None, encoder, PAIRS.head(0), PAIRS.head(0).assign(outcome="")) as empty:
        found = empty.search("red lamp", 4, STRANGER)
        assert (found.passages, found.judged) == ((), ())
        empty.close()  # twice is fine


def test_a_query_is_encoded_once_and_threads_search_at_the_same_time(tmp_path: Path, encoder: Any) -> None:
    counting = Counting(encoder)
    with open_knowledge(tmp_path, None, counting, PAIRS) as knowledge:
        expected = {query: knowledge.search(query, 3, STRANGER) for query in ("red lamp", "blue shoe")}
        wrong: list[str] = []

        def work() -> None:
            for query in ("red lamp", "blue shoe") * 10:
                if knowledge.search(query, 3, STRANGER) != expected[query]:
                    wrong.append(query)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert sorted(counting.queries) == ["blue shoe", "red lamp"]


def test_a_long_document_is_embedded_whole_and_shown_in_part(tmp_path: Path, encoder: Any) -> None:
    pairs = pd.DataFrame({"text": ["red lamp " * 1_000, "blue shoe"]})
    counting = Counting(encoder)
    with open_knowledge(tmp_path, None, counting, pairs) as knowledge:
        texts = [passage.text for passage in knowledge.search("red lamp", 2, STRANGER).passages]
    assert sorted(map(len, texts)) == [9, 1_000]
    assert max(map(len, counting.documents)) == 9_000


PROGRAM = """
import sys
import numpy as np, pandas as pd
from pathlib import Path
from serm.storage import chroma
from serm.storage.knowledge import open_knowledge
class Embedder:
    id = "random"
    def embed_documents(self, texts):
        print(len(texts), flush=True)
        rows = [np.random.default_rng(len(text)).normal(size=16) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32)
    embed_queries = embed_documents
chroma.BATCH = 20
pairs = pd.DataFrame({"text": ["x" * number for number in range(1, 401)]})
open_knowledge(Path(sys.argv[1]), None, Embedder(), pairs).close()
"""


def test_after_kill_9_while_it_is_filled_it_finds_what_is_there(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(8):
        process.stdout.readline()
    with pytest.raises(WorkspaceLockedError, match="another process"):
        open_knowledge(tmp_path, None, Numbers(), pd.DataFrame({"text": ["x"]}))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL

    numbers = Numbers()
    texts = ["x" * number for number in range(1, 401)]
    with open_knowledge(tmp_path, None, numbers, pd.DataFrame({"text": texts})) as knowledge:
        assert len(numbers.read) <= 400 - 7 * 20, "at most the batch in flight is lost"
        assert knowledge.sizes["passages"] == 400
        for number in (1, 50, 130, 300, 400):  # rows from before the kill and from after
            (found,) = knowledge.search("x" * number, 1, STRANGER).passages
            assert found.similarity == pytest.approx(1.0, abs=1e-5)
            assert found.text == "x" * number


class Numbers:
    """A vector for each length of a text."""

    id = "random"

    def __init__(self) -> None:
        self.read: list[str] = []

    def embed_documents(self, texts: Sequence[str]) -> Floats:
        self.read += texts
        rows = [np.random.default_rng(len(text)).normal(size=16) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32)

    def embed_queries(self, texts: Sequence[str]) -> Floats:
        return self.embed_documents(texts)


def test_what_is_no_database_is_a_sentence(tmp_path: Path, encoder: Any) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(b"no database" * 100)
    with pytest.raises(StorageError, match="can be removed"):
        open_knowledge(tmp_path, None, encoder, PAIRS)


def test_nobody_is_told_and_no_file_of_the_user_is_read(
    tmp_path: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("ANONYMIZED_TELEMETRY=true\nCHROMA_SERVER_HOST=elsewhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    settings = chroma._settings()
    assert (settings.anonymized_telemetry, settings.chroma_server_host) == (False, None)
    with open_knowledge(tmp_path / "k", None, encoder, PAIRS) as knowledge:
        knowledge.search("red lamp", 4, STRANGER)
    assert not (tmp_path / "home").exists()
