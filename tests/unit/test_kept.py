from streamer_core.kept import MOST, Kept


def test_the_oldest_are_forgotten() -> None:
    kept: Kept[int, int] = Kept()
    for n in range(MOST + 10):
        kept.keep(n, n)
    assert len(kept) == MOST
    assert (9 in kept, 10 in kept) == (False, True)


def test_what_is_kept_anew_is_the_newest() -> None:
    kept: Kept[int, int] = Kept()
    for n in (1, 2, 1):
        kept.keep(n, n)
    assert list(kept) == [2, 1]
