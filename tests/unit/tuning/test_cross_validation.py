import numpy as np
import pytest
from blended_lookers import largest, spanned_lookers

from weightscape.tuning.candidates import CandidateLoss
from weightscape.tuning.cross_validation import SHARES, Judged, along, judge_shares
from weightscape.tuning.search_space import SearchSpace
from weightscape.tuning.selection import part_rows
from weightscape.tuning.trust_region import TrustRegion

TASK = largest(60)


def test_every_row_judges_once_and_never_what_was_searched_on_it():
    spanned, start = spanned_lookers(TASK), np.full(3, 1 / 3)
    parts = part_rows(TASK, TASK.rows("train"))
    made = []

    def loss_on(rows):
        made.append([row.row for row in rows])
        return CandidateLoss(spanned, TASK, rows)

    judged = judge_shares(parts, loss_on, SearchSpace("simplex", 3), start, TrustRegion())
    assert judged.losses.shape == (len(SHARES), 60)
    judged_on = [row for rows in made[1::2] for row in rows]
    assert sorted(judged_on) == sorted(row.row for row in TASK.rows("train"))
    assert all(not set(one) & set(other) for one, other in zip(made[::2], made[1::2], strict=True))
    # of no way at all, the start is judged
    start_losses = [CandidateLoss(spanned, TASK, part.choice).losses(start) for part in parts]
    assert judged.losses[0] == pytest.approx(np.concatenate(start_losses), abs=1e-6)


def test_a_search_that_may_not_take_a_step_judges_the_start_alone_and_takes_the_whole_way():
    spanned, start = spanned_lookers(TASK), np.full(3, 1 / 3)
    parts = part_rows(TASK, TASK.rows("train"))
    judged = judge_shares(
        parts,
        lambda rows: CandidateLoss(spanned, TASK, rows),
        SearchSpace("simplex", 3),
        start,
        TrustRegion(),
        going=lambda part, loss: False,
    )
    assert np.ptp(judged.losses, axis=0).max() < 1e-9
    assert judged.best == len(SHARES) - 1


def test_the_share_with_the_least_mean_is_best():
    losses = np.ones((len(SHARES), 10))
    losses[2] -= 0.1
    assert Judged(losses, 0, 0).best == 2
    assert np.array_equal(along(np.zeros(2), np.ones(2), 0.25), np.full(2, 0.25))
