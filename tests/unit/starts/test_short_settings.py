from weightscape.starts.short_settings import METHODS, short_fine_tuning
from weightscape.tasks.fine_tuning import LEARNING_RATES


def test_rates_follow_those_of_fine_tuning_and_are_never_larger():
    for method in METHODS:
        how = short_fine_tuning(method)
        assert how.method == method and 0 < how.lr <= LEARNING_RATES[method]
        assert short_fine_tuning(method, lr=0.5, steps=3).lr == 0.5
