from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from serm.core.errors import ModelError
from serm.core.records import GRADES
from serm.core.settings_loop import ModelSettings, TrainingSettings
from serm.relevance_model.base import RelevanceModel, Scores
from serm.relevance_model.biencoder import BiEncoder
from serm.relevance_model.examples import examples
from serm.relevance_model.layers import average_into, freeze
from serm.relevance_model.loading import open_base
from serm.relevance_model.train import calibrate, train


def _scores(model: RelevanceModel, frame: pd.DataFrame) -> Scores:
    return model.score(frame["query"].tolist(), frame["text"].tolist(), frame["language"].tolist())


def _likelihood(model: RelevanceModel, frame: pd.DataFrame) -> float:
    """Mean log-likelihood of the grades."""
    probabilities = _scores(model, frame).probabilities[np.arange(len(frame)), frame["grade"]]
    return float(np.log(probabilities).mean())


def _ndcg(model: RelevanceModel, frame: pd.DataFrame) -> float:
    """Mean NDCG@1 over queries: 1 where the answer comes first."""
    scored = frame.assign(score=_scores(model, frame).expected)
    best = scored.sort_values("score", ascending=False).groupby("query_id").first()
    return float(((2.0 ** best["grade"] - 1) / 7).mean())


@pytest.fixture
def start(tiny: ModelSettings) -> BiEncoder:
    model = open_base(tiny, None)
    assert isinstance(model, BiEncoder)
    return model


@pytest.fixture
def halves(toy: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two colours' queries of every topic to learn from, the third's to test on."""
    held_out = toy["query_id"].str.endswith("-2")
    return toy[~held_out].reset_index(drop=True), toy[held_out].reset_index(drop=True)


def test_training_raises_ndcg_and_likelihood_on_queries_it_has_not_seen(
    start: BiEncoder, quick: TrainingSettings, halves: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    learn, test = halves
    trained = train(start, learn, quick, seed=1)
    assert _ndcg(trained, test) > _ndcg(start, test) + 0.2
    assert _likelihood(trained, test) > _likelihood(train(start, learn, quick, seed=1, epochs=0), test) + 0.1


def test_the_same_start_data_settings_and_seed_give_the_same_model(
    tiny: ModelSettings, quick: TrainingSettings, toy: pd.DataFrame
) -> None:
    short = quick.model_copy(update={"epochs": 1})
    first = train(open_base(tiny, None), toy, short, seed=4)
    torch.manual_seed(99)  # what else runs in the process has no say
    second = train(open_base(tiny, None), toy, short, seed=4)
    assert first.id == second.id
    assert train(open_base(tiny, None), toy, short, seed=5).id != first.id


def test_training_leaves_its_start_as_it_was(
    start: BiEncoder, quick: TrainingSettings, toy: pd.DataFrame
) -> None:
    before = [parameter.clone() for parameter in start.encoder.model.parameters()]
    train(start, toy, quick.model_copy(update={"epochs": 1}), seed=1)
    assert all(
        bool((now == then).all()) for now, then in zip(start.encoder.model.parameters(), before, strict=True)
    )


def test_no_epoch_fits_the_head_alone(start: BiEncoder, quick: TrainingSettings, toy: pd.DataFrame) -> None:
    fitted = train(start, toy, quick, seed=1, epochs=0)
    assert isinstance(fitted, BiEncoder)
    assert fitted.encoder.weights_id == start.encoder.weights_id
    assert fitted.head != start.head
    assert _likelihood(fitted, toy) > _likelihood(start, toy)


def test_frozen_layers_do_not_move_and_the_others_do(
    start: BiEncoder, quick: TrainingSettings, toy: pd.DataFrame
) -> None:
    trained = train(start, toy, quick.model_copy(update={"epochs": 1, "freeze_layers": 1}), seed=1)
    assert isinstance(trained, BiEncoder)
    old, new = start.encoder.model.state_dict(), trained.encoder.model.state_dict()
    moved = {name for name, tensor in old.items() if not torch.equal(tensor, new[name])}
    assert not [name for name in moved if "embeddings" in name or "layer.0." in name]
    assert [name for name in moved if "layer.1." in name]


def test_freezing_more_layers_than_there_are_leaves_the_head_to_learn(
    start: BiEncoder, quick: TrainingSettings, toy: pd.DataFrame
) -> None:
    trained = train(start, toy, quick.model_copy(update={"epochs": 1, "freeze_layers": 9}), seed=1)
    assert isinstance(trained, BiEncoder)
    assert trained.encoder.weights_id == start.encoder.weights_id


def test_a_network_without_layers_cannot_be_frozen_and_says_so() -> None:
    with pytest.raises(ModelError, match="no layers"):
        freeze(torch.nn.Linear(2, 2), 1)


def test_averaging_lies_between_the_two_models() -> None:
    mine, theirs = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    mine.weight.data.fill_(1.0)
    theirs.weight.data.fill_(5.0)
    average_into(mine, theirs, 0.25)
    assert mine.weight.item() == pytest.approx(2.0)


def test_averaging_leaves_equal_weights_as_they_are_to_the_bit() -> None:
    mine, theirs = torch.nn.Linear(2, 1, bias=False), torch.nn.Linear(2, 1, bias=False)
    mine.weight.data.copy_(torch.tensor([[-0.0, 3.0]]))
    theirs.weight.data.copy_(torch.tensor([[-0.0, 3.0]]))
    average_into(mine, theirs, 0.25)
    assert torch.signbit(mine.weight).tolist() == [[True, False]]


def test_averaging_with_the_start_keeps_the_model_nearer_to_it(
    start: BiEncoder, quick: TrainingSettings, toy: pd.DataFrame
) -> None:
    def distance(average: float) -> float:
        trained = train(start, toy, quick.model_copy(update={"epochs": 1, "average": average}), seed=1)
        assert isinstance(trained, BiEncoder)
        pairs = zip(trained.encoder.model.parameters(), start.encoder.model.parameters(), strict=True)
        return sum(float((new - old).detach().abs().sum()) for new, old in pairs)

    assert distance(0.75) == pytest.approx(distance(0.0) / 4, rel=1e-3)


def test_accumulating_two_half_batches_counts_half_as_many_steps(
    start: BiEncoder, quick: TrainingSettings, toy: pd.DataFrame
) -> None:
    seen: list[tuple[int, int]] = []
    settings = quick.model_copy(update={"epochs": 1, "queries_per_batch": 2, "gradient_accumulation": 2})
    train(start, toy, settings, seed=1, progress=lambda done, total: seen.append((done, total)))
    queries = toy["query_id"].nunique()
    assert seen == [(step, -(-queries // 4)) for step in range(1, -(-queries // 4) + 1)]


@pytest.mark.slow
def test_training_in_bfloat16_learns_too(
    tiny: ModelSettings, quick: TrainingSettings, toy: pd.DataFrame
) -> None:
    start = open_base(tiny.model_copy(update={"precision": "bfloat16"}), None)
    assert _ndcg(train(start, toy, quick, seed=1), toy) > _ndcg(start, toy) + 0.2


def test_a_precision_may_follow_another_in_one_process(
    tiny: ModelSettings, quick: TrainingSettings, toy: pd.DataFrame
) -> None:
    short = quick.model_copy(update={"epochs": 1})
    for precision in ("float32", "bfloat16", "float32"):
        train(open_base(tiny.model_copy(update={"precision": precision}), None), toy, short, seed=1)


@pytest.mark.parametrize(("rate", "epochs"), [(1e30, 8), (1e38, 1), (1e20, 1)])
def test_a_learning_rate_that_diverges_ends_in_a_sentence_be_it_in_the_last_step(
    start: BiEncoder, quick: TrainingSettings, toy: pd.DataFrame, rate: float, epochs: int
) -> None:
    given = quick.model_copy(update={"learning_rate": rate, "epochs": epochs, "queries_per_batch": 6})
    with pytest.raises(ModelError, match="diverged"):
        train(start, toy, given, seed=1)


def test_nothing_to_learn_from_is_an_error_of_its_own(
    start: BiEncoder, quick: TrainingSettings, toy: pd.DataFrame
) -> None:
    with pytest.raises(ModelError, match="no labelled pair"):
        train(start, toy.head(0), quick, seed=1)


def test_soft_targets_are_the_vote_shares_where_a_row_has_them(toy: pd.DataFrame) -> None:
    shares = toy.head(2).assign(p0=[0.0, np.nan], p1=[0.5, np.nan], p2=[0.0, np.nan], p3=[1.5, np.nan])
    soft = examples(shares, soft=True).targets
    np.testing.assert_allclose(soft, [[0, 0.25, 0, 0.75], np.eye(4)[shares["grade"].iloc[1]]])
    hard = examples(shares, soft=False).targets
    np.testing.assert_allclose(hard, np.eye(4)[shares["grade"]])


def test_every_query_weighs_the_same_whatever_its_rows(toy: pd.DataFrame) -> None:
    data = examples(toy.head(7), soft=False)  # five rows of one query, two of the next
    weights = data.query_weights()
    assert weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(np.bincount(data.groups, weights), [0.5, 0.5])


def test_the_title_is_part_of_the_text(toy: pd.DataFrame) -> None:
    titled = examples(toy.head(2).assign(title=["a title", ""]), soft=False)
    assert titled.documents == [f"a title\n{toy['text'].iloc[0]}", toy["text"].iloc[1]]


def test_calibration_makes_grades_likelier_and_keeps_encoder_and_order(
    start: BiEncoder, toy: pd.DataFrame
) -> None:
    calibrated = calibrate(start, toy)
    assert isinstance(calibrated, BiEncoder)
    assert calibrated.encoder.weights_id == start.encoder.weights_id
    assert _likelihood(calibrated, toy) > _likelihood(start, toy)
    before, after = _scores(start, toy).expected, _scores(calibrated, toy).expected
    for _, rows in toy.groupby("query_id").indices.items():
        assert (np.argsort(before[rows], kind="stable") == np.argsort(after[rows], kind="stable")).all()


def test_calibration_learns_a_bias_for_each_language(start: BiEncoder, toy: pd.DataFrame) -> None:
    generous = toy.assign(language="de", grade=3, query_id=toy["query_id"] + "-de")
    calibrated = calibrate(start, pd.concat([toy, generous], ignore_index=True))
    pairs = toy["query"].tolist(), toy["text"].tolist()
    german = calibrated.score(*pairs, ["de"] * len(toy)).expected
    english = calibrated.score(*pairs, ["en"] * len(toy)).expected
    assert (german > english).all()


def test_without_gate_rows_a_model_stays_uncalibrated(start: BiEncoder, toy: pd.DataFrame) -> None:
    assert calibrate(start, toy.head(0)) is start


def test_the_order_of_the_gate_rows_does_not_matter_much(start: BiEncoder, toy: pd.DataFrame) -> None:
    one = _scores(calibrate(start, toy), toy).expected
    two = _scores(calibrate(start, toy.iloc[::-1].reset_index(drop=True)), toy).expected
    np.testing.assert_allclose(one, two, atol=1e-3)
    assert one.max() <= max(GRADES)


def test_a_device_without_memory_is_told_with_the_setting_that_helps(
    start: BiEncoder, quick: TrainingSettings, toy: pd.DataFrame
) -> None:
    """Training asks for another setting than scoring; what is no lack of memory stays the bug that it is."""
    asked = {"scoring": 0, "training": 0}

    def allocate(*_: object) -> None:
        torch.empty(asked["training" if torch.is_grad_enabled() else "scoring"], dtype=torch.uint8)

    start.network.register_forward_pre_hook(allocate)
    asked["training"] = 1 << 50  # bytes: no machine's allocator has them
    with pytest.raises(ModelError, match=r"out of memory: .*`training\.queries_per_batch`"):
        train(start, toy, quick, seed=1)
    asked["scoring"] = 1 << 50
    with pytest.raises(ModelError, match=r"out of memory: .*`model\.batch_size`"):
        start.score(["a query"], ["not read before"])
    asked["scoring"] = -1
    with pytest.raises(RuntimeError, match="negative dimension"):
        start.score(["a query"], ["not read before"])
